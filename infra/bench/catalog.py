"""The catalogue in SQLite and PostgreSQL: imports, each shape of question beside hand-written SQL, one object against filters.

    python -m infra.bench.catalog [--objects 1000000] [--records 100000] [--filters 100000] [--stores sqlite]
                                  [--folder FOLDER] [--rounds 200]

All indexes are there before the first row. Questions are asked warm (all that a store keeps is read into memory once
before), by a user without special rights, with new values each time. By hand the same page is asked for in plain SQL, the
access list and the next page included, over the same driver; both answers must be the same. ``worst_p95_ms`` and
``vs_hand_sql`` are over the indexed shapes that give a page; a count must visit every row that it counts and is shown apart.

Stores that were filled in a ``--folder`` are kept there, and asked again by the next run; ``--fill`` ends when they are.
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import time
from functools import partial
from typing import Any, NamedTuple

from infra.bench.catalog_filters import matching, medians
from infra.bench.catalog_shapes import Shape, shapes
from infra.bench.catalog_stores import stores, warm
from infra.bench.table import report
from infra.catalog.database import Database
from infra.catalog.home import Home
from infra.catalog.store import Store

ROUNDS, WARM = 200, 20


class Measured(NamedTuple):
    """Milliseconds of one shape.

    Who asks second finds the pages in the processor's cache. So ``p50`` is the mean of two medians, of the rounds in which a
    side came first and of those in which it came second: the median of all lies among either, by chance.
    """

    p50: float
    p95: float
    hand: float
    hand_p95: float


def measure(database: Database, shape: Shape, rounds: int) -> Measured:
    """One shape, asked of the store and by hand in turn, each time with other values; the answers must be the same."""
    number = random.Random(11)
    store, sql = Store(database), shape.sql(database.dialect)
    ours: list[list[float]] = [[], []]
    hand: list[list[float]] = [[], []]
    for round_ in range(rounds + WARM):
        filter, values = shape.make(number)
        sides = [(ours, partial(shape.ask, store, filter)), (hand, partial(shape.by_hand, database, sql, values))]
        answers: list[Any] = []
        for place, (times, ask) in enumerate(sides if round_ % 2 else sides[::-1]):
            begun = time.perf_counter()
            answer = ask()
            if round_ >= WARM:
                times[place].append((time.perf_counter() - begun) * 1e3)
            answers.append(answer)
        if answers[0] != answers[1]:
            raise RuntimeError(f"{shape.name}, {values}: the store and the SQL by hand answer {answers}")
    return Measured(p50(ours), p95(ours), p50(hand), p95(hand))


def p50(times: list[list[float]]) -> float:
    """The mean of the medians."""
    return statistics.mean(statistics.median(each) for each in times)


def p95(times: list[list[float]]) -> float:
    """The 95th percentile of all."""
    every = sorted(itertools.chain(*times))
    return every[int(len(every) * 0.95)]


def questions(home: Home, dialect: str, many: int, rounds: int, rows: list[list[str]]) -> tuple[float, float]:
    """Every shape of question to one store: the worst p95, and the worst ratio to SQL by hand."""
    worst, ratio = 0.0, 0.0
    warm(home)
    with home.reading() as database:
        for shape in shapes(many):
            scan = shape.name.startswith("undeclared") and dialect == "sqlite"
            found = measure(database, shape, 5 if scan else rounds)
            if shape.indexed or (shape.name.startswith("undeclared") and not scan):
                worst, ratio = max(worst, found.p95), max(ratio, found.p50 / found.hand)
            times = (
                f"{found.p50:.3f}",
                f"{found.p95:.3f}",
                f"{found.hand:.3f}",
                f"{found.hand_p95:.3f}",
                f"{found.p50 / found.hand:.2f}",
            )
            rows.append([dialect, shape.name, *times])
    return worst, ratio


def main() -> None:
    """Measure and report."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--objects", type=int, default=1_000_000)
    arguments.add_argument("--records", type=int, default=100_000)
    arguments.add_argument("--filters", type=int, default=100_000)
    arguments.add_argument("--rounds", type=int, default=ROUNDS)
    arguments.add_argument("--stores", default="sqlite,postgresql")
    arguments.add_argument("--folder", default="", help="keep the filled stores here")
    arguments.add_argument("--fill", action="store_true", help="fill the stores, ask nothing")
    options = arguments.parse_args()
    rows: list[list[str]] = []
    worst, ratio, insert = 0.0, 0.0, float("inf")
    for name, home, filled in stores(options.stores.split(","), options.folder, options.objects, options.records):
        title = f"import of {filled.objects + filled.records:,} with all indexes"
        rows.append([name, title, f"{filled.per_second:,.0f} rows/s", "", "", "", ""])
        insert = min(insert, filled.per_second)
        if not options.fill:
            found = questions(home, name, options.objects, options.rounds, rows)
            worst, ratio = max(worst, found[0]), max(ratio, found[1])
    figures = {"insert_per_s": insert}
    if not options.fill:
        match = matching(options.filters)
        rows.append(["", f"one object against {options.filters:,} filters, mixed", f"{match:.3f}", "", "", "", ""])
        for shape, each in medians(options.filters):
            rows.append(["", f"one object against {options.filters:,} filters: {shape}", f"{each:.3f}", "", "", "", ""])
        figures = {"worst_p95_ms": worst, "vs_hand_sql": ratio, "match_100k_filters_ms": match, **figures}
    columns = ["store", "question", "p50 ms", "p95 ms", "by hand p50 ms", "p95 ms", "ratio"]
    report(f"catalogue of {options.objects:,} objects, {options.records:,} records", columns, rows, figures)


if __name__ == "__main__":
    main()
