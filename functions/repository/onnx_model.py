"""An ONNX model read from its bytes, without loading it: what it takes and gives, its operators, and what must not be.

Every message of the file is looked at: graphs within graphs, functions, what a training begins with. Nothing is made of it but
counts and short texts, and no more of it is read than ``MOST`` says, so that it can be done wherever the file is, before any
library gets it.
"""

from __future__ import annotations

from collections import Counter
from graphlib import CycleError, TopologicalSorter
from math import prod
from typing import Any

from functions.repository import traces
from functions.repository.onnx_messages import ELEMENTS, KINDS, NAME, ONCE, RUNS, SKIP, VALUES
from functions.repository.protobuf import BYTES, VARINT, Malformed, fields, numbers, signed

#: How many there may be. A part is a message, a text one of those that could tell of a machine, a field any value.
MOST = {
    "nodes": 100_000, "inputs and outputs": 100_000, "different operators": 2_000, "parts": 1_000_000, "texts": 1_000_000,
    "fields": 10_000_000,
}  # fmt: skip
#: Messages within messages; bytes of texts that could tell of a machine, and of a name that is one.
MOST_DEPTH, MOST_TEXT, MOST_NAME = 100, 32 << 20, 64 << 10
#: How many of each are listed, how many axes of each, and how long a text may be there.
LISTED, AXES, LONG = 1000, 64, 2000

_Places = dict[int, tuple[int, int]]


def read(data: bytes) -> dict[str, Any]:
    """Inputs, outputs, operators and so forth, as the catalogue shows them. Raises ``Malformed``, with a clause."""
    return _Reading(data).found()


class _Reading:
    """One model, being read."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._counts, self._bytes = dict.fromkeys(MOST, 0), 0
        self._told: dict[str, Any] = {"operators": {}, "opset": {}, "properties": {}, "parameters": 0, "graph": None}
        self._functions: set[str] = set()
        self._nodes = Counter[str]()  # what the function or graph that is being read calls, and how often
        self._bodies: dict[str, Counter[str]] = {}  # the same of each function that was read; "" is what is no function
        self._external: set[str] = set()
        self._leaks: set[str] = set()
        self._maybe: dict[str, set[str]] = {}  # where a path may stand -> its first steps
        self._steps: set[str] = set()  # of names such as /layer1/conv/Conv
        self._weights: set[bytes] = set()
        self._values: dict[str, list[tuple[int, int]]] = {"input": [], "output": []}
        self._ends = {
            "model": self._model, "graph": self._graph, "node": self._node, "function": self._function, "opset": self._opset,
            "property": self._property, "tensor": self._tensor, "weight": self._weight,
        }  # fmt: skip

    def found(self) -> dict[str, Any]:
        """Everything."""
        self._message("model", 0, len(self._data), 0)
        self._written_out()
        told = self._told
        if told["graph"] is None or not told["opset"]:
            raise Malformed(f"it has no {'graph' if told['graph'] is None else 'operator set'}")
        inputs = [place for place in self._values["input"] if self._text(self._name(place)) not in self._weights]
        listed = {"inputs": inputs, "outputs": self._values["output"]}
        told |= {name: [self._value(place) for place in places[:LISTED]] for name, places in listed.items()}
        told["operators"] = dict(sorted(told["operators"].items()))
        more = {name: len(places) - LISTED for name, places in listed.items() if len(places) > LISTED}
        leaks = self._leaks | {where for where, first in self._maybe.items() if first - self._steps}
        for name, each in (
            ("functions", sorted(self._functions)),
            ("external_data", sorted(self._external)[:20]),
            ("leaks", sorted(leaks)[:20]),
            ("not_listed", more),
        ):
            if each:
                told[name] = each
        return told

    def _called(self, by: str) -> None:
        """What was counted last was called by this function."""
        self._bodies.setdefault(by, Counter()).update(self._nodes)
        self._nodes = Counter()

    def _written_out(self) -> None:
        """Count the nodes that a runtime has once it wrote out functions where they are called: few may become any number."""
        try:
            calls = {name: body.keys() & self._bodies.keys() for name, body in self._bodies.items()}
            order = [*TopologicalSorter(calls).static_order()]
        except CycleError as error:
            raise Malformed(f"its function {error.args[1][0].split(' ')[0][:100]} calls itself") from error
        nodes: dict[str, int] = {}
        for name in order:
            nodes[name] = sum(times * nodes.get(called, 1) for called, times in self._bodies[name].items())
            if nodes[name] > MOST["nodes"]:
                raise Malformed(f"it has more than {MOST['nodes']} nodes, once its functions are written out")

    def _count(self, what: str, more: int = 1) -> None:
        self._counts[what] += more
        if self._counts[what] > MOST[what]:
            raise Malformed(f"it has more than {MOST[what]} {what}")

    def _message(self, kind: str, start: int, end: int, depth: int) -> None:
        """Look at a message and at all within it."""
        if depth > MOST_DEPTH:
            raise Malformed(f"it has messages within messages more than {MOST_DEPTH} deep")
        self._count("parts")
        known, places, values, dims, seen = KINDS[kind], _Places(), {}, [], 0
        for number, wire, first, last in fields(self._data, start, end, RUNS.get(kind)):
            seen += 1
            if not seen & 0xFFF:
                self._count("fields", 0x1000)
            if wire == BYTES:
                name, what = known.get(number, ("field that nobody knows", NAME))
                if number in places and (kind, number) in ONCE:
                    raise Malformed(f"a {kind} has two of {name}")
                places[number] = (first, last)
                if what in KINDS:
                    self._inside(what, first, last, depth + 1)
                elif what != SKIP:
                    self._look(f"{name} of {_article(kind)}", what, first, last)
            elif wire == VARINT:
                values[number] = first
            if number == 1 and kind == "weight":
                dims += numbers(self._data, wire, first, last)
        self._count("fields", seen & 0xFFF)
        if kind == "weight":
            size = prod(max(0, signed(length)) for length in dims[:AXES])
            self._told["parameters"] = min(self._told["parameters"] + size, (1 << 63) - 1)
        if kind in self._ends:
            self._ends[kind](places, values, depth)

    def _inside(self, kind: str, start: int, end: int, depth: int) -> None:
        if kind == "node":
            self._count("nodes")
        elif kind in self._values and depth == 2:  # of the model's own graph
            self._count("inputs and outputs")
            self._values[kind].append((start, end))
        self._message(kind, start, end, depth)

    # What a message was, once all within it was seen ------------------------------------------------------------------------

    def _model(self, places: _Places, values: dict[int, int], _: int) -> None:
        self._told["ir_version"] = signed(values.get(1, 0))
        self._told["producer"] = " ".join(text for number in (2, 3) if (text := self._short(places, number)))

    def _graph(self, places: _Places, _: dict[int, int], depth: int) -> None:
        if depth == 1:
            self._told["graph"] = self._short(places, 2)
        if depth <= 2:  # the model's own, or a training's
            self._called("")

    def _node(self, places: _Places, _: dict[int, int], __: int) -> None:
        name = _operator(self._short(places, 7), self._short(places, 4))
        self._nodes[f"{name} {self._short(places, 8)}"] += 1
        if name not in self._told["operators"]:
            self._count("different operators")
        self._told["operators"][name] = self._told["operators"].get(name, 0) + 1

    def _function(self, places: _Places, _: dict[int, int], __: int) -> None:
        self._count("different operators")
        name = _operator(self._short(places, 10), self._short(places, 1))
        self._functions.add(name)
        self._called(f"{name} {self._short(places, 13)}")

    def _opset(self, places: _Places, values: dict[int, int], depth: int) -> None:
        if depth == 1 and len(self._told["opset"]) < LISTED:
            self._told["opset"][self._short(places, 1) or "ai.onnx"] = signed(values.get(2, 0))

    def _property(self, places: _Places, _: dict[int, int], depth: int) -> None:
        key = self._short(places, 1)
        if "stack_trace" in key:
            self._leaks.add("stack_trace in metadata_props")
        if depth == 1 and len(self._told["properties"]) < LISTED:
            self._told["properties"][key] = self._short(places, 2)

    def _tensor(self, places: _Places, values: dict[int, int], _: int) -> None:
        if 13 in places or values.get(14):
            self._external.add(self._location(places))

    def _weight(self, places: _Places, values: dict[int, int], depth: int) -> None:
        self._tensor(places, values, depth)
        if depth == 2:
            self._weights.add(self._text(places.get(8, (0, 0))))

    # ------------------------------------------------------------------------------------------------------------------------

    def _look(self, where: str, what: str, first: int, last: int) -> None:
        """Look for traces in a text or a name."""
        data = self._data
        slash = data.find(b"/", first, last) >= 0
        if not slash and all(data.find(sign, first, last) < 0 for sign in traces.SIGNS):
            return
        if what == NAME and last - first > MOST_NAME:
            return  # data, in an attribute that could have been a name
        self._count("texts")
        self._bytes += last - first
        if self._bytes > MOST_TEXT:
            raise Malformed(f"it has more than {MOST_TEXT >> 20} MB of texts")
        text = data[first:last].decode("utf-8", "replace")
        if traces.certain(text):
            self._leaks.add(where)
        elif slash and what == NAME and text[0] == "/":
            self._steps.add(text.split("/", 2)[1])
        elif slash and what != NAME:
            self._maybe.setdefault(where, set()).update(traces.steps(text, LISTED))

    def _text(self, place: tuple[int, int]) -> bytes:
        return self._data[place[0] : place[1]]

    def _short(self, places: _Places, number: int) -> str:
        """A field's text, cut where it is too long to be listed; in one that is no UTF-8, what is none is replaced."""
        first, last = places.get(number, (0, 0))
        text = self._data[first : min(last, first + 4 * LONG)].decode("utf-8", "replace")
        return text if len(text) <= LONG else f"{text[:LONG]}..."

    def _part(self, place: tuple[int, int]) -> tuple[_Places, dict[int, int]]:
        """The last of each field of a message that was looked at before."""
        found = list(fields(self._data, *place))
        places = {number: (first, last) for number, wire, first, last in found if wire == BYTES}
        return places, {number: first for number, wire, first, _ in found if wire == VARINT}

    def _name(self, value: tuple[int, int]) -> tuple[int, int]:
        return self._part(value)[0].get(1, (0, 0))

    def _location(self, tensor: _Places) -> str:
        """The file that a tensor's numbers lie in."""
        for number, wire, first, last in fields(self._data, *tensor.get(13, (0, 0))):
            if (number, wire) == (2, BYTES):
                return self._short({2: (first, last)}, 2)
        return "unnamed"

    def _value(self, place: tuple[int, int]) -> dict[str, Any]:
        """An input or output: name, element type as numpy calls it, and shape with names for free axes."""
        places, _ = self._part(place)
        types, _ = self._part(places.get(2, (0, 0)))
        number = next((each for each in types if each in VALUES), 0)
        found: dict[str, Any] = {"name": self._short(places, 1), "kind": VALUES.get(number, "unknown")}
        if number in (1, 8):
            tensor, element = self._part(types[number])
            found["dtype"] = ELEMENTS.get(element.get(1, 0), "unknown")
            if 2 in tensor:
                axes = [(first, last) for one, wire, first, last in fields(self._data, *tensor[2]) if (one, wire) == (1, BYTES)]
                found["shape"] = [self._axis(*self._part(axis)) for axis in axes[:AXES]]
        return found

    def _axis(self, places: _Places, values: dict[int, int]) -> int | str | None:
        return signed(values[1]) if 1 in values else self._short(places, 2) or None


def _operator(domain: str, name: str) -> str:
    return name if domain in ("", "ai.onnx") else f"{domain}.{name}"


def _article(kind: str) -> str:
    return "the model" if kind == "model" else f"{'an' if kind[0] in 'aeio' else 'a'} {kind}"
