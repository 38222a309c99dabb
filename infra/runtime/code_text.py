"""A function as text that is the same in every process: its code, what it is bound to, and what it calls of the user's modules.

No text holds an address, or the order of a set: either would make a task another one each time its program starts.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from types import CodeType, FunctionType, ModuleType
from typing import Any

#: How deep values within values are looked into.
DEPTH = 8


def code_text(function: Any, own: Callable[[ModuleType], bool]) -> Iterator[str]:
    """The texts that tell this function from others. ``own`` tells modules of the user's from installed ones."""
    return _Teller(own).function(function)


class _Teller:
    """Tells each function once: they may call each other."""

    def __init__(self, own: Callable[[ModuleType], bool]) -> None:
        self._own = own
        self._seen: set[int] = set()
        self._kept: list[Any] = []  # as long as one is known by its id, it must not go

    def function(self, function: Any) -> Iterator[str]:
        """A function, a bound one, or an object that is called."""
        if isinstance(function, functools.partial):
            yield from self.function(function.func)
            yield from self.value((function.args, function.keywords))
            return
        held = getattr(function, "__self__", None)
        function = inspect.unwrap(getattr(function, "__func__", function))
        if id(function) in self._seen:
            yield f"again {getattr(function, '__qualname__', type(function).__qualname__)}"
            return
        self._seen.add(id(function))
        self._kept.append(function)
        if isinstance(function, FunctionType):
            yield from self._plain(function)
            if held is not None:
                yield from self.value(held)
        elif inspect.isbuiltin(function) or inspect.isclass(function):
            yield f"{function.__module__}.{function.__qualname__}"
            if inspect.isclass(function) and self._ours(function.__module__, None):
                yield from self._methods(function)
        else:
            yield type(function).__qualname__
            yield from self._methods(type(function))
            yield from self.value(getattr(function, "__dict__", {}))

    def value(self, value: Any, depth: int = DEPTH) -> Iterator[str]:
        """What a function is bound to: plain data by content, anything else by its type and attributes."""
        if value is None or isinstance(value, bool | int | float | complex | str | bytes):
            yield repr(value)
        elif isinstance(value, Enum):
            yield f"{type(value).__qualname__}.{value.name}"
        elif isinstance(value, os.PathLike):
            yield repr(os.fspath(value))
        elif isinstance(value, ModuleType):
            yield value.__name__
        elif callable(value):
            yield from self.function(value)
        elif depth and isinstance(value, tuple | list):
            yield from (
                f"{type(value).__qualname__} {len(value)}",
                *(text for item in value for text in self.value(item, depth - 1)),
            )
        elif depth and isinstance(value, set | frozenset):
            yield from (f"set {len(value)}", *sorted("\0".join(self.value(item, depth - 1)) for item in value))
        elif depth and isinstance(value, Mapping):
            yield from (f"{type(value).__qualname__} {len(value)}", *sorted(self._items(value, depth - 1)))
        else:
            yield from self._object(value, depth)

    def _items(self, value: Mapping[Any, Any], depth: int) -> Iterator[str]:
        for key, item in value.items():
            yield "\0".join((*self.value(key, depth), *self.value(item, depth)))

    def _object(self, value: Any, depth: int) -> Iterator[str]:
        yield f"{type(value).__module__}.{type(value).__qualname__}"
        try:
            content = memoryview(value)  # an array
        except (TypeError, ValueError, BufferError):
            pass
        else:
            yield f"{content.format} {content.shape} {hashlib.blake2b(content.tobytes(), digest_size=16).hexdigest()}"
            return
        attributes = getattr(value, "__dict__", None)
        if type(value).__module__.partition(".")[0] in sys.stdlib_module_names and not attributes:
            text = repr(value)  # a date, a decimal, a pattern
            if " at 0x" not in text:
                yield text
        elif depth and isinstance(attributes, dict) and id(value) not in self._seen:
            self._seen.add(id(value))
            self._kept.append(value)
            yield from self.value(attributes, depth - 1)

    def _plain(self, function: FunctionType) -> Iterator[str]:
        yield from self._code(function.__code__)
        yield from self.value((function.__defaults__ or (), function.__kwdefaults__ or {}))
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            yield name
            try:
                yield from self.value(cell.cell_contents)
            except ValueError:  # it has none yet
                yield "empty"
        for helper in self._helpers(function):
            yield from self.function(helper)

    def _code(self, code: CodeType) -> Iterator[str]:
        yield code.co_code.hex()
        yield from (*code.co_names, *code.co_varnames, *code.co_freevars)
        for constant in code.co_consts:
            yield from self._code(constant) if isinstance(constant, CodeType) else self.value(constant)

    def _helpers(self, function: FunctionType) -> Iterator[Any]:
        """The functions and classes of the user's own modules that its code names, in the order of their names."""
        names = sorted(set(_names(function.__code__)))
        for name in names:
            found = function.__globals__.get(name)
            inside = (
                [getattr(found, each, None) for each in names]
                if isinstance(found, ModuleType) and self._own(found)
                else [found]
            )
            for each in inside:
                plain = each.func if isinstance(each, functools.partial) else each
                callable_ = isinstance(inspect.unwrap(plain) if callable(plain) else plain, FunctionType) or inspect.isclass(
                    plain
                )
                if callable_ and self._ours(getattr(plain, "__module__", ""), function):
                    yield each

    def _methods(self, owner: type) -> Iterator[str]:
        for name, item in sorted(vars(owner).items()):
            plain = item.__func__ if isinstance(item, staticmethod | classmethod) else item
            if inspect.isfunction(plain):
                yield name
                yield from self.function(plain)

    def _ours(self, module: str | None, caller: FunctionType | None) -> bool:
        """Whether it is of the caller's module, of the program itself, or of another module of the user's."""
        if module in ("__main__", getattr(caller, "__module__", "__main__")):
            return True
        found = sys.modules.get(module or "")
        return found is not None and self._own(found)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
