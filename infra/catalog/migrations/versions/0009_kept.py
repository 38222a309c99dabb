"""Objects that were kept when their proxy went, what senders claim of their content, and how a binding failed last."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision, down_revision = "0009", "0008"


def upgrade() -> None:
    """Add the columns."""
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    document = sa.JSON().with_variant(JSONB, "postgresql")
    op.add_column("data_object", sa.Column("kept", text, nullable=False, server_default=""))
    op.add_column("data_object", sa.Column("claims", document, nullable=False, server_default="{}"))
    op.add_column("binding", sa.Column("failure", document))
