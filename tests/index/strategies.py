"""Random runs and filters that meet each other often."""

from __future__ import annotations

from hypothesis import strategies as st

from gittrack.core.model import Artifact, Dataset, MetricSummary, Run
from gittrack.core.query import (
    ATTRIBUTES,
    DATASET_FIELDS,
    And,
    Compare,
    Field,
    In,
    IsNull,
    Not,
    Or,
    Order,
)

NAN, INF = float("nan"), float("inf")
KEYS = ["a", "a/b", "A", "lé'\"`%"]
TEXTS = [
    "",
    "a",
    "A",
    "ab",
    "aB",
    "a%",
    "a_b",
    "é",
    "É",
    "ß",
    "x\ny",
    "it's",
    '"',
    "\\",
    "\U0001f600",
]
TEXTS += [
    "1",
    "1.0",
    "0.1",
    "1e-05",
    "nan",
    "true",
    "False",
    "None",
    "[1, 'a']",
    "\uffff",
    "a\x00b",
]
NUMBERS = [0, 1, 2, -1, 0.1, 1.0, -0.0, 1e-5, 2**53, 2**53 + 1, float(2**53), 2**63 - 1, 2**63]
NUMBERS += [-(2**63), -(2**63) - 1, 2**70, 2**70 + 1, 10**400, 1e308, INF, -INF, NAN]

keys = st.sampled_from(KEYS)
texts = st.sampled_from(TEXTS)
numbers = st.sampled_from(NUMBERS)
floats = numbers.map(lambda x: INF if x == 10**400 else float(x))
param_values = st.one_of(
    texts, numbers, st.booleans(), st.none(), st.just([1, "a"]), st.just([NAN])
)
summaries = st.builds(
    MetricSummary, floats, st.integers(0, 9), st.integers(0, 9), floats, floats, st.integers(1, 3)
)
datasets = st.builds(
    Dataset, st.sampled_from(TEXTS[1:]), st.sampled_from(TEXTS[1:]), texts,
    shape=st.sampled_from([None, (), (3, 4)]), opaque=st.sampled_from([(), ("a",)]),
)  # fmt: skip
IDS = [f"20261123-15301{n % 10}-{n:012x}" for n in range(12)] + ["foreign_1", "Foreign-2"]
EXPERIMENTS = {"default": "default", "other-1": "Other é"}


COMMITS = ["abcd" * 10, "abce" * 10, "abcf" * 10]
commits = st.sampled_from(COMMITS)


@st.composite
def run_values(draw: st.DrawFn) -> Run:
    experiment = draw(st.sampled_from(sorted(EXPERIMENTS)))
    start = draw(st.sampled_from([0, 1, 1000, 2000]))
    return Run(
        id=draw(st.sampled_from(IDS)),
        experiment_id=experiment,
        experiment=EXPERIMENTS[experiment],
        name=draw(texts),
        status=draw(st.sampled_from(["running", "finished", "failed"])),
        start_ms=start,
        end_ms=draw(st.sampled_from([None, 0, 1500, 3000])),
        parent=draw(st.sampled_from([None, IDS[0]])),
        author=draw(texts),
        host=draw(texts),
        argv=draw(st.sampled_from([(), ("train.py", "--x")])),
        entry=draw(texts),
        commit=draw(st.sampled_from([None, "abcd" * 10, "abce" * 10])),
        branch=draw(st.sampled_from([None, "main"])),
        dirty=draw(st.booleans()),
        exit_code=draw(st.sampled_from([None, 0, 1])),
        description=draw(texts),
        deleted=draw(st.sampled_from([False, False, True])),
        params=draw(st.dictionaries(keys, param_values, max_size=4)),
        metrics=draw(st.dictionaries(keys, summaries, max_size=4)),
        tags=draw(st.dictionaries(keys, texts, max_size=3)),
        warnings=draw(st.sampled_from([(), ("w",)])),
        withheld=draw(st.sampled_from([{}, {".env": "secret"}])),
        redacted=draw(st.sampled_from([(), ("argv",)])),
        conflicts=draw(st.sampled_from([(), ("run.yaml",)])),
        artifacts=draw(st.sampled_from([{}, {"m": Artifact("m", 3, "755", "b" * 40)}])),
        links=draw(st.dictionaries(commits, st.just("tree"), max_size=2)),
        inputs=tuple(draw(st.lists(datasets, max_size=3))),
    )


runs = st.lists(run_values(), max_size=8, unique_by=lambda run: run.id)

_STATS = st.sampled_from(["last", "min", "max", "count"])
metric_fields = st.builds(Field, st.just("metric"), keys, _STATS)
param_fields = st.builds(Field, st.just("param"), keys)
tag_fields = st.builds(Field, st.just("tag"), keys)
attribute_fields = st.builds(Field, st.just("attribute"), st.sampled_from(sorted(ATTRIBUTES)))
fields = st.one_of(metric_fields, param_fields, tag_fields, attribute_fields)
# Runs have many of them, so no ordering goes by one.
dataset_fields = st.builds(Field, st.just("dataset"), st.sampled_from(DATASET_FIELDS))

_EQUAL, _ORDER = ["=", "!="], ["<", "<=", ">", ">="]
_LIKE = ["like", "ilike", "not like", "not ilike"]
patterns = st.one_of(
    texts, texts.map(lambda t: t + "%"), st.sampled_from(["%a%", "_", "%b", "A_", "%%", "%é"])
)


def _type(field: Field) -> str:
    if field.kind == "attribute":
        return ATTRIBUTES[field.key]
    return {"metric": "number", "param": "any", "tag": "text", "dataset": "text"}[field.kind]


@st.composite
def tests(draw: st.DrawFn):
    """One condition of a form that the parser lets through."""
    field = draw(fields | dataset_fields)
    kind = _type(field)
    if kind == "any":
        kind = draw(st.sampled_from(["text", "number", "boolean"]))
    attribute_texts = texts | st.sampled_from([*IDS, *EXPERIMENTS, "main", "abcd%", "finished"])
    values = {
        "text": attribute_texts if field.kind == "attribute" else texts,
        "boolean": st.booleans(),
    }.get(kind, numbers | st.sampled_from([500, 1000, 1500.0]))
    form = draw(st.sampled_from(["null", "in", "compare", "compare", "like"]))
    if form == "null":
        return IsNull(field, draw(st.booleans()))
    if form == "in":
        found = draw(st.lists(values, min_size=1, max_size=4))
        return In(field, tuple(found), draw(st.booleans()))
    if form == "like" and kind == "text":
        return Compare(field, draw(st.sampled_from(_LIKE)), draw(patterns))
    ops = _EQUAL if kind == "boolean" else _EQUAL + _ORDER
    return Compare(field, draw(st.sampled_from(ops)), draw(values))


exprs = st.recursive(
    tests(),
    lambda inner: st.one_of(
        inner.map(Not),
        st.lists(inner, max_size=3).map(tuple).map(And),
        st.lists(inner, max_size=3).map(tuple).map(Or),
    ),
    max_leaves=6,
)
orders = st.lists(st.builds(Order, fields, st.booleans()), max_size=3)
