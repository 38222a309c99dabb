"""A synthetic radio observation as a MeasurementSet in the real casacore format, and its zip without compression.

The sky is four point sources; the UVW come from casacore's own measures; stations have gain errors and every visibility noise.
Seeded: the same parameters give the same visibilities. Source of the layout: MeasurementSet definition 2.0 (CASA note 229).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from infra.taska.archive import pack

__all__ = ["Observation", "pack", "sky_model", "write"]
LIGHT = 299_792_458.0
START = 5.2e9  # modified Julian date in seconds, September 2023
#: Nançay: latitude and longitude in radians, and a station's place near it in metres (ITRF).
LATITUDE, LONGITUDE, SITE = 0.826816, 0.038310, np.array([4324017.0, 165545.0, 4670271.0])
#: Flux in Jy, and place on the sky as direction cosines (l, m) from the phase centre.
SOURCES = ((120.0, 0.0, 0.0), (45.0, 0.02, 0.01), (25.0, -0.03, 0.02), (12.0, 0.01, -0.04))
#: Right ascension and declination of the phase centre, radians: in the zenith at the start.
DIRECTION = (0.803, LATITUDE)
LAYOUTS = ("dp3", "casa", "channels", "windows")


@dataclass(frozen=True)
class Observation:
    """What is observed. ``size`` is about ``40 bytes x stations^2 / 2 x times x channels`` (four correlations).

    Attributes:
        stations, times, channels: how many; baselines include each station with itself.
        interval: seconds of a time step.
        frequency, width: of the first channel and of each, Hz.
        layout: how the columns are tiled: ``dp3`` (TiledColumnStMan, as DP3 writes), ``casa`` (TiledShapeStMan),
            ``channels`` (TiledShapeStMan, tiles that hold only some channels), ``windows`` (two spectral windows of
            different width in turn, hence several hypercubes).
        seed: of the random numbers.

    """

    stations: int = 20
    times: int = 32
    channels: int = 64
    interval: float = 8.0
    frequency: float = 60e6
    width: float = 195_312.5 / 16
    layout: str = "dp3"
    seed: int = 1


def write(path: Path, what: Observation | None = None) -> Path:
    """Make the MeasurementSet ``path`` (a folder whose name should end in ``.ms``).

    Raises:
        ValueError: an unknown layout.

    """
    what = what or Observation()
    if what.layout not in LAYOUTS:
        raise ValueError(f"there is no layout {what.layout!r}; layouts are {', '.join(LAYOUTS)}")
    from casacore import tables

    rng = np.random.default_rng(what.seed)
    with _silent():
        main = tables.default_ms(str(path), *_columns(what, tables))
        try:
            _subtables(main, what, rng, tables)
            _rows(main, what, rng, tables)
        finally:
            main.close()
    return path


def sky_model(sources: tuple[tuple[float, float, float], ...] = SOURCES) -> str:
    """The sky as a text model in the format of makesourcedb (DP3), for calibration. ``sources`` as ``SOURCES``."""
    lines = ["FORMAT = Name, Type, Ra, Dec, I, Q, U, V, ReferenceFrequency='60e6', SpectralIndex"]
    for number, (flux, el, em) in enumerate(sources):
        en = np.sqrt(1 - el * el - em * em)
        declination = np.arcsin(em * np.cos(DIRECTION[1]) + en * np.sin(DIRECTION[1]))
        right = DIRECTION[0] + np.arctan2(el, en * np.cos(DIRECTION[1]) - em * np.sin(DIRECTION[1]))
        lines.append(f"s{number}, POINT, {np.degrees(right):.9f}deg, {np.degrees(declination):.9f}deg, {flux}, 0, 0, 0, , []")
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep to itself what casacore's C++ prints, and says of the age of its leap seconds."""
    with open(os.devnull, "wb") as sink:  # noqa: PTH123 - a device, for its descriptor only
        saved = [(descriptor, os.dup(descriptor)) for descriptor in (1, 2)]
        for descriptor, _ in saved:
            os.dup2(sink.fileno(), descriptor)
        try:
            yield
        finally:
            for descriptor, kept in saved:
                os.dup2(kept, descriptor)
                os.close(kept)


def _columns(what: Observation, tables: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The main table's description and its storage managers."""
    shape = [what.channels, 4]
    fixed = what.layout == "dp3"
    description = tables.required_ms_desc()

    def column(name: str, like: Any, kind: str, unit: str = "") -> None:
        options = {"shape": shape, "options": 4} if fixed else {}
        made = tables.makearrcoldesc(name, like, ndim=2, valuetype=kind, **options)
        if unit:
            made["desc"]["keywords"] = {"QuantumUnits": [unit]}
        description.update(tables.maketabdesc(made))

    column("DATA", 0j, "complex", "Jy")
    column("WEIGHT_SPECTRUM", 0.0, "float")
    description.pop("FLAG")
    column("FLAG", False, "bool")
    for name, length in (("UVW", 3), ("WEIGHT", 4), ("SIGMA", 4)):
        description[name].update({"shape": np.array([length], dtype="i4"), "ndim": 1, "option": 5})
    kind = "TiledColumnStMan" if fixed else "TiledShapeStMan"
    channels = max(1, what.channels // 4) if what.layout == "channels" else what.channels
    managers = [(name, kind, [name], {"DEFAULTTILESHAPE": [4, channels, rows]}) for name, rows in _TILE_ROWS.items()]
    managers.append(("UVW", "TiledColumnStMan", ["UVW"], {"DEFAULTTILESHAPE": [3, 1024]}))
    slow = ["TIME", "TIME_CENTROID", "INTERVAL", "EXPOSURE", "SCAN_NUMBER", "FIELD_ID", "ARRAY_ID", "OBSERVATION_ID"]
    slow += ["PROCESSOR_ID", "STATE_ID", "FEED1", "FEED2", "DATA_DESC_ID"]
    managers.append(("ISM", "IncrementalStMan", slow, {}))
    managers.append(("SSM", "StandardStMan", ["ANTENNA1", "ANTENNA2", "FLAG_ROW", "WEIGHT", "SIGMA"], {}))
    return description, {
        f"*{number}": {"NAME": name, "TYPE": kind, "SPEC": spec, "COLUMNS": columns, "SEQNR": number}
        for number, (name, kind, columns, spec) in enumerate(managers, 1)
    }


_TILE_ROWS = {"DATA": 512, "WEIGHT_SPECTRUM": 512, "FLAG": 4096}


def _subtables(main: Any, what: Observation, rng: np.random.Generator, tables: Any) -> None:
    def fill(name: str, rows: int, **values: Any) -> None:
        with tables.table(main.getkeyword(name), readonly=False, ack=False) as sub:
            sub.addrows(rows)
            for column, value in values.items():
                for row in range(rows):
                    sub.putcell(column, row, value[row] if isinstance(value, list) else value)

    end = START + what.interval * what.times
    east, north, up = _frame()
    spread = rng.normal(size=(what.stations, 3)) * (300.0, 300.0, 3.0)
    places = SITE + spread @ np.array([east, north, up])
    names = [f"ST{number:03}" for number in range(what.stations)]
    fill(
        "ANTENNA", what.stations, NAME=names, STATION=names, TYPE="GROUND-BASED", MOUNT="X-Y", DISH_DIAMETER=25.0,
        POSITION=list(places), OFFSET=np.zeros(3),
    )  # fmt: skip
    direction = np.array([DIRECTION])
    fill("FIELD", 1, NAME="SKY", TIME=START, PHASE_DIR=direction, DELAY_DIR=direction, REFERENCE_DIR=direction, NUM_POLY=0)
    windows = _windows(what)
    frequencies = [what.frequency + 5e6 * window + what.width * np.arange(count) for window, count in enumerate(windows)]
    widths = [np.full(count, what.width) for count in windows]
    fill(
        "SPECTRAL_WINDOW", len(windows), NUM_CHAN=list(windows), NAME=[f"SB{number}" for number in range(len(windows))],
        CHAN_FREQ=frequencies, CHAN_WIDTH=widths, EFFECTIVE_BW=widths, RESOLUTION=widths, MEAS_FREQ_REF=5,
        REF_FREQUENCY=[float(chan.mean()) for chan in frequencies], TOTAL_BANDWIDTH=[what.width * n for n in windows],
    )  # fmt: skip
    products = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype="i4")
    fill("POLARIZATION", 1, NUM_CORR=4, CORR_TYPE=np.array([9, 10, 11, 12], dtype="i4"), CORR_PRODUCT=products)
    fill("DATA_DESCRIPTION", len(windows), SPECTRAL_WINDOW_ID=list(range(len(windows))), POLARIZATION_ID=0)
    fill(
        "OBSERVATION", 1, TELESCOPE_NAME="NenuFAR", OBSERVER="demo", PROJECT="SLUICE", TIME_RANGE=np.array([START, end]),
        LOG=["none"], SCHEDULE=["none"],
    )  # fmt: skip


def _frame() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """East, north and up at the site as ITRF unit vectors."""
    up = np.array([np.cos(LATITUDE) * np.cos(LONGITUDE), np.cos(LATITUDE) * np.sin(LONGITUDE), np.sin(LATITUDE)])
    east = np.array([-np.sin(LONGITUDE), np.cos(LONGITUDE), 0.0])
    return east, np.cross(up, east), up


def _windows(what: Observation) -> tuple[int, ...]:
    """Channels of each spectral window."""
    return (what.channels, max(1, what.channels // 2)) if what.layout == "windows" else (what.channels,)


def _rows(main: Any, what: Observation, rng: np.random.Generator, tables: Any) -> None:
    one, two = np.triu_indices(what.stations)
    baselines, steps = len(one), what.times
    windows = _windows(what)
    window = np.tile(np.repeat(np.arange(len(windows)), baselines), steps)
    time = np.repeat(START + what.interval * (np.arange(steps) + 0.5), baselines * len(windows))
    main.addrows(len(time))
    scan = 1 + (np.arange(len(time)) >= len(time) // 2)  # the scan changes half way: no column is constant by chance
    columns = {
        "TIME": time, "TIME_CENTROID": time, "INTERVAL": what.interval, "EXPOSURE": what.interval,
        "ANTENNA1": np.tile(one, steps * len(windows)), "ANTENNA2": np.tile(two, steps * len(windows)),
        "SCAN_NUMBER": scan, "DATA_DESC_ID": window, "FIELD_ID": 0, "ARRAY_ID": 0, "OBSERVATION_ID": 0,
        "PROCESSOR_ID": -1, "STATE_ID": -1, "FEED1": 0, "FEED2": 0,
    }  # fmt: skip
    for name, value in columns.items():
        kind = "f8" if name in ("TIME", "TIME_CENTROID", "INTERVAL", "EXPOSURE") else "i4"
        main.putcol(name, np.broadcast_to(np.asarray(value, dtype=kind), len(time)).copy())
    main.flush()
    for first in range(0, len(time), 8192):  # a calculation over many rows takes memory as their square
        some = tables.taql(f"select from $1 limit 8192 offset {first}", tables=[main])
        main.putcol("UVW", tables.taql("calc mscal.uvwj2000() from $1", tables=[some]).reshape(-1, 3), first, some.nrows())
        some.close()
    main.putcol("WEIGHT", np.ones((len(time), 4), dtype="f4"))
    main.putcol("SIGMA", np.ones((len(time), 4), dtype="f4"))
    gains = 1 + 0.1 * (rng.normal(size=what.stations) + 1j * rng.normal(size=what.stations))
    uvw = main.getcol("UVW")
    for block, (number, channels) in enumerate((number, count) for _ in range(steps) for number, count in enumerate(windows)):
        first = block * baselines
        frequency = what.frequency + 5e6 * number + what.width * np.arange(channels)
        data = _visibilities(uvw[first : first + baselines], frequency, rng, gains[one] * gains[two].conj())
        flag = np.zeros(data.shape, dtype=bool)
        flag[:, channels // 3] = rng.random(baselines)[:, None] < 0.3  # a line of interference
        flag[one == two, 0] = True
        main.putcol("DATA", data, first, baselines)
        main.putcol("FLAG", flag, first, baselines)
        main.putcol("WEIGHT_SPECTRUM", np.full(data.shape, 1.0 + block % 7, dtype="f4"), first, baselines)


def _visibilities(uvw: np.ndarray, frequency: np.ndarray, rng: np.random.Generator, gains: np.ndarray) -> np.ndarray:
    """What the baselines ``uvw`` (metres) see of ``SOURCES`` with noise: (baselines, channels, correlations)."""
    data = np.zeros((len(uvw), len(frequency)), dtype="c16")
    for flux, el, em in SOURCES:
        metres = uvw @ np.array([el, em, np.sqrt(1 - el * el - em * em) - 1])
        data += flux * np.exp(2j * np.pi * metres[:, None] * frequency / LIGHT)
    data *= gains[:, None]
    full = np.zeros((*data.shape, 4), dtype="c8")
    full[..., 0] = full[..., 3] = data
    noise = rng.normal(size=(*full.shape, 2)).astype("f4")
    result: np.ndarray = full + 5 * (noise @ np.array([1, 1j], dtype="c8"))
    return result
