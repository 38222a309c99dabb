"""The operators beyond comparisons: BETWEEN, IN, LIKE, IS NULL, arrays, places, full text (times: ``temporal.py``)."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from infra.catalog.query import tree
from infra.catalog.query.binder import NOUN, Binder, Operator, both, comparison, either, fail, need, negated, number
from infra.catalog.query.errors import FilterError
from infra.catalog.query.fields import Type
from infra.catalog.query.geometry import Shape, rectangle, shape
from infra.catalog.query.patterns import as_range, checked
from infra.catalog.query.temporal import TEMPORAL, temporal
from infra.catalog.query.tree import Condition, Literal
from infra.catalog.words import words

MANY, MOST_WORDS, LONGEST_WORD = 1_000, 20, 200
#: Letters that SQLite's full text (Unicode 6.1) may take for something else; a search for them reads all rows.
_RARE = re.compile("[^0-9a-z\u00df-\u00f6\u00f8-\u024f\u0370-\u052f\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fa5\uac00-\ud7a3]")
ARRAYS = {"a_contains": "contains", "a_overlaps": "overlaps", "a_containedby": "contained", "a_equals": "equals"}
SPATIAL = ("s_intersects", "s_disjoint", "s_within", "s_contains", "s_equals")
#: Operators of the standard that cannot be answered exactly in both databases.
INEXACT = ("s_crosses", "s_overlaps", "s_touches")
#: Most parts of a geometry collection.
MOST_PARTS = 100


def _between(binder: Binder, op: str, args: list[Any], at: str) -> Condition:
    value, low, high = need(args, 3, op, at)
    here = (value, f"{at}/args/0")
    return both((binder.compare(">=", here, (low, f"{at}/args/1")), binder.compare("<=", here, (high, f"{at}/args/2"))))


def _in(binder: Binder, op: str, args: list[Any], at: str) -> Condition:
    value, choices = need(args, 2, op, at)
    if not isinstance(choices, list) or not choices:
        fail("IN needs a list with at least one value", f"{at}/args/1")
    if len(choices) > MANY:
        fail(f"IN takes {MANY} values at most, not {len(choices)}", f"{at}/args/1")
    value = binder.joined(value)
    known = binder.type_of(value, f"{at}/args/0")
    if any(isinstance(one, dict) and not ({"timestamp", "date"} & one.keys()) for one in choices) or known == "array":
        here = (value, f"{at}/args/0")
        return either(tuple(binder.compare("=", here, (one, f"{at}/args/1/{i}")) for i, one in enumerate(choices)))
    if "" in choices and known == "text" and len(choices) > 1:
        here, rest = (value, f"{at}/args/0"), [one for one in choices if one != ""]
        blank = binder.compare("=", here, ("", f"{at}/args/1"))
        return either((blank, _in(binder, op, [value, rest], at))) if rest else blank
    type_: Type = known
    for i, one in enumerate(choices):
        place = f"{at}/args/1/{i}"
        type_ = binder.common(type_, binder.type_of(one, place), (value, f"{at}/args/0"), (one, place))
    if choices == [""]:
        return binder.compare("=", (value, f"{at}/args/0"), ("", f"{at}/args/1/0"))
    subject = binder.value(value, type_, f"{at}/args/0")
    places = [(one, f"{at}/args/1/{i}") for i, one in enumerate(choices)]
    if type_ == "integer":  # one double among them, and a database compares all as doubles
        places = [place for place in places if number(place[0], type_, place[1])[0] == "integer"] or places[:1]
    size = 1 << (len(places) - 1).bit_length()  # few shapes: the last is repeated up to a power of two
    padded = places + places[-1:] * (size - len(places))
    return tree.In(subject, tuple(binder.literal(one, type_, place) for one, place in padded))


def _like(binder: Binder, op: str, args: list[Any], at: str) -> Condition:
    value, pattern = need(args, 2, op, at)
    place = f"{at}/args/1"
    if isinstance(value, dict) and "property" in value and (of := binder.field(value, f"{at}/args/0")).type == "array":
        literal = binder.literal(pattern, "text", place)  # one of the elements fits
        as_range(literal.value, place)
        return tree.Elements("like", of, (binder.replaced(literal, literal.value, "pattern"),))
    subject = binder.value(value, "text", f"{at}/args/0")
    like = binder.value(pattern, "text", place)
    if not isinstance(like, Literal):
        fail("the pattern of LIKE is a literal text", place)
    parts = as_range(like.value, place)
    if parts is None:
        return tree.Like(subject, binder.replaced(like, like.value, "pattern"))
    low, high = parts
    if high is None:
        return comparison("=", subject, binder.replaced(like, low))
    least = tree.Compare(">=", subject, binder.replaced(like, low))
    return both((least, tree.Compare("<", subject, binder.slot("text", high)))) if high else least


def _is_null(binder: Binder, op: str, args: list[Any], at: str) -> Condition:
    (node,) = need(args, 1, op, at)
    node = binder.joined(node)
    type_ = binder.type_of(node, f"{at}/args/0")
    if isinstance(node, dict) and "property" in node:
        return tree.IsNull(binder.read(node, "any", f"{at}/args/0"))
    return tree.IsNull(binder.value(node, type_, f"{at}/args/0"))


def _array(binder: Binder, op: str, args: list[Any], at: str) -> Condition:
    a, b = need(args, 2, op, at)
    ats = (f"{at}/args/0", f"{at}/args/1")
    name = ARRAYS[op]
    if isinstance(a, list):
        a, b, ats = b, a, ats[::-1]
        name = {"contains": "contained", "contained": "contains"}.get(name, name)
    if not isinstance(a, dict) or "property" not in a or not isinstance(b, list) or not b or len(b) > MANY:
        fail(f"{op} compares a property with a list of 1 to {MANY} literals", at)
    found = binder.field(a, ats[0])
    if found.type not in ("array", "any"):
        fail(f"{a['property']!r} is {NOUN[found.type]}, not an array", ats[0])
    items = []
    for i, one in enumerate(b):
        type_ = binder.type_of(one, f"{ats[1]}/{i}")
        if type_ not in ("text", "number", "boolean"):
            fail("elements are texts, numbers, true or false", f"{ats[1]}/{i}")
        items.append(binder.literal(one, type_, f"{ats[1]}/{i}"))
    if name == "equals":
        return both((tree.Elements("contains", found, tuple(items)), tree.Elements("contained", found, tuple(items))))
    return tree.Elements(name, found, tuple(items))


def _spatial(binder: Binder, op: str, args: list[Any], at: str) -> Condition:
    a, b = need(args, 2, op, at)
    ats = (f"{at}/args/0", f"{at}/args/1")
    name = op[2:]
    if not (isinstance(a, dict) and "property" in a):
        a, b, ats = b, a, ats[::-1]
        name = {"within": "contains", "contains": "within"}.get(name, name)
    if not (isinstance(a, dict) and "property" in a) or not isinstance(b, dict) or "property" in b:
        fail(f"{op} compares the property geometry with a geometry", at)
    found = binder.field(a, ats[0])
    if found.type != "geometry":
        fail(f"{a['property']!r} is no geometry; the place of a resource is its attribute geometry", ats[0])
    if isinstance(parts := b.get("geometries"), list) and "coordinates" not in b:
        return _collection(binder, op, name, a, parts, ats[1])
    if name == "equals":
        return both(tuple(_spatial(binder, one, [a, b], at) for one in ("s_within", "s_contains")))
    parsed, text = literal_shape(b, ats[1])
    literal = binder.slot("geometry", text)
    bounds = tuple(binder.slot("degree", one) for one in parsed.bounds)
    meets = "intersects" if name == "disjoint" else name
    condition = tree.Spatial(meets, found, literal, bounds, parsed.box)
    return negated(condition) if name == "disjoint" else condition


def _collection(binder: Binder, op: str, name: str, a: Any, parts: list[Any], at: str) -> Condition:
    """A geometry against a collection: it meets it where it meets a part, and contains it where it contains all of them."""
    if name not in ("intersects", "disjoint", "contains"):
        fail(f"{op} takes no geometry collection: what lies within several parts together, the parts do not tell", at)
    if not 1 <= len(parts) <= MOST_PARTS:
        fail(f"a geometry collection has 1 to {MOST_PARTS} parts, not {len(parts)}", at)
    meets = "s_intersects" if name == "disjoint" else f"s_{name}"
    found = []
    for i, part in enumerate(parts):
        try:
            found.append(_spatial(binder, meets, [a, part], at))
        except FilterError as error:
            raise FilterError(error.reason, pointer=f"{at}/geometries/{i}") from None
    one = both(tuple(found)) if name == "contains" else either(tuple(found))
    return negated(one) if name == "disjoint" else one


def _inexact(binder: Binder, op: str, args: list[Any], at: str) -> Condition:
    fail(f"{op} is not answered here: there are {', '.join(SPATIAL)}", at)


def literal_shape(node: dict[str, Any], at: str) -> tuple[Shape, str]:
    """A geometry literal, parsed and as JSON text."""
    geometry = node
    if "bbox" in node and "coordinates" not in node:
        box = node["bbox"]
        if (
            not isinstance(box, list)
            or len(box) not in (4, 6)
            or any(isinstance(x, bool) or not isinstance(x, int | float) for x in box)
        ):
            fail("a bbox is [west, south, east, north]", at)
        if len(box) == 6:
            box = [box[0], box[1], box[3], box[4]]
        if box[1] > box[3]:
            fail("the bbox ends south of where it begins: it is [west, south, east, north]", at)
        geometry = rectangle(*map(float, box))
    try:
        return shape(geometry), msgspec.json.encode({"type": geometry["type"], "coordinates": geometry["coordinates"]}).decode()
    except (ValueError, OverflowError) as error:
        fail(str(error), at)


def _fulltext(binder: Binder, op: str, args: list[Any], at: str) -> Condition:
    (text,) = need(args, 1, op, at)
    if not isinstance(text, str):
        fail("fulltext takes one text, the words to find", at)
    if "words" not in binder.fields.table.c:
        fail("fulltext finds objects and records only; give an attribute LIKE a pattern", at)
    checked(text, at)
    found = list(dict.fromkeys((word, text_ends) for part in text.split() for word, text_ends in _parts(part)))
    if not found or len(found) > MOST_WORDS or any(len(word) > LONGEST_WORD for word, _ in found):
        fail(f"fulltext takes 1 to {MOST_WORDS} words", f"{at}/args/0")
    found.sort()
    items = tuple(binder.slot("rare" if _RARE.search(word) else "text", word) for word, _ in found)
    return tree.Words(items, tuple(start for _, start in found))


def _parts(part: str) -> list[tuple[str, bool]]:
    """The words of a piece between spaces; a ``*`` at its end makes the last the start of a word."""
    found = words(part)
    return [(word, part.endswith("*") and i == len(found) - 1) for i, word in enumerate(found)]


#: operator -> how its arguments are understood
OPERATORS: dict[str, Operator] = {
    "between": _between,
    "in": _in,
    "like": _like,
    "isnull": _is_null,
    "fulltext": _fulltext,
    **dict.fromkeys(ARRAYS, _array),
    **dict.fromkeys(SPATIAL, _spatial),
    **dict.fromkeys(INEXACT, _inexact),
    **dict.fromkeys(TEMPORAL, temporal),
}
