"""Filters and orderings: text -> expression -> predicate.

The grammar is MLflow's, with `or`, `not`, parentheses and types added:

    filter    = [ cond { ("and" | "or") cond } ]             "and" binds tighter than "or"
    cond      = "not" cond | "(" filter ")" | field test
    test      = ("=" | "==" | "!=" | "<>" | ">" | ">=" | "<" | "<=") value
              | ["not"] ("like" | "ilike") text | ["not"] "in" "(" value {"," value} ")"
              | "is" ["not"] "null"
    field     = "metrics." key | "params." key | "tags." key | ["attributes."] name
              | "datasets." ("name" | "digest" | "context")
              | ("last" | "min" | "max" | "count") "(" "metrics." key ")"

A key stands bare (`metrics.val/acc`) or in backticks or quotes (`metrics."val acc"`). In quotes
a backslash escapes a quote or a backslash and a doubled quote stands for itself; any other
backslash is kept, so 'C:\\temp' means what it means in MLflow.

What comparisons mean:

- A field without a value (no such key, a null param, an unknown attribute) fails every test but
  `is null`, `!=` and `not like` included, as in SQL. `not (...)` is plain negation.
- Params compare by type. A number meets numbers, exactly up to 64 bits and as floats beyond;
  true and false meet booleans; text meets text. Quoted text also equals a param whose MLflow
  text it is (`str(value)`) and a number it spells. Values of different type are unequal, and
  neither less nor greater.
- `nan` equals NaN; NaN is neither less nor greater than anything.
- Times are ms since the epoch, or ISO text (UTC unless it has an offset), or '2 days ago'. Text
  orders by its first instant, and `=` holds for the whole unit written: '2026-11-01' is that day.
- `duration` is in seconds, or text such as '90s', '5m', '2h'.
- `status` ignores case. A commit equals its abbreviations of 4 hex digits or more.
- A run may have many datasets: a test holds if it does for one of them, `!=` and `not like` too,
  and two tests may be met by two datasets. No ordering goes by them.
- LIKE is case-sensitive, ILIKE is not; `%` is any text and `_` any one character.
"""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Union

from gittrack.core.model import ParamValue, Run

Literal = Union[str, int, float, bool]


class Field(NamedTuple):
    """What a test looks at; `stat` matters for metrics alone."""

    kind: str  # attribute | metric | param | tag | dataset
    key: str
    stat: str = "last"  # last | min | max | count


class Compare(NamedTuple):
    """`op` is one of = != < <= > >= like ilike, `not like`, `not ilike`."""

    field: Field
    op: str
    value: Literal


class In(NamedTuple):
    """Equal to one of the values; negated: there is a value, and it equals none of them."""

    field: Field
    values: tuple[Literal, ...]
    negated: bool = False


class IsNull(NamedTuple):
    field: Field
    negated: bool = False


class Not(NamedTuple):
    item: Expr


class And(NamedTuple):
    """All of them; of nothing: every run."""

    items: tuple[Expr, ...]


class Or(NamedTuple):
    items: tuple[Expr, ...]


Expr = Union[Compare, In, IsNull, Not, And, Or]


class Order(NamedTuple):
    field: Field
    descending: bool = False


#: Attributes by their own name, with the type of their values.
ATTRIBUTES = {
    "run_id": "text",
    "short_id": "text",
    "run_name": "text",
    "status": "text",
    "user": "text",
    "host": "text",
    "entry": "text",
    "description": "text",
    "experiment": "text",
    "experiment_id": "text",
    "branch": "text",
    "commit": "text",
    "base": "text",
    "tree": "text",
    "parent": "text",
    "start_time": "time",
    "end_time": "time",
    "duration": "duration",
    "exit_code": "number",
    "dirty": "boolean",
    "deleted": "boolean",
}
#: What can be asked of the datasets of a run.
DATASET_FIELDS = ("name", "digest", "context")
_ORDERED = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_NUMBER = re.compile(
    r"[+-]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]+)?|\.?nan|\.?inf|infinity)",
    re.IGNORECASE,
)


def parse(text: str, *, now_ms: int | None = None) -> Expr:
    """The expression that a filter spells; of blank text: one that every run passes.

    Args:
        now_ms: what '2 days ago' counts from; without it such times are refused.
    Raises:
        QueryError: pointing at the column, with what was expected there.
    """
    from gittrack.core.grammar import Parser  # its patterns take a millisecond to compile

    return Parser(text, now_ms).filter()


def parse_order(items: Iterable[str]) -> list[Order]:
    """The orderings that texts spell: `metrics.acc DESC`, `-metrics.acc`, `start_time`.

    Raises:
        QueryError: pointing at the column, with what was expected there.
    """
    from gittrack.core.grammar import Parser

    return [order for item in items for order in Parser(item, None).orders()]


def predicate(expr: Expr, run: Run) -> bool:
    """Whether a run passes a filter."""
    if isinstance(expr, And):
        return all(predicate(item, run) for item in expr.items)
    if isinstance(expr, Or):
        return any(predicate(item, run) for item in expr.items)
    if isinstance(expr, Not):
        return not predicate(expr.item, run)
    if expr.field.kind == "dataset":
        texts = dataset_texts(expr.field.key, run)
        if isinstance(expr, IsNull):
            return (not texts) != expr.negated
        return any(_passes(expr, text) for text in texts)
    value = field_value(expr.field, run)
    if isinstance(expr, IsNull):
        return (value is None) != expr.negated
    return _passes(expr, value)


def _passes(expr: Compare | In, value: ParamValue) -> bool:
    """Whether one value passes a test; none passes none."""
    if value is None:
        return False
    if isinstance(expr, In):
        return any(_equal(value, literal) for literal in expr.values) != expr.negated
    if expr.op == "=":
        return _equal(value, expr.value)
    if expr.op == "!=":
        return not _equal(value, expr.value)
    if expr.op in _ORDERED:
        return _ordered(value, expr.op, expr.value)
    matches = like(str(expr.value), text_of(value), expr.op.endswith("ilike"))
    return matches != expr.op.startswith("not")


def dataset_texts(key: str, run: Run) -> set[str]:
    """What the datasets of a run have there; an empty context is none."""
    return {text for item in run.inputs if (text := getattr(item, key))}


def field_value(field: Field, run: Run) -> ParamValue:
    """The value that tests and orderings see of anything but datasets; None when there is none."""
    if field.kind == "param":
        return run.params.get(field.key)
    if field.kind == "tag":
        return run.tags.get(field.key)
    if field.kind == "metric":
        summary = run.metrics.get(field.key)
        return None if summary is None else getattr(summary, field.stat)
    value = attributes(run)[field.key]
    return None if value == "" else value


def attributes(run: Run) -> dict[str, str | int | bool | None]:
    """The value of each of `ATTRIBUTES`; None or empty text when it is not known."""
    return {
        "run_id": run.id,
        "short_id": run.short_id,
        "run_name": run.name,
        "status": run.status,
        "user": run.author,
        "host": run.host,
        "entry": run.entry,
        "description": run.description,
        "experiment": run.experiment,
        "experiment_id": run.experiment_id,
        "branch": run.branch,
        "commit": run.commit,
        "base": run.base,
        "tree": run.tree,
        "parent": run.parent,
        "start_time": run.start_ms,
        "end_time": run.end_ms,
        "duration": run.duration_ms,
        "exit_code": run.exit_code,
        "dirty": run.dirty,
        "deleted": run.deleted,
    }


def fit(number: int | float) -> int | float:
    """The number that comparisons use: integers beyond 64 bits become floats, or infinity."""
    if isinstance(number, float) or -(2**63) <= number < 2**63:
        return number
    try:
        return float(number)
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")


def text_of(value: ParamValue) -> str:
    """The text of a param as MLflow would have stored it."""
    return value if isinstance(value, str) else str(value)


def number_in(text: str) -> int | float | None:
    """The number that a text spells by the grammar's rules, or None."""
    if not _NUMBER.fullmatch(text):
        return None
    plain = text.lower().replace(".nan", "nan").replace(".inf", "inf")
    try:
        return int(plain)
    except ValueError:
        return float(plain)


def like(pattern: str, text: str, ignore_case: bool) -> bool:
    """SQL's LIKE without an escape character: `%` is any text, `_` any one character."""
    return _like_pattern(pattern, ignore_case).match(text) is not None


@functools.lru_cache(maxsize=64)
def _like_pattern(pattern: str, ignore_case: bool) -> re.Pattern[str]:
    first, *rest = (
        "".join("." if c == "_" else re.escape(c) for c in p) for p in pattern.split("%")
    )
    if rest:
        # Atomic groups: each piece is taken where it first fits, so no pattern can backtrack
        # its way to more than (pieces x text) steps.
        first += "".join(f"(?>.*?{piece})" for piece in rest[:-1]) + ".*" + rest[-1]
    return re.compile(first + r"\Z", re.DOTALL | (re.IGNORECASE if ignore_case else 0))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _equal(value: Any, literal: Literal) -> bool:
    if isinstance(literal, bool):
        return value is literal
    if not isinstance(literal, str):
        return _is_number(value) and _same_number(value, literal)
    if isinstance(value, str):
        return value == literal
    if isinstance(value, bool):
        return literal.lower() == str(value).lower()
    if str(value) == literal:
        return True
    spelled = number_in(literal)
    return spelled is not None and _is_number(value) and _same_number(value, spelled)


def _same_number(a: int | float, b: int | float) -> bool:
    return fit(a) == fit(b) or (a != a and b != b)


def _ordered(value: Any, op: str, literal: Literal) -> bool:
    if isinstance(literal, str):
        return isinstance(value, str) and bool(_ORDERED[op](value, literal))
    return _is_number(value) and bool(_ORDERED[op](fit(value), fit(literal)))


def sort_runs(runs: Iterable[Run], orders: Sequence[Order] = ()) -> list[Run]:
    """Runs in order; ties, and no order at all: the newest start first, then by id.

    Ascending or descending, numbers come before NaN, NaN before other values (which order by
    their text) and runs without a value come last.
    """
    result = sorted(runs, key=lambda run: run.id)
    result.sort(key=lambda run: run.start_ms, reverse=True)
    for order in reversed(orders):
        ranks: tuple[list[tuple[Any, Run]], ...] = ([], [], [], [])
        for run in result:
            value = field_value(order.field, run)
            if value is None:
                ranks[3].append((0, run))
            elif value != value:
                ranks[1].append((0, run))
            elif _is_number(value) or order.field.kind == "attribute":
                ranks[0].append((fit(value) if _is_number(value) else value, run))  # type: ignore[arg-type]
            else:
                ranks[2].append((text_of(value), run))
        for rank in ranks:
            rank.sort(key=_first, reverse=order.descending)
        result = [run for rank in ranks for _, run in rank]
    return result


def _first(pair: tuple[Any, Run]) -> Any:
    return pair[0]


def iter_fields(expr: Expr) -> Iterator[Field]:
    """The fields a filter looks at, in its order, repeated as often as they stand there."""
    if isinstance(expr, (And, Or)):
        for item in expr.items:
            yield from iter_fields(item)
    elif isinstance(expr, Not):
        yield from iter_fields(expr.item)
    else:
        yield expr.field
