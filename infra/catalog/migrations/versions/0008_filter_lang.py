"""The language of the filters of data sets and bindings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0008", "0007"


def upgrade() -> None:
    """Add the columns."""
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    for table in ("data_set", "binding"):
        op.add_column(table, sa.Column("filter_lang", text, nullable=False, server_default=""))
