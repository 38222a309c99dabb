"""What the tests of whole programs share."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator

import pytest

from tests.conftest import Sluice, free_port
from tests.e2e.served import Served, with_kserve


@pytest.fixture(autouse=True, scope="module")
def pipes_of_killed_jobs() -> Iterator[None]:
    """Lithops does not close the pipes of a job's process that is killed: they go here, not in a later test without any."""
    yield
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "unclosed file <_io.BufferedReader", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="session")
def kserve_python() -> str:
    return with_kserve()


@pytest.fixture
def lake(tmp_path):
    """A lake on ports of its own that stay the same when it is started again."""
    made = Sluice(tmp_path / "data", SLUICE_HTTP_PORT=str(free_port()), SLUICE_DOOR_PORT=str(free_port()))
    try:
        made.start()
        store = made.store()
        store.ensure("models")
        store.close()
        yield made
    finally:
        made.close()


@pytest.fixture
def served(lake):
    made = Served(lake)
    yield made
    made.close()
