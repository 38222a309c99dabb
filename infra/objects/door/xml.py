"""The XML of the S3 protocol: written from nested Python values, read with expat without any document type."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TypeAlias
from xml.parsers import expat
from xml.sax.saxutils import escape

from infra.objects.door.errors import S3Error

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
#: Deepest nesting an S3 request has is 6; more is not a request but an attack.
DEPTH = 16
#: Characters that XML 1.0 does not have, and carriage returns (which parsers would change): sent as references, as S3 does.
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff]")

Value: TypeAlias = "str | int | bool | list[Pair]"
#: An element: its name and its text or children. A name may carry attributes: ``Grantee xsi:type="..."``.
Pair: TypeAlias = "tuple[str, Value]"


def render(name: str, children: list[Pair], namespace: str = NAMESPACE) -> bytes:
    """The document whose root element ``name`` has these children."""
    root = f'{name} xmlns="{namespace}"' if namespace else name
    return ('<?xml version="1.0" encoding="UTF-8"?>\n' + _element(root, children)).encode("utf-8", "surrogatepass")


def _element(name: str, value: Value) -> str:
    if isinstance(value, list):
        inner = "".join(_element(*pair) for pair in value)
    elif isinstance(value, bool):
        inner = "true" if value else "false"
    else:
        inner = CONTROL.sub(lambda match: f"&#{ord(match[0])};", escape(str(value), {'"': "&quot;"}))
    return f"<{name}>{inner}</{name.split(' ', 1)[0]}>"


@dataclass
class Element:
    """An element read: its name without namespace, its text, its children."""

    name: str
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def all(self, name: str) -> list[Element]:
        """The children of that name."""
        return [child for child in self.children if child.name == name]

    def get(self, name: str, default: str | None = None) -> str:
        """The text of the child of that name.

        Raises:
            S3Error: MalformedXML, when it is missing and there is no default, or when there are two.

        """
        found = self.all(name)
        if len(found) > 1 or (not found and default is None):
            raise S3Error("MalformedXML", f"<{self.name}> needs one <{name}>; there are {len(found)}.")
        return found[0].text if found else str(default)


def parse(data: bytes, root: str) -> Element:
    """The document, whose root element must be ``root``. Document types, and so entities, are refused.

    Raises:
        S3Error: MalformedXML with the reason.

    """
    stack: list[Element] = [Element("")]
    parser = expat.ParserCreate(namespace_separator=" ")

    def start(name: str, _attributes: dict[str, str]) -> None:
        if len(stack) > DEPTH:
            raise S3Error("MalformedXML", f"The XML is nested deeper than {DEPTH} elements.")
        element = Element(name.rpartition(" ")[2])
        stack[-1].children.append(element)
        stack.append(element)
        texts.clear()  # only leaves have text

    def end(_name: str) -> None:
        element = stack.pop()
        element.text = "" if element.children else "".join(texts)
        texts.clear()

    def doctype(*_: object) -> None:
        raise S3Error("MalformedXML", "The XML declares a document type; S3 requests have none.")

    texts: list[str] = []
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = texts.append
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError) as error:  # LookupError: an encoding nobody knows
        raise S3Error("MalformedXML", f"The XML cannot be read: {error}") from error
    document = stack[0].children[0]
    if document.name != root:
        raise S3Error("MalformedXML", f"The root element must be <{root}>, not <{document.name}>.")
    return document
