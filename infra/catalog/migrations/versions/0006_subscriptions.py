"""Subscriptions beside the catalogue, for all machines of the lake; ``lake.db`` has had their table all along."""

from __future__ import annotations

from alembic import op

revision, down_revision = "0006", "0005"


def upgrade() -> None:
    """Make the table in PostgreSQL."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute('CREATE TABLE subscription (id TEXT COLLATE "C" PRIMARY KEY, body TEXT NOT NULL)')
