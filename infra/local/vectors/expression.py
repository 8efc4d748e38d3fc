"""The parser of SearchConditionExpression, on its own so that a wider grammar can replace it.

Grammar: `path = :value` or `:value = path`, joined by AND, with parentheses; a path may use #names and dots.
"""

import re
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn

from moto.dynamodb.parsing.reserved_keywords import ReservedKeywords

from infra.local.vectors.errors import invalid

TOKEN = re.compile(r"[:#]?\w+|<>|<=|>=|\S")
COMPARATORS = {"<", "<=", ">", ">=", "<>"}
OPERATORS = {"OR", "NOT", "IN", "BETWEEN"}


class Condition(NamedTuple):
    """An equality: the attribute path, aliases resolved, and the placeholder it must equal."""

    path: tuple[str, ...]
    placeholder: str


@dataclass
class ParsedCondition:
    """The equalities of an expression and the #aliases it used."""

    conditions: list[Condition] = field(default_factory=list)
    aliases: set[str] = field(default_factory=set)


def parse_condition(expression: str, names: dict[str, str]) -> ParsedCondition:
    """Parse a SearchConditionExpression; `names` are the ExpressionAttributeNames.

    Raises:
        MockValidationException: another operator than `=` and AND, a reserved word, an undefined alias, bad syntax.
    """
    if not expression.strip():
        _fail("The expression can not be empty;")
    parser = _Parser(expression, names)
    parser.parse_all()
    return parser.parsed


def _fail(problem: str) -> NoReturn:
    raise invalid(f"Invalid SearchConditionExpression: {problem}")


class _Parser:
    def __init__(self, expression: str, names: dict[str, str]) -> None:
        self.parsed = ParsedCondition()
        self._names = names
        self._tokens = TOKEN.findall(expression)
        self._position = 0
        for token in self._tokens:
            if token in COMPARATORS:
                _fail("Invalid comparator used in SearchConditionExpression")
            if token.upper() in OPERATORS:
                _fail("Invalid operator used in SearchConditionExpression")

    def parse_all(self) -> None:
        self._parse_conjunction()
        if self._peek():
            self._fail_at_token()

    def _parse_conjunction(self) -> None:
        self._parse_term()
        while self._peek().upper() == "AND":
            self._next()
            self._parse_term()

    def _parse_term(self) -> None:
        if self._peek() == "(":
            self._next()
            self._parse_conjunction()
            self._expect(")")
            return
        left = self._parse_operand()
        self._expect("=")
        right = self._parse_operand()
        if isinstance(left, str) and isinstance(right, tuple):
            left, right = right, left
        if isinstance(left, str) or isinstance(right, tuple):
            _fail("Invalid operands used in SearchConditionExpression: one attribute and one value are expected")
        self.parsed.conditions.append(Condition(left, right))

    def _parse_operand(self) -> str | tuple[str, ...]:
        if self._peek().startswith(":"):
            return self._next()
        path = [self._parse_name()]
        while self._peek() in {".", "["}:
            if self._next() == ".":
                path.append(self._parse_name())
            else:
                path.append(self._next())
                self._expect("]")
        if self._peek() == "(":
            _fail(f"Invalid function used in SearchConditionExpression; function: {path[0]}")
        return tuple(path)

    def _parse_name(self) -> str:
        token = self._peek()
        if token.startswith("#"):
            if token not in self._names:
                _fail(f"An expression attribute name used in the document path is not defined; attribute name: {token}")
            self.parsed.aliases.add(token)
            return self._names[self._next()]
        if not re.fullmatch(r"[A-Za-z_]\w*", token):
            self._fail_at_token()
        # A name followed by a parenthesis is a function; functions are refused by name, not as reserved words.
        called = self._tokens[self._position + 1 : self._position + 2] == ["("]
        if not called and token.upper() in ReservedKeywords.get_reserved_keywords():
            _fail(f"Attribute name is a reserved keyword; reserved keyword: {token}")
        return self._next()

    def _peek(self) -> str:
        return self._tokens[self._position] if self._position < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self._position += 1
        return token

    def _expect(self, wanted: str) -> None:
        if self._peek() != wanted:
            self._fail_at_token()
        self._next()

    def _fail_at_token(self) -> NoReturn:
        near = " ".join(self._tokens[max(0, self._position - 1) : self._position + 2])
        _fail(f'Syntax error; token: "{self._peek() or "<EOF>"}", near: "{near}"')
