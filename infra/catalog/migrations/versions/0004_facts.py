"""What is known of the world, and what of it the graph store has not been told."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0004", "0003"


def upgrade() -> None:
    """Add the tables."""
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "statement",
        sa.Column("topic", text, primary_key=True),
        sa.Column("ordered", text, nullable=False),
        sa.Column("change", number, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    reasoned = sa.text("change > 0")
    op.create_index("statement_change", "statement", ["change"], sqlite_where=reasoned, postgresql_where=reasoned)
    op.create_table(
        "fact_change",
        sa.Column("change", number, primary_key=True, autoincrement=False),
        sa.Column("token", text, nullable=False),
    )
    op.create_table(
        "graph_write",
        sa.Column("seq", number, primary_key=True, autoincrement=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )
