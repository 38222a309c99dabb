"""The steps: each a plain function that a map calls with an opened slice of a MeasurementSet.

Each writes its result into the lake, below ``to``, and returns what it made of what. They have few settings on purpose: a step
of your own is a function like these.
"""

from __future__ import annotations

from math import lcm
from pathlib import Path

from events.errors import Reject
from events.types import ObjectDerived
from functions.formats.measurement_set import SlicePath
from infra.runtime.derived import keep, lake, name
from infra.taska.archive import MEDIA_TYPE, pack
from infra.taska.programs import dp3, strategy, wsclean

#: Kilobytes of a tile of a result; with DP3's own 1024, small results are mostly padding.
TILE = 256


def rebin(
    ms: SlicePath,
    *,
    to: str,
    timestep: int = 8,
    freqstep: int = 4,
    window: int = 0,
    flagging: str = "generic-default",
    align: int = 1,
    threads: int = 1,
) -> ObjectDerived:
    """Flag interference with AOFlagger, then average.

    The result is the same bits for every number of slices when these are cut at multiples of ``timestep`` and ``window``
    (user metadata ``align`` of the observation).

    Args:
        ms: the slice.
        to: ``s3://BUCKET/PREFIX/``.
        timestep: time steps to average into one.
        freqstep: channels to average into one.
        window: time steps that AOFlagger looks at together; 0 is as many as ``timestep``. Larger ones find fainter
            interference and take more memory.
        flagging: AOFlagger's strategy; ``""`` does not flag.
        align: time steps of the result that must stay together in the next step.
        threads: of DP3.

    Raises:
        Reject: the slice is cut where averaging or flagging would cross it.

    """
    window = window or timestep
    _aligned(ms, lcm(timestep, window) if flagging else timestep, "timestep and window")
    folder = Path(ms).parent
    told = {"avg.type": "averager", "avg.timestep": timestep, "avg.freqstep": freqstep}
    if flagging:
        told |= {"flag.type": "aoflag", "flag.strategy": strategy(flagging), "flag.timewindow": window}
    result = folder / f"{name(ms.part)}.ms"
    steps = ["flag", "avg"] if flagging else ["avg"]
    dp3(folder, steps, {"msin": ms, "msout": result, "msout.tilesize": TILE, "numthreads": threads, **told})
    settings = (timestep, freqstep, window, flagging, align)
    with lake() as store:
        return keep(store, pack(result, folder / f"{result.name}.zip"), to, ms.part, "rebin", settings, MEDIA_TYPE, align=align)


def calibrate(ms: SlicePath, *, to: str, sky: str, solint: int = 4, nchan: int = 4, threads: int = 1) -> ObjectDerived:
    """Solve for the stations' gains against a sky model, and apply them.

    Args:
        ms: the slice.
        to: ``s3://BUCKET/PREFIX/``.
        sky: the model, as text in the format of makesourcedb, or ``s3://BUCKET/KEY`` of that.
        solint: time steps with one solution; slices must be cut at multiples of it.
        nchan: channels with one solution.
        threads: of DP3.

    Raises:
        Reject: the slice is cut inside a solution.
        NotFound: there is no such model.

    """
    _aligned(ms, solint, "solutions")
    folder = Path(ms).parent
    model, result = folder / "sky.skymodel", folder / f"{name(ms.part)}.ms"
    with lake() as store:
        if sky.startswith("s3://"):
            bucket, _, key = sky.removeprefix("s3://").partition("/")
            sky = b"".join(store.stream(bucket, key)).decode()
        model.write_text(sky)
        solve = {
            "type": "gaincal", "caltype": "diagonal", "sourcedb": model, "solint": solint, "nchan": nchan,
            "parmdb": folder / "gains.h5", "applysolution": True,
        }  # fmt: skip
        told = {f"solve.{name}": value for name, value in solve.items()}
        dp3(folder, ["solve"], {"msin": ms, "msout": result, "msout.tilesize": TILE, "numthreads": threads, **told})
        settings = (sky, solint, nchan)
        return keep(store, pack(result, folder / f"{result.name}.zip"), to, ms.part, "calibrate", settings, MEDIA_TYPE)


def image(
    ms: SlicePath,
    *,
    to: str,
    size: int = 512,
    scale: str = "2amin",
    niter: int = 2000,
    options: tuple[str, ...] = (),
    threads: int = 1,
) -> ObjectDerived:
    """Make a cleaned image of the sky (Stokes I) with WSClean.

    Args:
        ms: the slice; usually one with all time steps.
        to: ``s3://BUCKET/PREFIX/``.
        size: pixels along a side.
        scale: of a pixel, with its unit.
        niter: most components that are cleaned.
        options: further options of WSClean.
        threads: of WSClean.

    Raises:
        Reject: WSClean made another number of images with these options.

    """
    folder = Path(ms).parent
    fixed = ["-quiet", "-j", threads, "-reorder", "-no-update-model-required", "-use-wgridder", "-temp-dir", folder]
    chosen = ["-size", size, size, "-scale", scale, "-niter", niter, "-mgain", 0.8, "-auto-threshold", 3, *options]
    wsclean(folder, [*fixed, *chosen, "-name", "made", ms])
    made = folder / "made-image.fits"
    if not made.is_file():
        raise Reject(f"WSClean did not make one image with the options {' '.join(map(str, options))}")
    result = made.rename(folder / f"{name(ms.part)}.fits")
    with lake() as store:
        return keep(store, result, to, ms.part, "image", (size, scale, niter, options), "image/fits")


def _aligned(ms: SlicePath, steps: int, why: str) -> None:
    """Refuse a slice that is not cut at multiples of so many time steps, but at the observation's end."""
    low, high = ms.part.data["times"]
    if low % steps or (high % steps and ms.part.number < ms.part.of - 1):
        raise Reject(
            f"a slice of s3://{ms.part.bucket}/{ms.part.key} has the time steps {low} to {high}, but {why} want cuts at "
            f"multiples of {steps}: upload it with the user metadata align={steps}"
        )
