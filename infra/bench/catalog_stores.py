"""The catalogue's stores for its benchmark: filled once, and kept in a folder if one is given."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path

import msgspec

from infra.bench.catalog_data import declare, fill, objects, records
from infra.bench.postgres_process import PostgresProcess, program
from infra.catalog.database import Database
from infra.catalog.home import Home, SqliteHome, open_sqlite
from infra.catalog.home_postgres import PostgresHome
from infra.sqlite import Writer

#: The indexes that the questions by hand need, as one would make them.
BY_HAND = {
    "sqlite": ["(json_extract(metadata, '$.serial'))", "(json_extract(metadata, '$.site'), t)"],
    "postgresql": ["((metadata ->> 'serial'))", "((metadata ->> 'site'), t)"],
}
#: A server that has some memory, as its manual says to give it: a quarter of 8 GB.
SERVER = ("shared_buffers=2GB", "max_wal_size=4GB", "work_mem=32MB", "random_page_cost=1.1")


class Filled(msgspec.Struct):
    """What a store was filled with, and how quickly; kept beside it."""

    objects: int
    records: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Rows a second, all indexes live."""
        return (self.objects + self.records) / self.seconds


def stores(names: list[str], folder: str, objects_: int, records_: int) -> Iterator[tuple[str, Home, Filled]]:
    """Each store, filled; ended when the next is asked for. One that ``folder`` has from before is taken as it is."""
    kept = Path(folder) if folder else Path(tempfile.mkdtemp(prefix="sluice-bench-"))
    kept.mkdir(parents=True, exist_ok=True)
    kept.chmod(0o755)  # PostgreSQL runs as a user of its own
    try:
        for name in names:
            for home in _OPEN[name](kept / name):
                yield name, home, _filled(name, home, kept / name, objects_, records_)
    finally:
        if not folder:
            shutil.rmtree(kept, ignore_errors=True)


def warm(home: Home) -> None:
    """Read a store into memory: there a server that has been asked for a day has what it is asked for."""
    with closing(home.connect()) as connection:
        database = Database(connection)
        if database.dialect == "postgresql":
            connection.execute("CREATE EXTENSION IF NOT EXISTS pg_prewarm")
            tables = "pg_class WHERE relkind IN ('r', 'i', 't') AND relnamespace = 'public'::regnamespace"
            database.rows(f"SELECT pg_prewarm(oid) FROM {tables}")
            return
        (_, _, path) = database.row("PRAGMA database_list")
        with Path(path).open("rb", buffering=0) as file:
            while file.read(1 << 24):
                pass


def _filled(name: str, home: Home, folder: Path, objects_: int, records_: int) -> Filled:
    note = folder / "filled.json"
    if note.exists():
        found = msgspec.json.decode(note.read_bytes(), type=Filled)
        if (found.objects, found.records) != (objects_, records_):
            raise SystemExit(f"{folder} has {found.objects:,} objects, {found.records:,} records: ask for these, or remove it")
        return found
    declare(home)
    count, seconds = fill(home, name, objects(objects_))
    more, longer = fill(home, f"{name}, records", records(records_))
    with closing(home.connect()) as connection:
        for i, columns in enumerate(BY_HAND[name]):
            connection.execute(f"CREATE INDEX by_hand_{i} ON data_object {columns}")
        connection.execute("ANALYZE" if name == "sqlite" else "VACUUM ANALYZE")
    made = Filled(count, more, seconds + longer)
    note.write_bytes(msgspec.json.encode(made))
    return made


def _fresh(folder: Path) -> bool:
    """Whether there is no store yet; a half-filled one is removed."""
    if (folder / "filled.json").exists():
        return False
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return True


def _sqlite(folder: Path) -> Iterator[Home]:
    _fresh(folder)
    writer = Writer(folder / "lake.db", (), open_sqlite)
    try:
        with closing(open_sqlite(folder / "lake.db")) as connection:
            yield SqliteHome(folder / "lake.db", writer, lambda: nullcontext(connection))
    finally:
        writer.close()


def _postgresql(folder: Path) -> Iterator[Home]:
    if program("postgres") is None:
        raise SystemExit("PostgreSQL is not installed (scripts/services installs it)")
    fresh = _fresh(folder)
    server = PostgresProcess(*SERVER, folder=folder / "server")
    try:
        server.start()
        home = PostgresHome(server.new(name="bench") if fresh else server.url("bench"))
        try:
            yield home
        finally:
            home.close()
    finally:
        server.close()


_OPEN = {"sqlite": _sqlite, "postgresql": _postgresql}
