"""A task's identity: stable for equal code in any process, new for any change."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from infra.runtime.task_code import code_hash, dumps, task_name

SOURCE = "def f(x, y={default}):\n    return [z for z in x if z in {{1, 2, 'three'}}] * {factor}\n"


def made(factor: int = 1, default: int = 0) -> Callable[..., Any]:
    names: dict[str, Any] = {}
    exec(SOURCE.format(factor=factor, default=default), names)
    function: Callable[..., Any] = names["f"]
    return function


def test_equal_code_is_equal_and_a_change_is_not() -> None:
    assert code_hash(made()) == code_hash(made())
    assert len({code_hash(made()), code_hash(made(2)), code_hash(made(1, 5)), code_hash(functools.partial(made(), y=3))}) == 4


def test_columns_and_the_form_of_a_filter_key_a_profile_of_their_own_and_its_values_do_not() -> None:
    whole = code_hash(made())
    narrow = code_hash(made(), ["ra", "dec"])
    filtered = code_hash(made(), ["ra", "dec"], [("flux", ">", 1.5)])
    assert len({whole, narrow, filtered, code_hash(made(), ["ra"]), code_hash(made(), None, [("flux", ">", 1.5)])}) == 5
    assert code_hash(made(), None, ()) == whole
    assert code_hash(made(), ["dec", "ra"]) == narrow
    assert code_hash(made(), ["ra", "dec"], [("flux", ">", 99)]) == filtered
    assert code_hash(made(), ["ra", "dec"], [("flux", "<", 1.5)]) != filtered


def test_the_hash_is_the_same_in_every_process() -> None:
    program = (
        "import sys; from infra.runtime.task_code import code_hash; names = {}; "
        f"exec({SOURCE.format(factor=1, default=0)!r}, names); print(code_hash(names['f']))"
    )
    for seed in ("1", "2"):
        told = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        )
        assert told.stdout.strip() == code_hash(made())


class Callable_:
    def __call__(self, table: Any) -> int:
        return 1


def test_partials_classes_and_builtins_have_names_and_hashes() -> None:
    assert task_name(functools.partial(made(), y=1)) == "f"
    assert task_name(Callable_()) == "Callable_"
    assert task_name(len) == "len"
    assert code_hash(len) != code_hash(sum)
    assert code_hash(Callable_()) == code_hash(Callable_())


def test_what_cannot_be_pickled_is_said() -> None:
    lock = __import__("threading").Lock()

    def holds_a_lock(table: Any) -> Any:
        return lock

    with pytest.raises(TypeError, match="'holds_a_lock' cannot be sent to workers"):
        dumps(holds_a_lock)
