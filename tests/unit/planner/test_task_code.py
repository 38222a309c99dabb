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


class Plain:
    """An object whose text has its address in it."""

    def __init__(self, value: Any) -> None:
        self.value = value


PROGRAM = """
import datetime, enum, functools, pathlib, re, sys
import numpy as np
from infra.runtime.task_code import code_hash

class Plain:
    def __init__(self, value): self.value = value

class Colour(enum.Enum):
    RED = 1

def helper(x): return x + {helper}
def caller(x): return helper(x)
def around(bound):
    def inner(x): return caller(x), bound
    return inner

a = Plain(1)
a.myself = a
bound = [a, Colour.RED, {{"k": {{"b", "a", "c"}}}}, np.arange(3), pathlib.Path("/x"), datetime.date(2026, 1, 1),
         re.compile("x"), object(), sys, helper, len, functools.partial(helper, 3), b"1", 1.5]
print(code_hash(functools.partial(around(bound), more=Plain({value}))))
"""


def test_what_a_function_is_bound_to_has_no_address_and_counts() -> None:
    told = []
    for seed, helper, value in (("1", 1, "'v'"), ("2", 1, "'v'"), ("3", 2, "'v'"), ("4", 1, "'w'")):
        program = PROGRAM.format(helper=helper, value=value)
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        )
        told.append(done.stdout.strip())
    assert told[0] == told[1], "the same in every process"
    assert len(set(told)) == 3, "another helper, or another value of an attribute, is another task"


def test_partials_and_closures_are_told_apart_by_what_they_hold() -> None:
    def around(bound: Any) -> Callable[..., Any]:
        def inner(x: Any) -> Any:
            return x, bound

        return inner

    values = [1, 2, "1", [1, 2], (1, 2), {1, 2}, {"a": 1}, Plain(1), Plain(2), b"1", None, made(), made(2), Callable_(), len]
    for make in (around, lambda value: functools.partial(made(), value), lambda value: functools.partial(made(), y=value)):
        assert len({code_hash(make(value)) for value in values}) == len(values)
        assert [code_hash(make(value)) for value in values] == [code_hash(make(value)) for value in values]


def test_functions_that_call_each_other_or_themselves_have_a_hash() -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec("def even(n): return n == 0 or odd(n - 1)\ndef odd(n): return n and even(n - 1)\ndef other(n): return even(n)", names)
    assert len({code_hash(names[name]) for name in ("even", "odd", "other")}) == 3
    before = code_hash(names["other"])
    exec("def odd(n): return n and not even(n - 2)", names)
    assert code_hash(names["other"]) != before, "of what is called by what it calls too"


def test_helpers_of_an_own_module_count_and_those_of_installed_ones_do_not(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib

    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "own_helpers.py"
    told = []
    for factor in (2, 2, 3):
        file.write_text(
            f"import textwrap\ndef times(x): return {factor} * x\nclass Deep:\n    def way(self): return {factor}\n"
        )
        sys.modules.pop("own_helpers", None)
        importlib.invalidate_caches()
        names: dict[str, Any] = {"own_helpers": importlib.import_module("own_helpers")}
        sources = ["def f(x): return own_helpers.times(x)", "def f(x): return own_helpers.Deep().way()"]
        found = []
        for source in sources:
            exec(source, names)
            found.append(code_hash(names["f"]))
        told.append(found)
        file.with_suffix(".pyc").unlink(missing_ok=True)
        for cached in tmp_path.glob("__pycache__/*"):
            cached.unlink()
    sys.modules.pop("own_helpers", None)
    assert told[0] == told[1]
    assert all(before != after for before, after in zip(told[1], told[2], strict=True))


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
