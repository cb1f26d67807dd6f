"""Parser of filters and orderings; `core.query` gives the grammar and what it means."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from gittrack.core.model import STATUSES
from gittrack.core.query import (
    ATTRIBUTES,
    DATASET_FIELDS,
    And,
    Compare,
    Expr,
    Field,
    In,
    IsNull,
    Literal,
    Not,
    Or,
    Order,
    number_in,
)
from gittrack.errors import QueryError

# Bounds that keep Python's stack and SQLite's limits out of reach.
MAX_DEPTH = 50
MAX_CONDITIONS = 1_000
MAX_LIST = 10_000
MAX_ORDERS = 20

_COMMIT = Field("attribute", "commit")
_STATUS = Field("attribute", "status")
_STATS = ("last", "min", "max", "count")
_ORDERED = ("<", "<=", ">", ">=")
_SPELLINGS = {"==": "=", "<>": "!="}
_PLURAL = {"metric": "metrics", "param": "params", "tag": "tags", "dataset": "datasets"}
_ALIASES = {
    "id": "run_id",
    "name": "run_name",
    "user_id": "user",
    "author": "user",
    "experiment_name": "experiment",
    "start": "start_time",
    "created": "start_time",
    "end": "end_time",
    "exit": "exit_code",
}
_PREFIXES = {
    "metric": "metric",
    "metrics": "metric",
    "param": "param",
    "params": "param",
    "parameter": "param",
    "parameters": "param",
    "tag": "tag",
    "tags": "tag",
    "dataset": "dataset",
    "datasets": "dataset",
    "attr": "attribute",
    "attribute": "attribute",
    "attributes": "attribute",
    "run": "attribute",
}

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<op>==|!=|<>|>=|<=|=|>|<)
    | (?P<mark>[(),])
    | (?P<quoted>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|`(?:[^`\\]|\\.|``)*`)
    | (?P<word>[^\s=!<>(),'"`]+)
    )""",
    re.VERBOSE | re.DOTALL,
)
_TIME = re.compile(
    r"(\d{4})-(\d\d)(?:-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?)?"
    r"(?:\s*(Z|[+-]\d\d:?\d\d))?",
    re.ASCII | re.IGNORECASE,
)
_AGO = re.compile(r"(\d{1,9})\s*(second|minute|hour|day|week)s?\s+ago", re.ASCII | re.IGNORECASE)
_DURATION = re.compile(r"(\d+(?:\.\d*)?)\s*(ms|s|m|h|d)", re.ASCII | re.IGNORECASE)
_HEX = re.compile(r"[0-9a-fA-F]{4,}")
_UNIT_MS = {
    "ms": 1,
    "s": 1_000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "second": 1_000,
    "minute": 60_000,
    "hour": 3_600_000,
    "day": 86_400_000,
    "week": 604_800_000,
}


class _Token(NamedTuple):
    type: str  # op | mark | quoted | word | end
    text: str  # quoted: without its quotes and escapes
    start: int
    end: int


class Parser:
    """Recursive descent over the tokens of one text; a method for each rule of the grammar."""

    __slots__ = ("at", "conditions", "now_ms", "text", "tokens")

    def __init__(self, text: str, now_ms: int | None) -> None:
        self.text = text
        self.now_ms = now_ms
        self.tokens = list(self._tokens())
        self.at = 0
        self.conditions = 0

    def _tokens(self) -> Iterator[_Token]:
        at, end = 0, len(self.text.rstrip())
        while at < end:
            match = _TOKEN.match(self.text, at)
            if match is None:
                at += len(self.text[at:]) - len(self.text[at:].lstrip())
                expected = "'='" if self.text[at] == "!" else "a quote that closes"
                raise self.error(at + (self.text[at] == "!"), expected)
            kind = match.lastgroup or ""
            token = match[kind]
            if kind == "quoted":
                quote = token[0]
                token = re.sub(
                    rf"\\([\\'\"`])|{quote}{quote}", lambda m: m[1] or m[0][0], token[1:-1]
                )
            yield _Token(kind, token, match.start(kind), match.end())
            at = match.end()
        yield _Token("end", "", end, end)

    def error(self, at: int, expected: str, next: str = "") -> QueryError:
        """What was expected, the text and a caret; later lines align below `why:   `."""
        cut = max(0, at - 60)
        shown = "".join(c if c.isprintable() else " " for c in self.text[cut : at + 40])
        indent = " " * 7
        return QueryError(
            f"cannot understand the query at column {at + 1}",
            why=f"expected {expected}\n{indent}{shown}\n{indent}{' ' * (at - cut)}^",
            next=next,
        )

    # Tokens

    def peek(self) -> _Token:
        return self.tokens[self.at]

    def take(self) -> _Token:
        token = self.tokens[self.at]
        self.at += token.type != "end"
        return token

    def is_word(self, *words: str) -> bool:
        token = self.peek()
        return token.type == "word" and token.text.lower() in words

    def takes_word(self, *words: str) -> bool:
        found = self.is_word(*words)
        self.at += found
        return found

    def takes_mark(self, mark: str) -> bool:
        token = self.peek()
        found = token.type == "mark" and token.text == mark
        self.at += found
        return found

    def close(self, inside: str) -> None:
        if not self.takes_mark(")"):
            raise self.error(self.peek().start, f"')' to close {inside}")

    # Grammar

    def filter(self) -> Expr:
        if self.peek().type == "end":
            return And(())
        expr = self.any_of(0)
        if self.peek().type != "end":
            raise self.error(self.peek().start, "'and', 'or' or the end of the filter")
        return expr

    def any_of(self, depth: int) -> Expr:
        if depth > MAX_DEPTH:
            raise self.error(self.peek().start, f"at most {MAX_DEPTH} levels of nesting")
        items = [self.all_of(depth)]
        while self.takes_word("or"):
            items.append(self.all_of(depth))
        return items[0] if len(items) == 1 else Or(tuple(items))

    def all_of(self, depth: int) -> Expr:
        items = [self.condition(depth)]
        while self.takes_word("and"):
            items.append(self.condition(depth))
        return items[0] if len(items) == 1 else And(tuple(items))

    def condition(self, depth: int) -> Expr:
        negated = False
        while self.takes_word("not"):
            negated = not negated
        if self.takes_mark("("):
            expr = self.any_of(depth + 1)
            self.close("the group")
        else:
            self.conditions += 1
            if self.conditions > MAX_CONDITIONS:
                raise self.error(self.peek().start, f"at most {MAX_CONDITIONS} conditions")
            expr = self.test()
        return Not(expr) if negated else expr

    def test(self) -> Expr:
        field = self.field()
        if self.takes_word("is"):
            negated = self.takes_word("not")
            if not self.takes_word("null"):
                raise self.error(self.peek().start, "NULL" if negated else "NULL or NOT NULL")
            return IsNull(field, negated)
        if self.peek().type == "op":
            op = self.peek().text
            op = _SPELLINGS.get(op, op)
            if op in _ORDERED and self.type_of(field) == "boolean":
                raise self.error(
                    self.peek().start, f"= or != for {field.key}, which is true or false"
                )
            self.take()
            return self.compare(field, op)
        negated = self.takes_word("not")
        if self.takes_word("in"):
            return self.membership(field, negated)
        if self.is_word("like", "ilike"):
            return self.pattern(field, "not " if negated else "")
        raise self.error(
            self.peek().start,
            "LIKE, ILIKE or IN"
            if negated
            else "an operator: = != < <= > >= LIKE ILIKE IN IS NULL IS NOT NULL",
        )

    def compare(self, field: Field, op: str) -> Expr:
        token = self.peek()
        if op in _ORDERED or not (self.is_time_text(field) or field == _COMMIT):
            value = self.value(field)
            if op in _ORDERED and isinstance(value, bool):
                raise self.error(token.start, "= or != before true and false")
            return Compare(field, op, value)
        same = self.same(field)
        return And((IsNull(field, True), Not(same))) if op == "!=" else same

    def membership(self, field: Field, negated: bool) -> Expr:
        if not self.takes_mark("("):
            raise self.error(self.peek().start, "'(' and a list of values")
        start = self.at
        by_range = field.kind == "attribute" and (field == _COMMIT or self.type_of(field) == "time")
        values: list[Literal] = []
        ranges: list[Expr] = []
        while True:
            if self.at - start > 2 * MAX_LIST:
                raise self.error(self.peek().start, f"at most {MAX_LIST} values in a list")
            if by_range:
                ranges.append(self.same(field))
            else:
                values.append(self.value(field))
            if not self.takes_mark(","):
                break
        self.close("the list")
        if not by_range:
            return In(field, tuple(values), negated)
        self.conditions += len(ranges)
        if self.conditions > MAX_CONDITIONS:
            raise self.error(self.peek().start, f"at most {MAX_CONDITIONS} conditions")
        one = Or(tuple(ranges))
        return And((IsNull(field, True), Not(one))) if negated else one

    def same(self, field: Field) -> Expr:
        """Equality where one text stands for several values: times and commits."""
        token = self.peek()
        if self.is_time_text(field):
            first, past = self.time_range(self.take())
            return And((Compare(field, ">=", first), Compare(field, "<", past)))
        value = self.value(field)
        if field == _COMMIT and isinstance(value, str):
            if not _HEX.fullmatch(value):
                raise self.error(token.start, "4 or more hex digits of a commit, or LIKE")
            return Compare(field, "like", value.lower() + "%")
        return Compare(field, "=", value)

    def pattern(self, field: Field, negation: str) -> Expr:
        token = self.take()
        kind = self.type_of(field)
        if kind not in ("text", "any"):
            raise self.error(
                token.start, f"= != < <= > >= or IN for {self.name_of(field)}, a {kind}"
            )
        value = self.take()
        if value.type != "quoted" or self.text[value.start] == "`":
            raise self.error(value.start, f"text in quotes after {token.text.upper()}")
        ignore_case = token.text.lower() == "ilike" or field == _STATUS
        return Compare(field, negation + ("ilike" if ignore_case else "like"), value.text)

    # Fields

    def field(self) -> Field:
        token = self.take()
        follow = self.peek()
        if token.type == "quoted" and self.text[token.start] != "'":
            return self.attribute(token.text, token.start)
        if token.type != "word":
            raise self.error(
                token.start, "a field, such as metrics.loss, params.lr, tags.team or start_time"
            )
        if token.text.lower() in _STATS and follow.text == "(" and follow.type == "mark":
            self.take()
            at = self.peek().start
            inner = self.field()
            if inner.kind != "metric":
                raise self.error(at, f"a metric inside {token.text.lower()}()")
            self.close(f"{token.text.lower()}(")
            return inner._replace(stat=token.text.lower())
        prefix, dot, key = token.text.partition(".")
        kind = _PREFIXES.get(prefix.lower()) if dot else None
        if kind and not key:
            if follow.type != "quoted" or follow.start != token.end or not follow.text:
                raise self.error(token.end, f"a key after '{token.text}'")
            key = self.take().text
        if kind is None:
            return self.attribute(token.text, token.start)
        if kind == "dataset" and key not in DATASET_FIELDS:
            raise self.error(token.start, " or ".join(f"datasets.{k}" for k in DATASET_FIELDS))
        return self.attribute(key, token.start) if kind == "attribute" else Field(kind, key)

    def attribute(self, name: str, at: int) -> Field:
        known = name.lower().replace("-", "_")
        known = _ALIASES.get(known, known)
        if known in ATTRIBUTES:
            return Field("attribute", known)
        import difflib

        near = difflib.get_close_matches(known, [*ATTRIBUTES, *_ALIASES], 1, 0.75)
        head = name.partition(".")[0].lower()
        prefixes = difflib.get_close_matches(head, _PREFIXES, 1, 0.7) if "." in name else []
        if near:
            hint = f"did you mean {near[0]}"
        elif prefixes:
            hint = f"did you mean {prefixes[0]}{name[len(head) :]}"
        else:
            hint = f"metrics.{name}, params.{name} or tags.{name}, or one of " + ", ".join(
                ATTRIBUTES
            )
        raise self.error(
            at, "the name of an attribute, or metrics., params. or tags. before a key", hint
        )

    def type_of(self, field: Field) -> str:
        if field.kind == "attribute":
            return ATTRIBUTES[field.key]
        return {"metric": "number", "param": "any", "tag": "text", "dataset": "text"}[field.kind]

    def name_of(self, field: Field) -> str:
        prefix = _PLURAL.get(field.kind)
        return f"{prefix}.{field.key}" if prefix else field.key

    # Values

    def is_time_text(self, field: Field) -> bool:
        if field.kind != "attribute" or ATTRIBUTES[field.key] != "time":
            return False
        token = self.peek()
        return token.type == "quoted" or (token.type == "word" and number_in(token.text) is None)

    def value(self, field: Field) -> Literal:
        """The next value, as the field's type wants it."""
        kind = self.type_of(field)
        if self.is_time_text(field):
            return self.time_range(self.take())[0]
        token = self.take()
        quoted = token.type == "quoted"
        if token.type not in ("quoted", "word") or (quoted and self.text[token.start] == "`"):
            raise self.error(token.start, "a number, or text in quotes")
        number = number_in(token.text)
        word = token.text.lower()
        if kind in ("number", "time"):
            if number is None:
                raise self.error(token.start, f"a number for {self.name_of(field)}")
            return number
        if kind == "duration":
            return self.duration(token, number)
        if kind == "boolean":
            if word not in ("true", "false", "1", "0"):
                raise self.error(token.start, "true or false")
            return word in ("true", "1")
        if quoted:
            return self.status(token) if field == _STATUS else token.text
        if kind == "any" and number is not None:
            return number
        if kind == "any" and word in ("true", "false"):
            return word == "true"
        hint = "IS NULL" if word in ("null", "none") else f"'{token.text}'"
        expected = (
            "text in quotes" if kind == "text" else "a number, true, false, or text in quotes"
        )
        raise self.error(token.start, expected, f"write {hint}")

    def status(self, token: _Token) -> str:
        word = token.text.lower()
        # `scheduled` is a status of MLflow that no run here ever has.
        if word not in (*STATUSES, "scheduled"):
            raise self.error(token.start, "a status: " + ", ".join(STATUSES))
        return word

    def duration(self, token: _Token, number: int | float | None) -> int | float:
        if number is not None:
            return number * 1_000
        match = _DURATION.fullmatch(token.text.strip())
        if match is None:
            raise self.error(token.start, "seconds, or text such as '90s', '5m', '2h'")
        return float(match[1]) * _UNIT_MS[match[2].lower()]

    def time_range(self, token: _Token) -> tuple[int, int]:
        """The first instant of the unit that a time spells, and the first one past it, in ms."""
        text = token.text.strip()
        match = _TIME.fullmatch(text)
        try:
            if match:
                return _time_range(match)
        except ValueError:  # the 30th of February
            match = None
        ago = _AGO.fullmatch(text)
        if self.now_ms is not None and (ago or text.lower() == "now"):
            back = int(ago[1]) * _UNIT_MS[ago[2].lower()] if ago else 0
            return self.now_ms - back, self.now_ms - back + 1
        raise self.error(
            token.start, "ms since the epoch or a time such as '2026-11-01' or '2026-11-01T15:30Z'"
        )

    def orders(self) -> list[Order]:
        orders: list[Order] = []
        while True:
            if len(orders) == MAX_ORDERS:
                raise self.error(self.peek().start, f"at most {MAX_ORDERS} fields to order by")
            orders.append(self.order())
            if not self.takes_mark(","):
                break
        if self.peek().type != "end":
            raise self.error(self.peek().start, "ASC, DESC or the end of the ordering")
        return orders

    def order(self) -> Order:
        token = self.peek()
        minus = token.type == "word" and token.text.startswith("-")
        if minus:
            bare = _Token("word", token.text[1:], token.start + 1, token.end)
            self.tokens[self.at] = bare
            if not bare.text:
                self.take()
        field = self.field()
        if field.kind == "dataset":
            what = "a field of which a run has one, such as metrics.loss or start_time"
            raise self.error(token.start, what)
        descending = minus
        if not minus and self.is_word("asc", "desc"):
            descending = self.take().text.lower() == "desc"
        return Order(field, descending)


def _time_range(match: re.Match[str]) -> tuple[int, int]:
    import datetime

    year, month, day, hour, minute, second, fraction, zone = match.groups()
    utc = datetime.UTC
    start = datetime.datetime(
        int(year),
        int(month),
        int(day or 1),
        int(hour or 0),
        int(minute or 0),
        int(second or 0),
        tzinfo=utc,
    )
    if fraction:
        unit = datetime.timedelta(milliseconds=10 ** max(0, 3 - len(fraction)))
        start += datetime.timedelta(milliseconds=int(fraction[:3].ljust(3, "0")))
    elif second:
        unit = datetime.timedelta(seconds=1)
    elif minute:
        unit = datetime.timedelta(minutes=1)
    elif day:
        unit = datetime.timedelta(days=1)
    else:
        unit = (start + datetime.timedelta(days=31)).replace(day=1) - start
    epoch = datetime.datetime(1970, 1, 1, tzinfo=utc)
    ms = datetime.timedelta(milliseconds=1)
    first = (start - epoch) // ms
    if zone and zone.upper() != "Z":
        minutes = int(zone[1:3]) * 60 + int(zone[-2:])
        first -= minutes * 60_000 if zone[0] == "+" else -minutes * 60_000
    return first, first + unit // ms
