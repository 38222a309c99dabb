"""The catalogue in SQLite and PostgreSQL: imports, each shape of question beside hand-written SQL, one object against filters.

    python -m infra.bench.catalog [--objects 1000000] [--records 100000] [--filters 100000] [--stores sqlite]

All indexes are there before the first row. Questions are asked warm, by a user without special rights, with new values each
time.
By hand the same rows are asked for in plain SQL, the access list included, over the same driver. ``worst_p95_ms`` and
``vs_hand_sql`` are over the indexed shapes that give a page; a count must visit every row that it counts and is shown apart.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from infra.bench.postgres_process import PostgresProcess, program
from infra.bench.table import report
from infra.catalog.acl import OPEN, SYSTEM, Acl, Caller
from infra.catalog.database import Database
from infra.catalog.home import Home, SqliteHome, open_sqlite
from infra.catalog.home_postgres import PostgresHome
from infra.catalog.indexes import Indexes
from infra.catalog.query import bind, fields_of, parse
from infra.catalog.query.predicate_index import PredicateIndex
from infra.catalog.resources import DataObject, DataRecord, Key, object_id
from infra.catalog.search import Search
from infra.catalog.store import Store
from infra.sqlite import Writer

PORTION, ROUNDS = 5_000, 200
WORDS = [f"{a}{b}" for a in ("wave", "tide", "flood", "salt", "wind", "lagoon", "canal", "bridge") for b in range(50)]
START, SPAN = 1_735_689_600_000, 365 * 86_400_000
CALLER = Caller(frozenset(("user/ann", "group/anyone")))
MINE = Acl(owners=["user/ann"])
DECLARED = {"serial": "string", "site": "string", "cloud": "number"}


def attributes(i: int, number: random.Random) -> dict[str, Any]:
    """Seven attributes: one unique, one of fifty, numbers, and some that are not declared."""
    return {
        "serial": f"s{i:08d}", "site": f"site{number.randrange(50)}", "cloud": round(number.random() * 100, 1),
        "gain": number.randrange(1000), "run": f"r{i // 100}", "level": number.choice(("L0", "L1", "L2")),
        "note": " ".join(number.choices(WORDS, k=6)),
    }  # fmt: skip


def objects(count: int) -> Iterator[DataObject]:
    """Objects over a year and the whole globe; one in ten is a user's own."""
    number = random.Random(7)
    for i in range(count):
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime((START + number.randrange(SPAN)) / 1000))
        place = [round(number.uniform(-180, 180), 4), round(number.uniform(-85, 85), 4)]
        yield DataObject(
            bucket="bench", key=f"raw/{i % 997}/{i:08d}.fits", state="READY", bytes=number.randrange(10**9), format="fits",
            content_type="application/fits", modified=at, geometry={"type": "Point", "coordinates": place},
            metadata=attributes(i, number), acl=MINE if i % 10 == 0 else OPEN,
        )  # fmt: skip


def records(count: int) -> Iterator[DataRecord]:
    """One record on each of the first objects."""
    number = random.Random(8)
    for i in range(count):
        yield DataRecord(object=object_id("bench", f"raw/{i % 997}/{i:08d}.fits"), metadata=attributes(i, number), acl=OPEN)


class Shape(NamedTuple):
    """A shape of question: how to ask the store, and how to ask by hand."""

    name: str
    indexed: bool
    ask: Callable[[Store, random.Random], tuple[Search, dict[str, Any]]]
    hand: dict[str, str]
    counts: bool = False


def shapes(many: int) -> list[Shape]:
    """The shapes, for so many objects."""
    may = {
        "sqlite": "state <> 'REMOVED' AND acl IN (SELECT acl FROM acl_view WHERE principal IN ('group/anyone', 'user/ann'))",
        "postgresql": "state <> 'REMOVED' AND acl = ANY (ARRAY(SELECT acl FROM acl_view "
        "WHERE principal IN ('group/anyone', 'user/ann')))",
    }
    site = {"sqlite": "json_extract(metadata, '$.site') = {}", "postgresql": "metadata ->> 'site' = {}"}
    serial = {"sqlite": "json_extract(metadata, '$.serial') = {}", "postgresql": "metadata ->> 'serial' = {}"}
    cloud = {"sqlite": "json_extract(metadata, '$.cloud') < {}", "postgresql": "(metadata ->> 'cloud')::float8 < {}"}
    boxed = {
        "sqlite": "n IN (SELECT n FROM data_object_box WHERE west <= {} AND east >= {} AND south <= {} AND north >= {})",
        "postgresql": "west IS NOT NULL AND box(point(west, south), point(east, north)) && "
        "box(point({0}::float8, {1}::float8), point({2}::float8, {3}::float8)) "
        "AND west <= {2} AND east >= {0} AND south <= {3} AND north >= {1}",
    }
    worded = {
        "sqlite": "n IN (SELECT rowid FROM data_object_words WHERE data_object_words MATCH {})",
        "postgresql": "to_tsvector('simple', words) @@ plainto_tsquery('simple', {})",
    }

    def by_hand(*tests: tuple[dict[str, str], list[str]], limit: int = 20, count: bool = False) -> dict[str, str]:
        found = {}
        for dialect in may:
            mark = ":{}" if dialect == "sqlite" else "%({})s"
            where = " AND ".join(test[dialect].format(*(mark.format(name) for name in names)) for test, names in tests)
            end = "" if count else f" ORDER BY t DESC, n DESC LIMIT {limit}"
            found[dialect] = (
                f"SELECT {'count(*)' if count else 'id, key'} FROM data_object WHERE {where} AND {may[dialect]}{end}"
            )
        return found

    def asked(filter: dict[str, Any], limit: int = 20, /, **values: Any) -> tuple[Search, dict[str, Any]]:
        return Search(filter=filter, limit=limit, select=["id", "key"]), values

    def equal(name: str, value: Any) -> dict[str, Any]:
        return {"op": "=", "args": [{"property": name}, value]}

    def both(*tests: dict[str, Any]) -> dict[str, Any]:
        return {"op": "and", "args": list(tests)}

    def a_site(number: random.Random) -> str:
        return f"site{number.randrange(50)}"

    def bounds(number: random.Random, size: float) -> tuple[dict[str, Any], dict[str, float]]:
        west, south = number.uniform(-180, 179 - size), number.uniform(-84, 84 - size)
        box = {"west": west, "south": south, "east": west + size, "north": south + size}
        return {"op": "s_intersects", "args": [{"property": "geometry"}, {"bbox": list(box.values())}]}, box

    def within(number: random.Random, ms: int) -> tuple[dict[str, Any], dict[str, int]]:
        low = START + number.randrange(SPAN - ms)
        moments = [
            {"timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment // 1000))} for moment in (low, low + ms)
        ]
        test = {"op": "between", "args": [{"property": "time"}, *moments]}
        return test, {"low": low // 1000 * 1000, "high": (low + ms) // 1000 * 1000}

    def uniquely(store: Store, number: random.Random) -> tuple[Search, dict[str, Any]]:
        value = f"s{number.randrange(many):08d}"
        return asked(equal("serial", value), serial=value)

    def newest(store: Store, number: random.Random) -> tuple[Search, dict[str, Any]]:
        value = a_site(number)
        return asked(equal("site", value), site=value)

    def hour(store: Store, number: random.Random) -> tuple[Search, dict[str, Any]]:
        test, values = within(number, 3_600_000)
        return asked(test, 100, **values)

    def near(size: float) -> Callable[[Store, random.Random], tuple[Search, dict[str, Any]]]:
        def made(store: Store, number: random.Random) -> tuple[Search, dict[str, Any]]:
            test, values = bounds(number, size)
            return asked(test, **values)

        return made

    def text(store: Store, number: random.Random) -> tuple[Search, dict[str, Any]]:
        value = " ".join(number.choices(WORDS, k=3))
        return asked({"op": "fulltext", "args": [value]}, words=value)

    def three(store: Store, number: random.Random) -> tuple[Search, dict[str, Any]]:
        value, (span, moments), (place, box) = a_site(number), within(number, 30 * 86_400_000), bounds(number, 10)
        return asked(both(equal("site", value), span, place), site=value, **moments, **box)

    def range_(store: Store, number: random.Random) -> tuple[Search, dict[str, Any]]:
        value, limit = a_site(number), number.uniform(5, 15)
        return asked(both(equal("site", value), {"op": "<", "args": [{"property": "cloud"}, limit]}), site=value, cloud=limit)

    def undeclared(store: Store, number: random.Random) -> tuple[Search, dict[str, Any]]:
        value = f"r{number.randrange(max(1, many // 100))}"
        return asked(equal("run", value), run=value)

    span = dict.fromkeys(may, "t BETWEEN {} AND {}")
    box = {"sqlite": ["east", "west", "north", "south"], "postgresql": ["west", "south", "east", "north"]}
    run = {"sqlite": "json_extract(metadata, '$.run') = {}", "postgresql": "metadata @> jsonb_build_object('run', {}::text)"}

    def boxes(*tests: tuple[dict[str, str], list[str]], count: bool = False) -> dict[str, str]:
        return {dialect: by_hand(*tests, (boxed, box[dialect]), count=count)[dialect] for dialect in may}

    return [
        Shape("attribute =, unique", True, uniquely, by_hand((serial, ["serial"]))),
        Shape("attribute =, 2 %, newest 20", True, newest, by_hand((site, ["site"]))),
        Shape("one hour, newest 100", True, hour, by_hand((span, ["low", "high"]), limit=100)),
        Shape("box 1x1, newest 20", True, near(1), boxes()),
        Shape("3 words, newest 20", True, text, by_hand((worded, ["words"]))),
        Shape("= and 30 days and box 10x10", True, three, boxes((site, ["site"]), (span, ["low", "high"]))),
        Shape("= and number <, newest 20", True, range_, by_hand((site, ["site"]), (cloud, ["cloud"]))),
        Shape("count: attribute =, 2 %", False, newest, by_hand((site, ["site"]), count=True), True),
        Shape("count: box 10x10", False, near(10), boxes(count=True), True),
        Shape("undeclared attribute =", False, undeclared, by_hand((run, ["run"]))),
    ]


#: The indexes that the questions by hand need, as one would make them.
BY_HAND = {
    "sqlite": ["(json_extract(metadata, '$.serial'))", "(json_extract(metadata, '$.site'), t)"],
    "postgresql": ["((metadata ->> 'serial'))", "((metadata ->> 'site'), t)"],
}


class Measured(NamedTuple):
    """Milliseconds of one shape."""

    p50: float
    p95: float
    hand: float
    hand_p95: float


def portions(everything: Iterable[Any]) -> Iterator[list[Any]]:
    """Lists of ``PORTION``."""
    found: list[Any] = []
    for each in everything:
        found.append(each)
        if len(found) == PORTION:
            yield found
            found = []
    if found:
        yield found


def import_(portion: list[Any], connection: Any) -> int:
    """Import a portion in the present transaction."""
    return Store(Database(connection)).import_many(portion, SYSTEM)


def fill(home: Home, many: Iterable[Any]) -> tuple[int, float]:
    """Import all, a commit a portion; how many, and in how many seconds, making them not counted."""
    count, seconds = 0, 0.0
    for portion in portions(many):
        begun = time.perf_counter()
        count += home.writer.submit(partial(import_, portion)).result()
        seconds += time.perf_counter() - begun
    return count, seconds


def measure(database: Database, shape: Shape, rounds: int) -> Measured:
    """One shape, asked of the store and by hand in turn."""
    number = random.Random(11)
    store, sql = Store(database), shape.hand[database.dialect]
    ours: list[float] = []
    hand: list[float] = []
    for round_ in range(rounds + 20):
        search, values = shape.ask(store, number)
        if shape.name.startswith("3 words") and database.dialect == "sqlite":
            values = {"words": " ".join(f'"{word}"' for word in values["words"].split())}
        answers: dict[str, Any] = {}

        def asked(search: Search = search, answers: dict[str, Any] = answers) -> None:
            if shape.counts:
                answers["found"] = store.aggregate("data-object", search, CALLER)["count"]
            else:
                answers["found"] = len(store.search("data-object", search, CALLER).items)

        def by_hand(values: dict[str, Any] = values, answers: dict[str, Any] = answers) -> None:
            rows = database.rows(sql, values)
            answers["expected"] = rows[0][0] if shape.counts else len([{"id": row[0], "key": row[1]} for row in rows])

        # Who comes second finds the pages in the cache: take turns.
        for times, ask in ((ours, asked), (hand, by_hand)) if round_ % 2 else ((hand, by_hand), (ours, asked)):
            begun = time.perf_counter()
            ask()
            if round_ >= 20:
                times.append((time.perf_counter() - begun) * 1e3)
        if answers["found"] != answers["expected"]:
            raise RuntimeError(f"{shape.name} by the store: {answers['found']}, by hand: {answers['expected']}")
    return Measured(statistics.median(ours), p95(ours), statistics.median(hand), p95(hand))


def p95(times: list[float]) -> float:
    """The 95th percentile."""
    return sorted(times)[int(len(times) * 0.95)]


def matching(count: int) -> float:
    """The median of one object against so many stored filters, in ms."""
    number = random.Random(5)
    fields, index = fields_of("data-object"), PredicateIndex()
    for i in range(count):
        wanted = f"site = 'site{number.randrange(50)}' AND cloud < {number.randrange(100)}"
        if i % 3 == 0:
            wanted = f"run = 'r{number.randrange(count)}' AND level IN ('L1', 'L2')"
        elif i % 3 == 1:
            wanted += f" AND gain > {number.randrange(1000)}"
        index.add(i, bind(parse(wanted), fields))
    seconds = []
    for each in objects(300):
        document = msgspec.to_builtins(each)
        begun = time.perf_counter()
        index.match(document)
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds) * 1e3


def store_figures(home: Home, dialect: str, options: argparse.Namespace, rows: list[list[str]]) -> dict[str, float]:
    """Everything about one store."""

    def declare(connection: Any) -> None:
        store = Store(Database(connection))
        for name, type_ in DECLARED.items():
            store.create(Key(key=name, type=type_, queryable=True), SYSTEM)  # type: ignore[arg-type]  # one of its types

    home.writer.submit(declare).result()
    Indexes(home).step()
    count, seconds = fill(home, objects(options.objects))
    more, longer = fill(home, records(options.records))
    rows.append(
        [
            dialect,
            f"import of {count + more:,} with all indexes",
            f"{(count + more) / (seconds + longer):,.0f} rows/s",
            "",
            "",
            "",
        ]
    )
    with closing(home.connect()) as connection:
        for i, columns in enumerate(BY_HAND[dialect]):
            connection.execute(f"CREATE INDEX by_hand_{i} ON data_object {columns}")
        connection.execute("ANALYZE" if dialect == "sqlite" else "VACUUM ANALYZE")
    worst, ratio = 0.0, 0.0
    with home.reading() as database:
        for shape in shapes(options.objects):
            slow = shape.name.startswith("undeclared") and dialect == "sqlite"
            found = measure(database, shape, 5 if slow else options.rounds)
            if shape.indexed or (shape.name.startswith("undeclared") and dialect == "postgresql"):
                worst, ratio = max(worst, found.p95), max(ratio, found.p50 / found.hand)
            times = (f"{found.p50:.2f}", f"{found.p95:.2f}", f"{found.hand:.2f}", f"{found.p50 / found.hand:.2f}")
            rows.append([dialect, shape.name, *times])
    return {"insert": (count + more) / (seconds + longer), "worst": worst, "ratio": ratio}


def homes(names: list[str], folder: Path) -> Iterator[tuple[str, Home]]:
    """Each store, empty; ended when the next is asked for."""
    if "sqlite" in names:
        writer = Writer(folder / "lake.db", (), open_sqlite)
        with closing(open_sqlite(folder / "lake.db")) as connection:
            yield "sqlite", SqliteHome(folder / "lake.db", writer, lambda: nullcontext(connection))
        writer.close()
    if "postgresql" in names:
        if program("postgres") is None:
            raise SystemExit("PostgreSQL is not installed (scripts/services installs it)")
        server = PostgresProcess("shared_buffers=1GB", "max_wal_size=4GB", "work_mem=32MB", "random_page_cost=1.1")
        try:
            home = PostgresHome(server.start().new())
            yield "postgresql", home
            home.close()
        finally:
            server.close()


def main() -> None:
    """Measure and report."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--objects", type=int, default=1_000_000)
    arguments.add_argument("--records", type=int, default=100_000)
    arguments.add_argument("--filters", type=int, default=100_000)
    arguments.add_argument("--rounds", type=int, default=ROUNDS)
    arguments.add_argument("--stores", default="sqlite,postgresql")
    options = arguments.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="sluice-bench-"))
    rows: list[list[str]] = []
    try:
        found = [store_figures(home, name, options, rows) for name, home in homes(options.stores.split(","), folder)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    match = matching(options.filters)
    rows.append(["", f"one object against {options.filters:,} filters", f"{match:.2f}", "", "", ""])
    figures = {
        "worst_p95_ms": max(each["worst"] for each in found),
        "vs_hand_sql": max(each["ratio"] for each in found),
        "match_100k_filters_ms": match,
        "insert_per_s": min(each["insert"] for each in found),
    }
    columns = ["store", "question", "p50 ms", "p95 ms", "by hand p50 ms", "ratio"]
    report(f"catalogue of {options.objects:,} objects, {options.records:,} records", columns, rows, figures)


if __name__ == "__main__":
    main()
