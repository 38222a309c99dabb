"""The numbered versions of each model repository and their aliases, in the database of the catalogue."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec
from sqlalchemy import BigInteger, Column, MetaData, Table, Text, and_, bindparam, delete, insert, or_, select, update

from events.models import Alias, Repository
from events.types import ModelPublished, ModelSubmitted
from infra.catalog.database import Database, Upsert

SCHEMA = """
CREATE TABLE model (
    repository TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (repository, name, version)
) WITHOUT ROWID
"""
#: A version is ``pending`` from its submission until it is published, or ``waiting`` for something beside its upload, and
#: ``again`` if that came while it was pending; ``upload`` is the digest of what was uploaded. While one is undecided, its
#: ``body`` is the time of its submission, and what is uploaded meanwhile is ``queued``: its submission, numbered -1, -2, ...
#: One is ``lost`` that nobody waits for any more, though it may be published yet: its number is given to no other.
REGISTRY = """
ALTER TABLE model ADD COLUMN state TEXT NOT NULL DEFAULT 'published';
ALTER TABLE model ADD COLUMN upload TEXT NOT NULL DEFAULT '';
UPDATE model SET upload = json_extract(body, '$.digest');
CREATE TABLE alias (
    repository TEXT NOT NULL, name TEXT NOT NULL, alias TEXT NOT NULL, version INTEGER NOT NULL, previous INTEGER NOT NULL,
    PRIMARY KEY (repository, name, alias)
) WITHOUT ROWID
"""
#: An upload whose submission was not decided for so long (a log that was lost) holds up no other.
PATIENCE_SECONDS = 3600.0


def _table(name: str, texts: Sequence[str], numbers: Sequence[str]) -> Table:
    columns = [Column(each, Text) for each in texts] + [Column(each, BigInteger) for each in numbers]
    return Table(name, MetaData(), *columns)


_model = _table("model", ("repository", "name", "body", "state", "upload"), ("version",))
_alias = _table("alias", ("repository", "name", "alias"), ("version", "previous"))
_m, _a = _model.c, _alias.c
_OF = and_(_m.repository == bindparam("r"), _m.name == bindparam("n"))
_THIS = and_(_OF, _m.version == bindparam("v"))
_OPEN = or_(_m.state == "pending", _m.state == "again")
_NEWEST = select(_m.version, _m.upload, _m.state, _m.body).order_by(_m.version.desc()).limit(1)
_LATEST = _NEWEST.where(_OF, _m.version > 0)
_UNDECIDED = _NEWEST.where(_OF, _OPEN)
_FIRST = _NEWEST.where(_OF, _m.state == "queued")
_LAST = select(_m.version).where(_OF, _m.state == "queued").order_by(_m.version).limit(1)
_SUBMIT = insert(_model).values(
    repository=bindparam("r"), name=bindparam("n"), version=bindparam("v"), body=bindparam("b"), state=bindparam("s"),
    upload=bindparam("u"),
)  # fmt: skip
_FIND = _NEWEST.where(_OF, _m.upload == bindparam("u"), or_(_OPEN, _m.state == "waiting"))
_STATE = select(_m.state, _m.upload).where(_THIS)
_NUMBERED = select(_m.version).where(_THIS, _m.state != "lost")
_TURN = update(_model).where(_THIS).values(state=bindparam("s"), upload=bindparam("u"), body=bindparam("b"))
_LEFT = or_(_OPEN, _m.state == "lost")
_KEEP = update(_model).where(_THIS, _LEFT).values(state="waiting")
_FAILED = update(_model).where(_OF, _OPEN).values(state=bindparam("s"))
_WITHDRAW = delete(_model).where(_THIS, _LEFT)
_TAKE = delete(_model).where(_THIS, _m.state == bindparam("s"))
_PUBLISH = (
    update(_model)
    .where(_THIS, or_(_m.upload == bindparam("u", type_=Text), bindparam("u", type_=Text) == ""), _m.state != "published")
    .values(body=bindparam("b"), state="published")
)
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

    def submit(self, upload: ModelSubmitted) -> int | None:
        model = self._locked(upload.repository, upload.name)
        last = self._database.row(_LAST, model)
        if last or self._undecided(model):
            place = last["version"] - 1 if last else -1
            self._insert(model, place, "queued", upload.digest, msgspec.json.encode(upload).decode())
            return None
        return self._number(model, upload.digest)

    def _undecided(self, model: dict[str, str]) -> bool:
        """Whether an upload is being decided on. What should have been long ago holds up no other."""
        found = self._database.row(_UNDECIDED, model)
        if found and float(found["body"] or 0) <= time.time() - PATIENCE_SECONDS:
            self._database.run(_FAILED, {**model, "s": "lost"})
            return False
        return found is not None

    def _number(self, model: dict[str, str], digest: str) -> int | None:
        latest = self._database.row(_LATEST, model)
        same = latest is not None and latest["upload"] == digest
        if latest and (latest["state"] == "waiting" or (latest["state"] == "lost" and same)):
            self._turn(model, latest["version"], "pending", digest)  # of what waits, whatever comes next takes the number
            return int(latest["version"])
        if same and latest["state"] == "published":
            return None
        version: int = latest["version"] + 1 if latest else 1
        self._insert(model, version, "pending", digest, str(time.time()))
        return version

    def resubmit(self, repository: str, name: str, digest: str) -> int | None:
        model = self._locked(repository, name)
        found = self._database.row(_FIND, {**model, "u": digest})
        if not found:
            return None
        waits = found["state"] == "waiting"
        self._turn(model, found["version"], "pending" if waits else "again", digest)
        return int(found["version"]) if waits else None

    def next(self, repository: str, name: str) -> ModelSubmitted | None:
        model = self._locked(repository, name)
        if self._undecided(model):
            return None
        while queued := self._database.row(_FIRST, model):
            self._database.run(_TAKE, {**model, "v": queued["version"], "s": "queued"})
            if version := self._number(model, queued["upload"]):
                upload = msgspec.json.decode(queued["body"], type=ModelSubmitted)
                return msgspec.structs.replace(upload, version=version)
        return None

    def _locked(self, repository: str, name: str) -> dict[str, str]:
        self._database.one_by_one(f"model {repository}/{name}")
        return {"r": repository, "n": name}

    def _insert(self, model: dict[str, str], version: int, state: str, digest: str, body: str) -> None:
        self._database.run(_SUBMIT, {**model, "v": version, "s": state, "u": digest, "b": body})

    def _turn(self, model: dict[str, str], version: int, state: str, digest: str) -> None:
        self._database.run(_TURN, {**model, "v": version, "s": state, "u": digest, "b": str(time.time())})

    def withdraw(self, repository: str, name: str, version: int, *, waiting: bool = False) -> bool:
        which = {**self._locked(repository, name), "v": version}
        found = self._database.row(_STATE, which)
        self._database.run(_KEEP if waiting else _WITHDRAW, which)
        return bool(found and found["state"] == "again")

    def fail(self, repository: str, name: str, *, stored: bool = False) -> None:
        self._database.run(_FAILED, {**self._locked(repository, name), "s": "lost" if stored else "waiting"})

    def holds(self, repository: str, name: str, version: int, digest: str) -> bool:
        found = self._database.row(_STATE, {"r": repository, "n": name, "v": version})
        return bool(found and found["upload"] == digest)

    def publish(self, version: ModelPublished, upload: str) -> bool:
        body = msgspec.json.encode(version).decode()
        values = {"r": version.repository, "n": version.name, "v": version.version, "b": body, "u": upload}
        return self._database.run(_PUBLISH, values) == 1

    def adopt(self, version: ModelPublished, upload: str) -> bool:
        self._database.one_by_one(f"model {version.repository}/{version.name}")
        if self.numbered(version.repository, version.name, version.version):
            return False
        body = msgspec.json.encode(version).decode()
        self._database.run(_TAKE, {"r": version.repository, "n": version.name, "v": version.version, "s": "lost"})
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
