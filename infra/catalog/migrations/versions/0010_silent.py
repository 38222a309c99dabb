"""Invocations that told of nothing."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision, down_revision = "0010", "0009"


def upgrade() -> None:
    """Add the table."""
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    document = sa.JSON().with_variant(JSONB, "postgresql")
    op.create_table(
        "silent",
        sa.Column("n", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("entity", text, nullable=False),
        sa.Column("cause", text, nullable=False),
        sa.Column("used", document, nullable=False),
        sa.Column("functions", document, nullable=False),
        sa.Column("ended", sa.BigInteger, nullable=False),
        sa.Index("silent_entity", "entity", "n"),
    )
