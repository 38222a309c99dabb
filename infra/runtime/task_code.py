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
from types import ModuleType
from typing import Any

import cloudpickle

from functions.formats.where import Where
from infra.runtime.code_text import code_text

#: Not sent: workers have them, and main is pickled by value anyway.
OURS = {"__main__", "events", "functions", "infra"}


def task_name(function: Callable[..., Any]) -> str:
    """The function's name, for people."""
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__name__", type(function).__name__)


def code_hash(function: Callable[..., Any], columns: Sequence[str] | None = None, where: Where = ()) -> str:
    """16 hex digits over the function's code, of what it calls of the user's own modules too, and over what it is bound to.

    Bound are defaults, arguments of a ``partial``, and variables of the function around it. Equal in every process, for equal
    code.

    Which columns it is given, and by which conditions the rows are chosen (not their values), belong to what it is: a slice of
    two columns of a hundred is another volume, and profiles that mixed the two would be right about neither.
    """
    digest = hashlib.blake2b(digest_size=8)
    shape = [] if columns is None else ["columns", *sorted(set(columns))]
    if where:
        shape += ["where", *sorted({f"{column} {symbol}" for column, symbol, _ in where})]
    for text in [*code_text(function, _own), *shape]:
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
