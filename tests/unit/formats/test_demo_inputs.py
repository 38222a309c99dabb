"""The demo's inputs: real files of the right size, the same each time, and three that are broken in the announced way."""

from pathlib import Path
from typing import Any

import pytest

from functions.formats import sniff
from functions.formats.format import Broken
from infra.demo import inputs
from infra.demo.measurement_set import Observation, pack, write


def test_the_observation_is_reproducible_and_silent(tmp_path: Path, capfd: Any) -> None:
    what = Observation(stations=4, times=3, channels=4)
    first, second = write(tmp_path / "a.ms", what), write(tmp_path / "b.ms", what)
    assert (first / "table.f0_TSM0").read_bytes() == (second / "table.f0_TSM0").read_bytes()
    assert capfd.readouterr() == ("", "")
    with pytest.raises(ValueError, match="layouts are dp3"):
        write(tmp_path / "c.ms", Observation(layout="none"))
    assert pack(first, tmp_path / "o.ms.zip").stat().st_size > 100_000


def test_broken_objects_are_refused_each_for_its_reason(lake: Any, tmp_path: Path) -> None:
    reasons = []
    for path in inputs.broken(tmp_path, inputs.image(tmp_path)):
        source = lake.put(path.name, path)
        found = sniff(path.read_bytes()[:65536], path.name)
        with pytest.raises(Broken) as caught:
            found.describe(source, {})
        reasons.append(str(caught.value))
    assert "missing" in reasons[0]
    assert "is empty" in reasons[1]
    assert "no table.dat" in reasons[2]


def test_digits_are_the_same_as_csv_and_as_parquet(lake: Any, tmp_path: Path) -> None:
    tables = []
    for path in inputs.digits(tmp_path):
        source = lake.put(path.name, path)
        name = path.suffix[1:]
        with lake.cut(name, source, 1)[0].open(lake) as table:
            tables.append(table.to_pydict())
    assert tables[0] == tables[1]
    assert len(tables[0]["label"]) == 1797
