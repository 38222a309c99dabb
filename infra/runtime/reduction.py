"""The reduction of a map's results, in a Lithops worker of its own."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

import cloudpickle

from infra.runtime.failure import contained


@dataclass(frozen=True)
class Reduction:
    """A reduce function, ready to be sent: called in a worker with the pickled list of results.

    Attributes:
        function: pickled by cloudpickle.
        args, kwargs: what it gets besides the results.
        path: entries of the client's ``sys.path`` to look up its modules in.

    """

    function: bytes
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    path: tuple[str, ...] = ()

    def __call__(self, results: bytes) -> bytes:
        """The reduced value, pickled: Lithops' own pickle does not know the classes of a user's module."""
        sys.path.extend(entry for entry in self.path if entry not in sys.path)
        with contained():
            function = cloudpickle.loads(self.function)
            return bytes(cloudpickle.dumps(function(cloudpickle.loads(results), *self.args, **self.kwargs)))

    @staticmethod
    def read(value: bytes) -> Any:
        """What the worker made."""
        return cloudpickle.loads(value)
