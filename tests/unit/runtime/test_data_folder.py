"""The folder of a lake: what makes it unusable is told for people."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.config import ConfigError
from infra.runtime.embedded import alone


def test_a_folder_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"cannot write to .*file.data .*SLUICE_DATA"), alone(tmp_path / "file" / "data"):
        pass
