"""Every test and every ordering on every odd value: the index against the plain predicate."""

from __future__ import annotations

import pytest

from gittrack.core.model import MetricSummary, Run
from gittrack.core.query import Compare, Field, In, IsNull, Not, Order, predicate, sort_runs
from gittrack.index import Index

from .strategies import NUMBERS, TEXTS

VALUES = [*TEXTS, *NUMBERS, True, False, None, [1, "a"], [float("nan")], ["true"]]
FLOATS = [float("inf") if number == 10**400 else float(number) for number in NUMBERS]
PATTERNS = [
    "%",
    "",
    "a%",
    "A%",
    "a_",
    "%b",
    "_",
    "é%",
    "É",
    "a_%",
    "a%%",
    "a\x00%",
    "1%",
    "True",
    "t%",
]
TEXT_OPS = ["like", "ilike", "not like", "not ilike"]
EQUAL = ["=", "!="]
OPS = ["=", "!=", "<", "<=", ">", ">="]


def _runs():
    for n, value in enumerate(VALUES):
        number = FLOATS[n % len(FLOATS)]
        text = TEXTS[n % len(TEXTS)]
        yield Run(
            id=f"r{n * 37 % 101:03}",
            experiment_id="e",
            experiment="e",
            name=text,
            status="finished",
            start_ms=n % 3,
            end_ms=[None, 0, 1, 1002][n % 4],
            exit_code=[None, 0, 1][n % 3],
            dirty=n % 2 == 0,
            description=text,
            params={} if n == 0 else {"k": value},
            metrics={} if n == 1 else {"k": MetricSummary(number, 0, 0, -number, number, n % 3)},
            tags={} if n == 2 else {"k": text},
        )


RUNS = list(_runs())
INDEX = Index.open(None)
INDEX.apply({}, {"r": "1"}, RUNS)

PARAM, TAG = Field("param", "k"), Field("tag", "k")
LAST, LOW, COUNT = (Field("metric", "k", stat) for stat in ("last", "min", "count"))
NAME, TEXT = Field("attribute", "run_name"), Field("attribute", "description")
DURATION, EXIT = Field("attribute", "duration"), Field("attribute", "exit_code")
START, DIRTY = Field("attribute", "start_time"), Field("attribute", "dirty")
FIELDS = [PARAM, TAG, LAST, LOW, COUNT, NAME, TEXT, DURATION, EXIT, START, DIRTY]
FIELDS += [Field("metric", "nope"), Field("param", "nope"), Field("tag", "nope")]


def _tests(field):
    texts = field in (PARAM, TAG, NAME, TEXT) or field.kind in ("param", "tag")
    numbers = not texts and field != DIRTY
    if texts:
        yield from (Compare(field, op, text) for text in TEXTS for op in OPS)
        yield from (Compare(field, op, pattern) for pattern in PATTERNS for op in TEXT_OPS)
        yield from (In(field, (text, "ab"), negated) for text in TEXTS for negated in (True, False))
    if numbers or field.kind == "param":
        yield from (Compare(field, op, number) for number in NUMBERS for op in OPS)
        yield from (
            In(field, (number, 1), negated) for number in NUMBERS for negated in (True, False)
        )
    if field == DIRTY or field.kind == "param":
        yield from (Compare(field, op, flag) for flag in (True, False) for op in EQUAL)
        yield In(field, (True,))
    yield from (IsNull(field), IsNull(field, True))


@pytest.mark.parametrize(
    "field", FIELDS, ids=lambda field: f"{field.kind}.{field.key}.{field.stat}"
)
def test_every_test(field):
    for test in _tests(field):
        for expr in (test, Not(test)):  # joined to the runs, and looked up for each
            expected = {run.id for run in RUNS if predicate(expr, run)}
            assert {run.id for run in INDEX.search(expr)} == expected, expr


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(
    "field", FIELDS, ids=lambda field: f"{field.kind}.{field.key}.{field.stat}"
)
def test_every_ordering(field, descending):
    orders = [Order(field, descending)]
    expected = [run.id for run in sort_runs(RUNS, orders)]
    # With few results an ordering by a metric is a walk along its index, with all a sort.
    for limit in (None, 0, 1, 7, len(RUNS) - 3, len(RUNS)):
        found = INDEX.search(None, orders, limit)
        assert [run.id for run in found] == expected[:limit]


@pytest.mark.parametrize("test", list(_tests(LAST)), ids=str)
def test_every_ordering_of_what_a_test_leaves(test):
    for order in (Order(LAST), Order(LAST, True), Order(LOW), Order(PARAM, True)):
        expected = [run.id for run in sort_runs(RUNS, [order]) if predicate(test, run)]
        for limit in (None, 5):
            assert [run.id for run in INDEX.search(test, [order], limit)] == expected[:limit]
