"""From text to nodes: a recursive descent over the words, by precedence.

Source: CloudEvents SQL 1.0.0, sections 2 (grammar) and 3.6 (precedence). From tight to loose: calls; NOT and minus; LIKE, IN;
``* / %``; ``+ -``; comparisons; AND, OR and XOR alike. Operators of one precedence go from left to right: section 3.6 says so,
and the text counts, although the grammar of the engines in Go and Java groups AND, OR and XOR from the right.
"""

from __future__ import annotations

from typing import NoReturn

from events.cesql import nodes
from events.cesql.casts import HIGHEST, LOWEST
from events.cesql.errors import MissingFunctionError, ParseError
from events.cesql.functions import Functions
from events.cesql.lexer import Kind, Token, tokens
from events.cesql.nodes import Node

#: Most calls of each other that reading may take, to fit onto the stack of any thread: Python has a thousand.
MAX_CALLS = 600
#: How many of them an operand and a list of operands take.
OPERAND, LIST = 4, 2
_LEVELS = (("AND", "OR", "XOR"), ("=", "!=", "<>", "<", "<=", ">", ">="), ("+", "-"), ("*", "/", "%"))
_LEVEL = {symbol: level for level, symbols in enumerate(_LEVELS) for symbol in symbols}


class Parser:
    """Reads one text. ``missing`` are the calls of functions that ``functions`` lacks, which only evaluation makes an error."""

    def __init__(self, text: str, functions: Functions) -> None:
        self._tokens, self._at, self._calls = tokens(text), 0, 0
        self._functions = functions
        self.missing: list[MissingFunctionError] = []

    def parse(self) -> Node:
        """The whole text as one expression. Raises ``ParseError``."""
        node = self._expression()
        if self._next.kind is not Kind.END:
            self._fail("an operator or the end")
        return node

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _is(self, *texts: str) -> bool:
        return self._next.kind in (Kind.SYMBOL, Kind.KEYWORD) and self._next.text in texts

    def _skip(self, text: str) -> bool:
        if self._is(text):
            self._at += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._skip(text):
            self._fail(repr(text))

    def _fail(self, wanted: str) -> NoReturn:
        raise ParseError(f"{wanted} is expected, not {self._next}", self._next.position)

    def _enter(self, calls: int) -> None:
        self._calls += calls
        if self._calls > MAX_CALLS:
            raise ParseError("brackets, calls and signs are nested too deep", self._next.position)

    def _level(self) -> int:
        """How tightly the operator that comes next binds; -1: there is none."""
        return _LEVEL.get(self._next.text, -1) if self._next.kind in (Kind.SYMBOL, Kind.KEYWORD) else -1

    def _expression(self, loosest: int = 0) -> Node:
        """Operands and the operators between them, down to this level of precedence."""
        self._enter(OPERAND)
        left = self._test()
        while (level := self._level()) >= loosest:
            operators, operands = [], [left]
            while self._level() == level:
                operators.append(self._take())
                operands.append(self._expression(level + 1))
            left = _operation(level, operators, operands)
        self._calls -= OPERAND
        return left

    def _test(self) -> Node:
        """``x``, ``x LIKE 'pattern'`` or ``x IN (...)``, each also with NOT."""
        left = self._unary()
        while self._is("NOT", "LIKE", "IN"):
            position = self._next.position
            negated = self._skip("NOT")
            if self._skip("LIKE"):
                if self._next.kind is not Kind.STRING:
                    self._fail("a pattern in quotes")
                left = nodes.like(left, self._take().text, negated, position)
            elif self._skip("IN"):
                self._expect("(")
                left = nodes.member(left, self._list(), negated, position)
            else:
                self._fail("LIKE or IN")
        return left

    def _unary(self) -> Node:
        position = self._next.position
        if not self._is("NOT", "-", "+"):
            return self._primary()
        symbol, digits = self._take().text, self._next
        if symbol != "NOT" and digits.kind is Kind.INTEGER and digits.position == position + 1:
            return self._integer(symbol)
        if symbol == "+":
            self._fail("digits behind the sign")
        self._enter(1)
        operand = self._unary()
        self._calls -= 1
        return nodes.negation(operand, position) if symbol == "NOT" else nodes.minus(operand, position)

    def _primary(self) -> Node:
        token = self._next
        if token.kind is Kind.INTEGER:
            return self._integer("")
        if token.kind is Kind.STRING:
            return nodes.literal(self._take().text, token.position)
        if token.kind is Kind.NAME:
            return self._named()
        if self._is("TRUE", "FALSE"):
            return nodes.literal(self._take().text == "TRUE", token.position)
        if self._skip("EXISTS"):
            return nodes.exists(self._attribute(), token.position)
        if self._skip("("):
            node = self._expression()
            self._expect(")")
            return node
        self._fail("a value")

    def _integer(self, sign: str) -> Node:
        token = self._take()
        digits = token.text.lstrip("0") or "0"
        position = token.position - len(sign)
        if len(digits) > 10 or not LOWEST <= (value := int(sign + digits)) <= HIGHEST:
            raise ParseError(f"the integer {sign}{token.text[:40]} needs more than 32 bits", position)
        return nodes.literal(value, position)

    def _named(self) -> Node:
        if self._tokens[self._at + 1][:2] != (Kind.SYMBOL, "("):
            position = self._next.position
            return nodes.attribute(self._attribute(), position)
        token = self._take()
        if not token.text.isascii() or not token.text.replace("_", "").isalpha() or token.text.startswith("_"):
            raise ParseError(f"{token.text!r} is no name of a function: those have letters and underscores", token.position)
        self._expect("(")
        arguments = [] if self._skip(")") else self._list()
        function = self._functions.find(token.text, len(arguments))
        if function is not None:
            return nodes.call(function, arguments, token.position)
        text = f"no function {token.text.upper()} takes {len(arguments)} argument{'s' * (len(arguments) != 1)}"
        self.missing.append(MissingFunctionError(text, token.position))
        return nodes.missing(text, arguments, token.position)

    def _attribute(self) -> str:
        """The name of an attribute, in lower case: the official engines take it in any."""
        if self._next.kind not in (Kind.NAME, Kind.INTEGER) or "_" in self._next.text:
            self._fail("the name of an attribute (letters and digits)")
        return self._take().text.lower()

    def _list(self) -> list[Node]:
        """One or more expressions up to the closing bracket."""
        self._enter(LIST)
        found = [self._expression()]
        while self._skip(","):
            found.append(self._expression())
        self._expect(")")
        self._calls -= LIST
        return found


def _operation(level: int, operators: list[Token], operands: list[Node]) -> Node:
    """Operators of one level and their operands, from left to right."""
    symbols, positions = [token.text for token in operators], [token.position for token in operators]
    if level == 0:
        return nodes.logic(operands, symbols, positions[0])
    if level > 1:
        return nodes.arithmetic(operands, symbols, positions)
    left = operands[0]
    for symbol, right, position in zip(symbols, operands[1:], positions, strict=True):
        if symbol in ("=", "!=", "<>"):
            left = nodes.equality(symbol == "=", left, right, position)
        else:
            left = nodes.order(symbol, left, right, position)
    return left
