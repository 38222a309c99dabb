"""The pipeline's steps with the real DP3, casacore and WSClean, over slices of observations in an S3 store."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from events.errors import Reject
from events.types import ObjectDerived
from functions.formats import by_name
from functions.formats.format import Slice
from functions.formats.source import Source
from infra.demo.measurement_set import LAYOUTS, SOURCES, Observation, pack, sky_model, write
from infra.objects.s3 import S3Store
from infra.runtime import derived
from infra.runtime.probe import ENVIRONMENT
from infra.taska import programs
from infra.taska.archive import unpack
from infra.taska.concat import join
from infra.taska.tasks import calibrate, image, rebin
from tests.conftest import ACCESS, SECRET, eventually, need

FORMAT = by_name("measurementset")
#: Compares the cells of two tables; prints the number of rows.
SAME = """
import os, sys
out = os.dup(1); os.dup2(2, 1)
from casacore.tables import table
one, other = (table(sys.argv[1], ack=False), table(sys.argv[2], ack=False))
assert one.nrows() == other.nrows() and sorted(one.colnames()) == sorted(other.colnames())
for name in one.colnames():
    if one.iscelldefined(name, 0):
        a, b = one.getcol(name), other.getcol(name)
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes()) if hasattr(a, "tobytes") else a == b, name
os.write(out, str(one.nrows()).encode())
"""


class Lake:
    """An S3 store, and slices of what is put there."""

    def __init__(self, store: S3Store) -> None:
        self.store = store
        store.ensure("lake")

    def put(self, key: str, file: Path, **user: str) -> None:
        self.store.upload("lake", key, file, content_type="application/zip", user=user)

    def slices(self, key: str, count: int) -> list[Slice]:
        info = self.store.head("lake", key)
        index = FORMAT.index(Source(self.store, "lake", key, info.size, info.etag, info.user), {})
        assert index is not None
        self.store.write("lake", f"index/{key}", index.encode())
        return FORMAT.slices(index, count, bucket="lake", key=key, index_at=f"lake/index/{key}")

    def run(self, task: Any, key: str, count: int, **told: Any) -> list[ObjectDerived]:
        made = []
        for part in self.slices(key, count):
            with part.open(self.store) as opened:
                made.append(task(opened, **told))
        return made

    def fetch(self, one: ObjectDerived, folder: Path) -> Path:
        """The MeasurementSet of a result."""
        archive = folder / "fetched.zip"
        self.store.client.download_file("lake", one.result.key, str(archive))
        return unpack(archive, folder)


@pytest.fixture
def lake(objects: S3Store, monkeypatch: pytest.MonkeyPatch) -> Lake:
    keys = {"endpoint": objects.endpoint, "access_key": ACCESS, "secret_key": SECRET, "region": "us-east-1"}
    for name, value in keys.items():
        monkeypatch.setenv(ENVIRONMENT[name], value)
    return Lake(objects)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 stations, 32 time steps."""
    folder = tmp_path_factory.mktemp("small")
    return pack(write(folder / "small.ms"), folder / "small.ms.zip")


def test_the_rebinned_observation_is_the_same_bits_for_every_number_of_slices(lake: Lake, tmp_path: Path) -> None:
    path = write(tmp_path / "small.ms", Observation(stations=8, times=20))
    lake.put("small.ms.zip", pack(path, tmp_path / "small.ms.zip"), align="2")
    whole = tmp_path / "whole.ms"
    told = {
        "msin": path, "msout": whole, "flag.type": "aoflag", "flag.timewindow": 2,
        "flag.strategy": programs.strategy("generic-default"), "avg.type": "averager", "avg.timestep": 2, "avg.freqstep": 4,
    }  # fmt: skip
    programs.dp3(tmp_path, ["flag", "avg"], told)
    for count in (3, 5):
        made = lake.run(rebin, "small.ms.zip", count, to=f"s3://lake/{count}/", timestep=2)
        assert len({one.result.key for one in made}) == count
        (joined, *_) = join(lake.store, made, f"s3://lake/joined{count}/")
        (tmp_path / str(count)).mkdir()
        path = lake.fetch(joined, tmp_path / str(count))
        done = subprocess.run([sys.executable, "-c", SAME, str(whole), str(path)], capture_output=True, text=True)
        assert done.stdout == str(10 * 36), done.stderr


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout != "windows"])
def test_every_layout_is_averaged_as_dp3_averages_the_whole(lake: Lake, layout: str, tmp_path: Path) -> None:
    what = Observation(stations=5, times=12, channels=16, layout=layout)
    path = write(tmp_path / "in.ms", what)
    lake.put("in.ms.zip", pack(path, tmp_path / "in.ms.zip"), align="4")
    whole = tmp_path / "whole.ms"
    programs.dp3(
        tmp_path, ["avg"], {"msin": path, "msout": whole, "avg.type": "averager", "avg.timestep": 4, "avg.freqstep": 4}
    )
    made = lake.run(rebin, "in.ms.zip", 2, to="s3://lake/out/", timestep=4, flagging="")
    joined = lake.fetch(join(lake.store, made, "s3://lake/joined/")[0], tmp_path)
    done = subprocess.run([sys.executable, "-c", SAME, str(whole), str(joined)], capture_output=True, text=True)
    assert done.stdout == str(3 * 15), done.stderr


@pytest.mark.server
def test_the_image_shows_the_four_sources_in_place(lake: Lake, small: Path, tmp_path: Path) -> None:
    need("wsclean")
    from astropy.io import fits

    lake.put("small.ms.zip", small, align="2")
    made = lake.run(rebin, "small.ms.zip", 1, to="s3://lake/rebinned/", timestep=2)
    (calibrated,) = lake.run(calibrate, made[0].result.key, 1, to="s3://lake/calibrated/", sky=sky_model())
    (shown,) = lake.run(image, calibrated.result.key, 1, to="s3://lake/images/")
    assert shown.of == calibrated.result
    lake.store.client.download_file("lake", shown.result.key, str(tmp_path / "image.fits"))
    with fits.open(tmp_path / "image.fits") as opened:
        sky, header = opened[0].data[0, 0], opened[0].header
    step = np.radians(header["CDELT2"])
    for flux, el, em in SOURCES:
        x, y = round(header["CRPIX1"] - 1 - el / step), round(header["CRPIX2"] - 1 + em / step)
        around = sky[y - 8 : y + 9, x - 8 : x + 9]
        up, across = np.unravel_index(around.argmax(), around.shape)
        assert max(abs(up - 8), abs(across - 8)) <= 1, (flux, el, em)
        assert around.max() == pytest.approx(flux, rel=0.2)


def test_results_name_their_original_and_are_written_once(lake: Lake, small: Path) -> None:
    lake.put("night/small.ms.zip", small)
    told: dict[str, Any] = {"to": "s3://lake/out/", "timestep": 4, "flagging": "", "align": 2}
    (first,) = lake.run(rebin, "night/small.ms.zip", 1, **told)
    found = lake.store.head("lake", first.result.key)
    assert first.of.key == "night/small.ms.zip"
    assert found.user["sluice-source"] == "s3://lake/night/small.ms.zip"
    assert found.user["sluice-source-etag"] == first.of.etag
    assert found.user["align"] == "2"
    assert int(found.user[derived.PART_BYTES]) < first.of.size
    (again,) = lake.run(rebin, "night/small.ms.zip", 1, **told)
    assert again == first
    (other,) = lake.run(rebin, "night/small.ms.zip", 1, **(told | {"timestep": 8}))
    assert other.result.key == first.result.key
    assert other.result.etag != first.result.etag
    lake.put("morning/small.ms.zip", small)
    (elsewhere,) = lake.run(rebin, "morning/small.ms.zip", 1, **told)
    assert elsewhere.result.key != first.result.key


def test_slices_that_a_step_would_cross_are_refused(lake: Lake, small: Path) -> None:
    lake.put("small.ms.zip", small)
    (first, *_) = lake.slices("small.ms.zip", 3)
    with first.open(lake.store) as opened:
        assert opened.part == first
        with pytest.raises(Reject, match="align=8"):
            rebin(opened, to="s3://lake/out/", timestep=4, window=8)
        with pytest.raises(Reject, match="align=4"):
            calibrate(opened, to="s3://lake/out/", sky="")
        with pytest.raises(Reject, match="no place"):
            rebin(opened, to="lake/out/", timestep=1, flagging="")
        with pytest.raises(RuntimeError, match=r"DP3 ended with 1: .*RuntimeError"):
            calibrate(opened, to="s3://lake/out/", sky="no model", solint=1)


def test_a_missing_program_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Reject, match=r"sluice\[taska\]"):
        programs.dp3(tmp_path, [], {})
    with pytest.raises(Reject, match=r"sluice\[taska\]"):
        programs.strategy("generic-default")
    with pytest.raises(Reject, match="apt-get install wsclean"):
        programs.wsclean(tmp_path, [])


def test_an_unknown_strategy_is_told_with_those_that_there_are() -> None:
    with pytest.raises(Reject, match="generic-default"):
        programs.strategy("none-such")


def test_programs_do_not_get_the_keys_of_the_lake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = tmp_path / "wsclean"
    told.write_text(
        f"#!{sys.executable}\nimport os, sys\nprint(sorted(os.environ), file=open('told', 'w'))\nos.kill(os.getpid(), 9)\n"
    )
    told.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SLUICE_OBJECTS_SECRET_KEY", "secret")
    with pytest.raises(MemoryError, match="killed"):
        programs.wsclean(tmp_path, [])
    assert "OPENBLAS_NUM_THREADS" in (tmp_path / "told").read_text()
    assert "SLUICE" not in (tmp_path / "told").read_text()


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv of util-linux")
def test_a_program_ends_with_the_worker_that_is_killed(tmp_path: Path) -> None:
    told = tmp_path / "wsclean"
    told.write_text("#!/bin/sh\necho $$ > made && mv made pid\nexec sleep 600\n")
    told.chmod(0o755)
    code = f"from infra.taska import programs; from pathlib import Path; programs.wsclean(Path({str(tmp_path)!r}), [])"
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    with subprocess.Popen([sys.executable, "-c", code], env=environment) as worker:
        eventually((tmp_path / "pid").exists, 60)
        program = psutil.Process(int((tmp_path / "pid").read_text()))
        worker.kill()
    eventually(lambda: not program.is_running() or program.status() == psutil.STATUS_ZOMBIE, 60)


def test_the_small_files_of_an_archive_come_first(small: Path) -> None:
    with zipfile.ZipFile(small) as archive:
        tiled = ["_TSM" in name for name in archive.namelist()]
    assert tiled == sorted(tiled)
    assert sum(tiled) == 4
