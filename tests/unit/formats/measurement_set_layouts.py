"""MeasurementSets in layouts that the demo does not write: ``python measurement_set_layouts.py NAME FOLDER``.

A program of its own, for casacore stays out of the process that tests. Each layout is a function; cells are random numbers.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from casacore import tables

ROWS, BASELINES = 66, 6
RNG = np.random.default_rng(3)
#: A column's value in its description, its type there, and in numpy.
KINDS: dict[str, tuple[Any, str]] = {
    "c8": (0j, "complex"), "c16": (0j, "dcomplex"), "f4": (0.0, "float"), "f8": (0.0, "double"), "?": (False, "bool"),
    "u1": (0, "uchar"), "i2": (0, "short"), "i4": (0, "int"), "i8": (0, "int64"),
}  # fmt: skip
Manager = tuple[str, Sequence[str], dict[str, Any]]
Shape = tuple[int, ...] | None


class Maker:
    """The MeasurementSet at ``path``, with ``arrays`` (name to numpy type) of ``shape`` (of every row, or of each)."""

    def __init__(
        self,
        path: str,
        managers: Sequence[Manager],
        arrays: dict[str, str],
        shape: Shape | Callable[[int], Shape] = (5, 2),
        *,
        rows: int = ROWS,
        fixed: bool = False,
        hyper: bool = False,
        more: Sequence[Any] = (),
    ) -> None:
        self.path, self.arrays = path, arrays
        self.shape = shape if callable(shape) else lambda row: shape
        description = tables.required_ms_desc()
        for name, kind in arrays.items():
            description.pop(name, None)
            like, called = KINDS[kind]
            cell = self.shape(0) or ()
            options = {"shape": list(cell), "options": 4} if fixed else {}
            made = tables.makearrcoldesc(name, like, ndim=len(cell), valuetype=called, **options)
            description.update(tables.maketabdesc(made))
        for each in more:
            description.update(tables.maketabdesc(each))
        if hyper:  # what a tiled manager wants to know of scalars
            description["_define_hypercolumn_"] = {
                f"m{number}": {"HCndim": 1, "HCdatanames": list(names)} for number, (_, names, _) in enumerate(managers, 1)
            }
        self.main = tables.default_ms(path, description, {
            f"*{number}": {"NAME": f"m{number}", "TYPE": kind, "SPEC": spec, "COLUMNS": list(names), "SEQNR": number}
            for number, (kind, names, spec) in enumerate(managers, 1)
        })  # fmt: skip
        self.main.addrows(rows)

    def fill(self, times: Any = None, first: int = 0) -> Maker:
        """Values for all columns of the rows from ``first`` on; ``times`` is the time step of each row."""
        main, rows = self.main, self.main.nrows()
        number = np.arange(rows)
        steps = number // BASELINES if times is None else times
        columns = {
            "TIME": 5e9 + 4.0 * steps,
            "TIME_CENTROID": 5e9 + 4.0 * steps + RNG.random(rows),
            "INTERVAL": 4.0 + number % 3,
        }
        columns |= {"ANTENNA1": number % BASELINES, "ANTENNA2": number % 5, "FLAG_ROW": RNG.random(rows) < 0.3}
        columns |= dict.fromkeys(("SCAN_NUMBER", "FIELD_ID", "STATE_ID", "DATA_DESC_ID"), number // 17)
        for name, values in columns.items():
            kind = {"f": "f8", "b": "?"}.get(values.dtype.kind, "i4")
            main.putcol(name, values.astype(kind))
        main.putcol("UVW", RNG.random((rows, 3)))
        for name, kind in self.arrays.items():
            for row in range(first, rows):
                if (shape := self.shape(row)) is not None:
                    main.putcell(name, row, _values(shape, kind))
        with tables.table(main.getkeyword("ANTENNA"), readonly=False, ack=False) as antennas:
            antennas.addrows(BASELINES)
            for row in range(BASELINES):
                antennas.putcell("NAME", row, f"Antenne {row} " + "x" * row * 9)
        return self

    def close(self) -> None:
        self.main.close()


def _values(shape: tuple[int, ...], kind: str) -> Any:
    numbers = RNG.random(shape) * 100
    if kind == "?":
        return numbers < 40
    return (numbers + 1j * RNG.random(shape)).astype(kind) if kind[0] == "c" else numbers.astype(kind)


def tiled(*columns: str, tile: Sequence[int] = (2, 5, 7), kind: str = "TiledShapeStMan") -> Manager:
    return kind, columns, {"DEFAULTTILESHAPE": list(tile)}


TWO = {"DATA": "c8", "FLAG": "?"}
TWO_TILED = [tiled("DATA"), tiled("FLAG", tile=(2, 5, 4000))]


def bits(path: str) -> None:
    """Flags whose rows do not begin at bytes."""
    Maker(path, [tiled("FLAG", tile=(3, 7, 5)), tiled("DATA", tile=(3, 7, 4))], TWO, (7, 3)).fill().close()


def column(path: str) -> None:
    """The same in columns of one shape, with tiles that hold some correlations only."""
    parts = [tiled("FLAG", tile=(3, 5, 7), kind="TiledColumnStMan"), tiled("DATA", tile=(2, 3, 10), kind="TiledColumnStMan")]
    Maker(path, parts, TWO, (5, 3), fixed=True).fill().close()


def together(path: str) -> None:
    """Columns of several types in one tiled manager."""
    arrays = {"DATA": "c8", "CORRECTED_DATA": "c8", "WEIGHT_SPECTRUM": "f4", "FLAG": "?"}
    Maker(path, [tiled(*arrays)], arrays).fill().close()


def shapes(path: str) -> None:
    """Another shape in nearly every row, none in some; also in a manager that is not tiled."""
    arrays = {"DATA": "c8", "FLAG": "?", "SIGMA_SPECTRUM": "f4", "WEIGHT_SPECTRUM": "f4"}
    managers = [tiled("DATA", tile=(2, 3, 5)), tiled("FLAG", tile=(2, 3, 9)), tiled("SIGMA_SPECTRUM", tile=(4, 4, 4))]
    managers.append(("StandardStMan", ["WEIGHT_SPECTRUM"], {}))
    Maker(path, managers, arrays, lambda row: None if row % 13 == 5 else (1 + row % 4, 1 + row % 2)).fill().close()


def big(path: str) -> None:
    """Big endian."""
    together(path)
    _copied(path, "big")


def little(path: str) -> None:
    """Little endian."""
    shapes(path)
    _copied(path, "little")


def untiled(path: str) -> None:
    """No tiled column at all, and scalars in managers that are unusual for them."""
    managers: list[Manager] = [("StandardStMan", ["DATA", "FLAG", "TIME"], {}), ("StManAipsIO", ["ANTENNA1"], {})]
    managers.append(("IncrementalStMan", ["UVW", "FLAG_ROW", "ANTENNA2"], {}))
    Maker(path, managers, TWO).fill().close()


def scalars(path: str) -> None:
    """Tiled scalars, several in one manager, and tiled bits."""
    managers = [tiled("ANTENNA1", "ANTENNA2", tile=[10], kind="TiledColumnStMan")]
    managers.append(tiled("FLAG_ROW", tile=[13], kind="TiledColumnStMan"))
    Maker(path, managers, {}, hyper=True).fill().close()


def types(path: str) -> None:
    """Columns of every type that can be tiled, in more than nine managers, with tiles of few rows."""
    arrays = {f"C{number}": kind for number, kind in enumerate([*KINDS, "f4", "c8"])}
    managers = [tiled(name, tile=(1 + n % 2, 1 + n % 5, 1 + n)) for n, name in enumerate(arrays)]
    Maker(path, managers, arrays).fill().close()


def descriptions(path: str) -> None:
    """Three data descriptions in turn, of different channels and correlations."""
    arrays = {"DATA": "c8", "FLAG": "?", "WEIGHT_SPECTRUM": "f4"}
    managers = [tiled(name, tile=(4, 8, 5 + n)) for n, name in enumerate(arrays)]
    Maker(path, managers, arrays, lambda row: [(8, 4), (3, 2), (16, 1)][row // 2 % 3]).fill().close()


def ragged(path: str) -> None:
    """Any number of rows at a time, and times at any distance."""
    Maker(path, TWO_TILED, TWO, rows=47).fill(np.sort(RNG.integers(0, 12, 47)) ** 2 * 0.1).close()


def grown(path: str) -> None:
    """Rows that were added in several steps, the last ones without data."""
    made = Maker(path, TWO_TILED, TWO, rows=5).fill()
    for more in (7, 1, 30):
        first = made.main.nrows()
        made.main.addrows(more)
        made.fill(first=first)
        made.main.flush()
    made.main.addrows(9)
    made.fill(first=52)
    made.close()


def row(path: str) -> None:
    """One row."""
    Maker(path, TWO_TILED, TWO, rows=1).fill().close()


def moment(path: str) -> None:
    """One time step."""
    Maker(path, TWO_TILED, TWO, rows=21).fill(np.zeros(21)).close()


def engine(path: str) -> None:
    """A column that is computed from a tiled one."""
    spec = {"SOURCENAME": "DATA", "TARGETNAME": "SMALL", "SCALE": 0.01, "OFFSET": 0.0, "AUTOSCALE": False}
    spec |= {"SCALENAME": "", "OFFSETNAME": ""}
    Maker(path, [("CompressComplex", ["DATA"], spec), tiled("SMALL")], {"SMALL": "i4", "DATA": "c8"}).fill().close()


def strings(path: str) -> None:
    """Texts of any length in the main table, keywords, and a further tiled sub-table with a table of its own."""
    more = [tables.makescacoldesc("NOTE", ""), tables.makescacoldesc("FIXED", "", maxlen=5)]
    more.append(tables.makearrcoldesc("TAGS", "", ndim=1, valuetype="string"))
    managers = [*TWO_TILED, ("StandardStMan", ["NOTE", "TAGS"], {}), ("IncrementalStMan", ["FIXED"], {})]
    made = Maker(path, managers, TWO, more=more).fill()
    for number in range(ROWS):
        made.main.putcell("NOTE", number, "é" * (number % 20))
        made.main.putcell("FIXED", number, "abcde"[: number % 5])
        made.main.putcell("TAGS", number, [f"t{number}", "long " * number])
    made.main.putkeyword("WHO", {"a": 1, "list": ["x", "y"], "nested": {"b": 2.5}})
    text = tables.makescacoldesc("S", "")
    description = tables.maketabdesc([text, tables.makearrcoldesc("T", 0.0, ndim=2, valuetype="float")])
    manager = {"*1": {"TYPE": "TiledShapeStMan", "NAME": "t", "COLUMNS": ["T"], "SPEC": {"DEFAULTTILESHAPE": [3, 3, 3]}}}
    with tables.table(f"{path}/EXTRA", description, nrow=4, dminfo=manager, ack=False) as extra:
        for number in range(4):
            extra.putcell("T", number, _values((3, 3), "f4"))
        with tables.table(f"{path}/EXTRA/INNER", tables.maketabdesc(text), nrow=3, ack=False) as inner:
            inner.putcol("S", ["a", "", "c" * 99])
            extra.putkeyword("INNER", f"Table: {path}/EXTRA/INNER")
    made.main.putkeyword("EXTRA", f"Table: {path}/EXTRA")
    made.close()


def pointing(path: str) -> None:
    """A pointing table far larger than the rows, most of its cells without a value."""
    made, rows = Maker(path, TWO_TILED, TWO).fill(), 30_000
    with tables.table(made.main.getkeyword("POINTING"), readonly=False, ack=False) as directions:
        directions.addrows(rows)
        directions.putcol("TIME", 5e9 + np.arange(float(rows)))
        for number in range(0, rows, 100):
            directions.putcell("DIRECTION", number, RNG.random((1, 2)))
    made.close()


def buckets(path: str) -> None:
    """Buckets of unusual sizes, in bytes and in rows."""
    managers: list[Manager] = [("StandardStMan", ["ANTENNA1", "TIME"], {"BUCKETSIZE": 256}), *TWO_TILED]
    managers.append(("StandardStMan", ["ANTENNA2", "FLAG_ROW"], {"BUCKETROWS": 3}))
    managers.append(("IncrementalStMan", ["SCAN_NUMBER", "UVW"], {"BUCKETSIZE": 700}))
    Maker(path, managers, TWO, rows=200).fill().close()


def indirect(path: str) -> None:
    """Long texts, and arrays of any shape and number of axes outside of the buckets."""
    more = [tables.makescacoldesc("NOTE", ""), tables.makearrcoldesc("ANY", 0.0, ndim=-1, valuetype="double")]
    more.append(tables.makearrcoldesc("NAMES", "", ndim=-1, valuetype="string"))
    made = Maker(path, TWO_TILED, TWO, more=more).fill()
    for number in range(ROWS):
        made.main.putcell("NOTE", number, "z" * number * 3000)
        if axes := number % 3:
            made.main.putcell("ANY", number, RNG.random((1 + number % 4,) * axes))
            made.main.putcell("NAMES", number, {"shape": [2, number], "array": ["n" * number] * 2 * number})
    made.close()


def altered(path: str) -> None:
    """A column renamed, one removed, one added later, rows removed, and some sub-tables taken away."""
    arrays = TWO | {"SIGMA_SPECTRUM": "f4"}
    managers: list[Manager] = [("StandardStMan", ["DATA", "FLAG"], {}), ("StandardStMan", ["SIGMA_SPECTRUM"], {})]
    made = Maker(path, managers, arrays).fill()
    made.main.renamecol("DATA", "RAW")
    made.main.removecols(["SIGMA_SPECTRUM"])
    made.main.removerows([3, 17, 40])
    added = tables.maketabdesc(tables.makearrcoldesc("MODEL_DATA", 0j, ndim=2, valuetype="complex"))
    spec = {"DEFAULTTILESHAPE": [2, 5, 11]}
    made.main.addcols(added, {"TYPE": "TiledShapeStMan", "NAME": "model", "SPEC": spec})
    for number in range(0, made.main.nrows(), 2):
        made.main.putcell("MODEL_DATA", number, _values((5, 2), "c8"))
    for name in ("HISTORY", "FLAG_CMD", "STATE"):
        made.main.removekeyword(name)
        shutil.rmtree(f"{path}/{name}")
    made.close()


# What cannot be sliced.


def elsewhere(path: str) -> None:
    made = Maker(path, TWO_TILED, TWO).fill()
    shutil.copytree(f"{path}/HISTORY", f"{path}.history")
    made.main.putkeyword("HISTORY", f"Table: {path}.history")
    made.close()


def empty(path: str) -> None:
    Maker(path, TWO_TILED, TWO, rows=0).close()


def cells(path: str) -> None:
    Maker(path, [tiled("DATA", tile=(2, 5), kind="TiledCellStMan")], {"DATA": "c8"}).fill().close()


def times(path: str) -> None:
    Maker(path, [tiled("TIME", tile=[10], kind="TiledColumnStMan")], {}, hyper=True).fill().close()


def again(path: str) -> None:
    Maker(path, TWO_TILED, TWO).fill(np.arange(ROWS) % 3).close()


def query(path: str) -> None:
    Maker(path, TWO_TILED, TWO).fill().close()
    spec = {"TAQLCALCEXPR": "TIME*2", "TAQLSTYLE": ""}
    with tables.table(path, readonly=False, ack=False) as main:
        info = {"TYPE": "VirtualTaQLColumn", "NAME": "v", "SPEC": spec}
        main.addcols(tables.maketabdesc(tables.makescacoldesc("DOUBLE", 0.0)), info)


def reference(path: str) -> None:
    Maker(f"{path}.base", TWO_TILED, TWO).fill().close()
    with tables.table(f"{path}.base", ack=False) as base:
        base.selectrows(list(range(10, 40))).copy(path).close()


def concatenation(path: str) -> None:
    Maker(f"{path}.base", TWO_TILED, TWO).fill().close()
    with tables.table([f"{path}.base", f"{path}.base"], ack=False) as both:
        both.rename(path)


def forwarded(path: str) -> None:
    Maker(f"{path}.base", TWO_TILED, TWO).fill().close()
    tables.msconcat([f"{path}.base", f"{path}.base"], path)


def _copied(path: str, endian: str) -> None:
    with tables.table(path, ack=False) as whole:
        whole.copy(f"{path}.copy", deep=True, valuecopy=True, endian=endian).close()
    shutil.rmtree(path)
    shutil.move(f"{path}.copy", path)


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2])
