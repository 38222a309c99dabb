"""What the tests of whole programs share."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def pipes_of_killed_jobs() -> Iterator[None]:
    """Lithops does not close the pipes of a job's process that is killed: they go here, not in a later test without any."""
    yield
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "unclosed file <_io.BufferedReader", ResourceWarning)
        gc.collect()
