"""A task's identity and its pickle: the profile of a function must end where its code changes."""

from __future__ import annotations

import functools
import hashlib
import inspect
import site
import sys
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import cloudpickle

from functions.formats.where import Where

#: Not sent: workers have them, and main is pickled by value anyway.
OURS = {"__main__", "events", "functions", "infra"}


def task_name(function: Callable[..., Any]) -> str:
    """The function's name, for people."""
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__name__", type(function).__name__)


def code_hash(function: Callable[..., Any], columns: Sequence[str] | None = None, where: Where = ()) -> str:
    """16 hex digits over the function's byte code, constants and defaults: equal in every process, for equal code.

    Which columns it is given, and by which conditions the rows are chosen (not their values), belong to what it is: a slice of
    two columns of a hundred is another volume, and profiles that mixed the two would be right about neither.
    """
    digest = hashlib.blake2b(digest_size=8)
    shape = [] if columns is None else ["columns", *sorted(set(columns))]
    if where:
        shape += ["where", *sorted({f"{column} {symbol}" for column, symbol, _ in where})]
    for text in [*_told(function), *shape]:
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()


def dumps(function: Callable[..., Any]) -> bytes:
    """The function as a worker can load it: by value, unless it comes with an installed package.

    Raises:
        TypeError: it cannot be pickled; the text says what of it.

    """
    module = inspect.getmodule(_plain(function))
    by_value = module is not None and _own(module)
    if by_value:
        cloudpickle.register_pickle_by_value(module)
    try:
        return bytes(cloudpickle.dumps(function))
    except Exception as error:
        raise TypeError(f"the function {task_name(function)!r} cannot be sent to workers: {error}") from error
    finally:
        if by_value:
            cloudpickle.unregister_pickle_by_value(module)


def dumps_data(value: Any) -> bytes:
    """A value of any type that the caller has, classes of ``__main__`` too."""
    return bytes(cloudpickle.dumps(value))


def _plain(function: Any) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    return function if inspect.isroutine(function) else type(function)


def _own(module: ModuleType) -> bool:
    """Whether the module is the user's: not main (pickled by value anyway), not installed, not part of Python."""
    file = getattr(module, "__file__", None)
    if module.__name__.partition(".")[0] in OURS or not file or module.__name__ not in sys.modules:
        return False
    installed = [sysconfig.get_paths()[name] for name in ("stdlib", "purelib", "platlib")] + site.getsitepackages()
    return not any(Path(file).is_relative_to(folder) for folder in installed)


def _told(function: Any) -> list[str]:
    if isinstance(function, functools.partial):
        extra = repr((function.args, sorted(function.keywords.items())))
        return [*_told(function.func), extra]
    function = inspect.unwrap(getattr(function, "__func__", function))
    code = getattr(function, "__code__", None)
    if code is not None:
        return [
            *_code(code),
            _constant(function.__defaults__ or ()),
            _constant(tuple(sorted((function.__kwdefaults__ or {}).items()))),
        ]
    if inspect.isbuiltin(function) or inspect.isclass(function):
        return [f"{function.__module__}.{function.__qualname__}"]
    methods = sorted((name, item) for name, item in vars(type(function)).items() if inspect.isfunction(item))
    return [type(function).__qualname__, *(text for name, item in methods for text in (name, *_told(item)))]


def _code(code: CodeType) -> list[str]:
    told = [code.co_code.hex(), *code.co_names, *code.co_varnames, *code.co_freevars]
    for constant in code.co_consts:
        told += _code(constant) if isinstance(constant, CodeType) else [_constant(constant)]
    return told


def _constant(value: Any) -> str:
    """A constant's text without addresses and without the order of sets, which differs between processes."""
    if isinstance(value, frozenset | set):
        return f"{{{', '.join(sorted(map(_constant, value)))}}}"
    if isinstance(value, tuple):
        return f"({', '.join(map(_constant, value))})"
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return repr(value)
    return type(value).__qualname__
