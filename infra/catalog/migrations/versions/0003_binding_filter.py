"""Bindings with a filter, how far each reader of the event log has come, and who could see what is gone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0003", "0002"


def upgrade() -> None:
    """Add the column, the tables and the index."""
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.add_column("binding", sa.Column("filter", text, nullable=False, server_default=""))
    op.create_table(
        "reader",
        sa.Column("name", text, primary_key=True),
        sa.Column("position", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "tombstone",
        sa.Column("id", text, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.Column("acl", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", "until"),
    )
    grouped = sa.text("grp <> ''")
    op.create_index(
        "membership_grp", "membership", ["data_set", "grp", "cursor"], sqlite_where=grouped, postgresql_where=grouped
    )
