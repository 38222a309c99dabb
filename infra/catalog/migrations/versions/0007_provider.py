"""Object stores that are added while the lake runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision, down_revision = "0007", "0006"


def upgrade() -> None:
    """Add the table."""
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    names = ("name", "description", "provider", "endpoint", "region", "credential", "source")
    op.create_table(
        "provider",
        sa.Column("n", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("id", text, nullable=False, unique=True),
        sa.Column("acl", sa.Integer, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("updated", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False, server_default="1"),
        sa.Column("tags", sa.JSON().with_variant(JSONB, "postgresql"), nullable=False, server_default="[]"),
        *(sa.Column(name, text, nullable=False, server_default="") for name in names),
        sa.Column("configured", sa.Boolean, nullable=False),
    )
