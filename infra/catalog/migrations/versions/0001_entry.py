"""One row an object: the table as it was before the history began, in SQLite only."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, Index, Integer, Text, inspect

revision, down_revision = "0001", None
_TEXTS = (
    "etag", "version", "sequence", "modified", "digest", "format", "content_type", "metadata", "user", "index", "cause",
    "updated",
)  # fmt: skip


def upgrade() -> None:
    """Make it, unless an older lake did."""
    if inspect(op.get_bind()).has_table("entry"):
        return
    op.create_table(
        "entry",
        Column("bucket", Text, primary_key=True),
        Column("key", Text, primary_key=True),
        Column("state", Text, nullable=False),
        Column("size", Integer, nullable=False),
        *(Column(name, Text, nullable=False) for name in _TEXTS),
        Index("entry_format", "format", "bucket", "key"),
        Index("entry_modified", "modified"),
        Index("entry_digest", "digest"),
        sqlite_with_rowid=False,
    )
