"""The numbered versions of each model repository and their aliases, in the database of the catalogue."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import BigInteger, Column, MetaData, Table, Text, and_, bindparam, delete, insert, or_, select, update

from events.ports import Alias, Repository
from events.types import ModelPublished
from infra.catalog.database import Database, Upsert

SCHEMA = """
CREATE TABLE model (
    repository TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (repository, name, version)
) WITHOUT ROWID
"""
#: A version is ``pending`` from its submission until it is published, or ``waiting`` for something beside its upload, and
#: ``again`` if that came while it was pending; ``upload`` is the digest of what was uploaded.
REGISTRY = """
ALTER TABLE model ADD COLUMN state TEXT NOT NULL DEFAULT 'published';
ALTER TABLE model ADD COLUMN upload TEXT NOT NULL DEFAULT '';
UPDATE model SET upload = json_extract(body, '$.digest');
CREATE TABLE alias (
    repository TEXT NOT NULL, name TEXT NOT NULL, alias TEXT NOT NULL, version INTEGER NOT NULL, previous INTEGER NOT NULL,
    PRIMARY KEY (repository, name, alias)
) WITHOUT ROWID
"""


def _table(name: str, texts: Sequence[str], numbers: Sequence[str]) -> Table:
    columns = [Column(each, Text) for each in texts] + [Column(each, BigInteger) for each in numbers]
    return Table(name, MetaData(), *columns)


_model = _table("model", ("repository", "name", "body", "state", "upload"), ("version",))
_alias = _table("alias", ("repository", "name", "alias"), ("version", "previous"))
_m, _a = _model.c, _alias.c
_OF = and_(_m.repository == bindparam("r"), _m.name == bindparam("n"))
_THIS = and_(_OF, _m.version == bindparam("v"))
_OPEN = or_(_m.state == "pending", _m.state == "again")
_LATEST = select(_m.version, _m.upload, _m.state).where(_OF).order_by(_m.version.desc()).limit(1)
_SUBMIT = insert(_model).values(
    repository=bindparam("r"), name=bindparam("n"), version=bindparam("v"), body="", state="pending", upload=bindparam("u")
)
_FIND = (
    select(_m.version, _m.state)
    .where(_OF, _m.upload == bindparam("u"), _m.state != "published")
    .order_by(_m.version.desc())
    .limit(1)
)
_STATE = select(_m.state).where(_THIS)
_NUMBERED = select(_m.version).where(_THIS)
_TURN = update(_model).where(_THIS).values(state=bindparam("s"), upload=bindparam("u"))
_KEEP = update(_model).where(_THIS, _OPEN).values(state="waiting")
_WITHDRAW = delete(_model).where(_THIS, _OPEN)
_PUBLISH = update(_model).where(_THIS, _OPEN).values(body=bindparam("b"), state="published")
_ADOPT = insert(_model).values(
    repository=bindparam("r"), name=bindparam("n"), version=bindparam("v"), body=bindparam("b"), state="published",
    upload=bindparam("u"),
)  # fmt: skip
_GET = select(_m.body).where(_THIS, _m.state == "published")
_ALL = (
    select(_m.body)
    .where(
        or_(bindparam("r", type_=Text) == "", _m.repository == bindparam("r")),
        or_(bindparam("n", type_=Text) == "", _m.name == bindparam("n")),
        _m.state == "published",
    )
    .order_by(_m.repository, _m.name, _m.version)
)
_ALIASES = (
    select(_a.repository, _a.name, _a.alias, _a.version, _a.previous)
    .where(
        or_(bindparam("r", type_=Text) == "", _a.repository == bindparam("r")),
        or_(bindparam("n", type_=Text) == "", _a.name == bindparam("n")),
    )
    .order_by(_a.repository, _a.name, _a.alias)
)
_PROMOTE = Upsert(
    lambda insert: (made := insert(_alias)).on_conflict_do_update(
        index_elements=["repository", "name", "alias"],
        set_={"version": made.excluded.version, "previous": made.excluded.previous},
    )
)


class StoredModels:
    """The ``Models`` port over one connection; writes join the transaction that is open on it."""

    def __init__(self, database: Database, repositories: Sequence[Repository]) -> None:
        self._database, self._repositories = database, repositories

    def repositories(self) -> list[Repository]:
        return list(self._repositories)

    def submit(self, repository: str, name: str, digest: str) -> int | None:
        self._database.one_by_one(f"model {repository}/{name}")
        latest = self._database.row(_LATEST, {"r": repository, "n": name})
        if latest and latest["state"] == "waiting":  # whatever is uploaded next takes its number
            self._turn(repository, name, latest["version"], "pending", digest)
            return int(latest["version"])
        if latest and latest["upload"] == digest:
            return None
        version: int = latest["version"] + 1 if latest else 1
        self._database.run(_SUBMIT, {"r": repository, "n": name, "v": version, "u": digest})
        return version

    def resubmit(self, repository: str, name: str, digest: str) -> int | None:
        self._database.one_by_one(f"model {repository}/{name}")
        found = self._database.row(_FIND, {"r": repository, "n": name, "u": digest})
        if not found:
            return None
        waits = found["state"] == "waiting"
        self._turn(repository, name, found["version"], "pending" if waits else "again", digest)
        return int(found["version"]) if waits else None

    def _turn(self, repository: str, name: str, version: int, state: str, digest: str) -> None:
        self._database.run(_TURN, {"r": repository, "n": name, "v": version, "s": state, "u": digest})

    def withdraw(self, repository: str, name: str, version: int, *, waiting: bool = False) -> bool:
        self._database.one_by_one(f"model {repository}/{name}")
        which = {"r": repository, "n": name, "v": version}
        found = self._database.row(_STATE, which)
        self._database.run(_KEEP if waiting else _WITHDRAW, which)
        return bool(found and found["state"] == "again")

    def publish(self, version: ModelPublished) -> bool:
        body = msgspec.json.encode(version).decode()
        values = {"r": version.repository, "n": version.name, "v": version.version, "b": body}
        return self._database.run(_PUBLISH, values) == 1

    def adopt(self, version: ModelPublished, upload: str) -> bool:
        self._database.one_by_one(f"model {version.repository}/{version.name}")
        if self.numbered(version.repository, version.name, version.version):
            return False
        body = msgspec.json.encode(version).decode()
        which = {"r": version.repository, "n": version.name, "v": version.version}
        self._database.run(_ADOPT, {**which, "b": body, "u": upload})
        return True

    def numbered(self, repository: str, name: str, version: int) -> bool:
        return self._database.row(_NUMBERED, {"r": repository, "n": name, "v": version}) is not None

    def get(self, repository: str, name: str, version: int) -> ModelPublished | None:
        row = self._database.row(_GET, {"r": repository, "n": name, "v": version})
        return msgspec.json.decode(row["body"], type=ModelPublished) if row else None

    def versions(self, repository: str = "", name: str = "") -> list[ModelPublished]:
        rows = self._database.rows(_ALL, {"r": repository, "n": name})
        return [msgspec.json.decode(row["body"], type=ModelPublished) for row in rows]

    def alias(self, repository: str, name: str, alias: str) -> Alias | None:
        return next((found for found in self.aliases(repository, name) if found.alias == alias), None)

    def aliases(self, repository: str = "", name: str = "") -> list[Alias]:
        rows = self._database.rows(_ALIASES, {"r": repository, "n": name})
        return [Alias(**{field: row[field] for field in Alias.__struct_fields__}) for row in rows]

    def promote(self, alias: Alias) -> None:
        self._database.run(_PROMOTE, msgspec.structs.asdict(alias))
