from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gittrack.core.model import Dataset, MetricSummary, Run
from gittrack.core.query import (
    And,
    Compare,
    Field,
    In,
    IsNull,
    Not,
    Or,
    Order,
    iter_fields,
    like,
    parse,
    parse_order,
    predicate,
    sort_runs,
)
from gittrack.errors import QueryError

NAN, INF = float("nan"), float("inf")
DAY = 86_400_000
NOV_1 = 1_793_491_200_000  # 2026-11-01T00:00:00Z


def metric(last, low=0.0, high=9.0, count=3):
    return MetricSummary(last, 1, 1, low, high, count)


RUN = Run(
    id="20261101-000000-7f3a9c1d2b4e",
    experiment_id="default",
    experiment="default",
    name="brave-otter",
    status="finished",
    start_ms=NOV_1 + 3_600_000,
    end_ms=NOV_1 + 3_690_000,
    author="Ann <ann@example.org>",
    host="node1",
    commit="abcdef01" * 5,
    branch="main",
    dirty=True,
    exit_code=0,
    params={
        "lr": 0.1,
        "n": 3,
        "big": 2**70,
        "model": "rf",
        "text_number": "0.1",
        "flag": True,
        "none": None,
        "layers": [1, 2],
        "nan": NAN,
        "a b": "x",
        "win": "C:\\temp",
        "quote": "it's",
    },
    metrics={"loss": metric(0.25), "val/acc": metric(0.5), "bad": metric(NAN), "inf": metric(INF)},
    tags={"team": "Vision", "empty": ""},
    inputs=(Dataset("train", "md5:ab", "training"), Dataset("test set", "uri:cd")),
)


def matches(text, run=RUN):
    return predicate(parse(text), run)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        'metrics.loss < 0.3 and params.model = "rf"',
        "metric.loss<=.25",
        "metrics.loss == 2.5e-1",
        'metrics.`val/acc` > 0.4 AND metrics."val/acc" < 0.6 and metrics.val/acc = 0.5',
        "metrics.bad = nan and metrics.bad != 1 and metrics.loss != nan",
        "metrics.inf > 1e308 and metrics.inf = inf and metrics.inf > -inf",
        "max(metrics.loss) = 9 and min(metrics.loss) = 0 and count(metric.loss) = 3",
        "last(metrics.loss) = 0.25",
        "metrics.loss in (1, 0.25) and metrics.loss not in (1, 2)",
        "metrics.loss is not null and metrics.nope is null",
        "params.lr = 0.1 and params.lr = '0.1' and params.lr = '1e-1' and params.lr < 1",
        "params.n = 3 and params.n = 3.0 and params.n = '3' and params.n != '4'",
        "params.big = '1180591620717411303424' and params.big > 9223372036854775807",
        "params.text_number = '0.1' and params.text_number != 0.1 and params.text_number != '.1'",
        "params.flag = true and params.flag = 'True' and params.flag = 'true' and params.flag != 1",
        "params.none is null and params.layers = '[1, 2]' and params.nan = nan",
        "params.model > 'ra' and params.model LIKE 'r%' and params.model ilike 'R_'",
        "params.model not like 'R_' and params.model not ilike 'x%'",
        "params.model in ('svm', 'rf') and params.n in (1, 3) and params.n not in ('5')",
        "param.`a b` = 'x' and parameters.\"a b\" = 'x' and parameter.`a b` = \"x\"",
        "params.win = 'C:\\temp' and params.win = 'C:\\\\temp'",
        "params.quote = 'it''s' and params.quote = 'it\\'s' and params.quote = \"it's\"",
        "tags.team = 'Vision' and tag.team ilike 'vis%' and tags.empty = ''",
        "tags.empty is not null and tags.nope is null",
        "not tags.nope = 'x' and not (tags.nope != 'x' or metrics.nope > 1)",
        "status = 'FINISHED' and attributes.status != 'failed' and status like 'FIN%'",
        "status in ('Finished', 'killed') and status != 'SCHEDULED'",
        "run_name = 'brave-otter' and name = 'brave-otter' and `run_name` like 'brave%'",
        "run_id like '2026%' and short_id = '7f3a9c1d2b4e'",
        "run_id = '20261101-000000-7f3a9c1d2b4e' and run.id in ('20261101-000000-7f3a9c1d2b4e')",
        "user = 'Ann <ann@example.org>' and author like '%ann%' and user_id like 'Ann%'",
        "host = 'node1' and branch = 'main' and dirty = true and dirty != 'false' and deleted = 0",
        "commit = 'abcdef01' and commit = 'ABCD' and commit in ('1234', 'abcdef')",
        "commit != '1234'",
        "commit not in ('1234', '5678')",
        "parent is null and not parent = 'x' and not parent != 'x' and description is null",
        "experiment = 'default' and experiment_id = 'default' and exit_code = 0",
        f"start_time >= {NOV_1} and created > {NOV_1} and attr.start_time < {NOV_1 + DAY}",
        "start_time > '2026-11-01' and start_time = '2026-11-01' and start_time < '2026-11-02'",
        "start_time = '2026-11' and start_time = '2026-11-01T01:00' and start_time != '2026-11-02'",
        "start_time = '2026-11-01 01:00:00Z' and start_time = '2026-11-01T02:00+01:00'",
        "start_time = '2026-11-01T01:00:00.000Z' and start_time != '2026-11-01T01:00:00.001Z'",
        "start_time > 2026-11-01 and start_time in ('2025-01-01', '2026-11-01')",
        "start_time not in ('2025-01-01', '2026-11-02') and end_time < '2027-01-01'",
        "duration = 90 and duration = '90s' and duration = '1.5m' and duration < '1h'",
        "metrics.loss > 9 or metrics.loss < 1 and params.model = 'rf'",
        "(metrics.loss < 1 or metrics.loss > 9) and not not params.model = 'rf'",
        "datasets.name = 'train' and dataset.digest like 'md5:%' and DATASETS.context = 'training'",
        "dataset.name != 'train' and datasets.name in ('x', 'test set') and datasets.name is not null",
        "datasets.name = 'test set' and datasets.context = 'training'",
        "not datasets.name = 'nope' and datasets.name not in ('train')",
    ],
)
def test_the_run_passes(text):
    assert matches(text)


@pytest.mark.parametrize(
    "text",
    [
        "metrics.loss < 0.25",
        "metrics.nope != 1",
        "metrics.bad > 0 or metrics.bad <= 0",
        "metrics.loss > nan or metrics.loss <= nan",
        "metrics.nope in (1) or metrics.nope not in (1)",
        "params.nope != 'x' or params.nope not like 'x' or params.none != 'x'",
        "params.model > 1 or params.model < 1 or params.model = 1",
        "params.lr < '1'",
        "params.flag = 1 or params.flag = false or params.n = true",
        "params.text_number = 0.1",
        "params.model like 'R%' or params.model like 'f'",
        "tags.Team = 'Vision' or tags.team = 'vision'",
        "start_time > '2026-11-02' or start_time = '2026-10'",
        "status = 'running'",
        "duration > '2m' or end_time is null",
        "metrics.loss > 9 or metrics.loss < 1 and params.model = 'svm'",
        "datasets.name = 'Train' or datasets.context != 'training' or dataset.context is null",
        "datasets.digest not in ('md5:ab', 'uri:cd')",
    ],
)
def test_the_run_does_not_pass(text):
    assert not matches(text)


def test_a_run_that_goes_on_has_neither_end_nor_duration():
    going = RUN._replace(end_ms=None)
    assert matches("end_time is null and duration is null", going)
    assert not matches("duration < 1e9 or end_time != 1", going)


def test_the_expression_is_plain_values():
    loss, model = Field("metric", "loss"), Field("param", "model")
    assert parse("metrics.loss < 1 or not params.model in ('a') and params.model is null") == Or(
        (
            Compare(loss, "<", 1),
            And((Not(In(model, ("a",))), IsNull(model))),
        )
    )
    expr = parse("metrics.loss < 1 or not (tags.x is null and max(metrics.loss) > 2)")
    assert list(iter_fields(expr)) == [loss, Field("tag", "x"), Field("metric", "loss", "max")]


def test_a_time_may_count_back_from_now():
    now = RUN.start_ms + 2 * DAY
    assert predicate(parse("start_time >= '2 days ago'", now_ms=now), RUN)
    assert not predicate(parse("start_time > '47 hours ago'", now_ms=now), RUN)
    assert predicate(parse("start_time < 'now'", now_ms=now), RUN)
    with pytest.raises(QueryError):
        parse("start_time > '2 days ago'")


@pytest.mark.parametrize(
    ("text", "column", "expected", "hint"),
    [
        ("metrics.loss < abc", 16, "a number for metrics.loss", ""),
        ("metrics.loss <", 15, "a number, or text in quotes", ""),
        ("metrics.loss", 13, "an operator: = !=", ""),
        ("loss < 3", 1, "the name of an attribute", "metrics.loss, params.loss or tags.loss"),
        ("start_tme > 3", 1, "the name of an attribute", "did you mean start_time"),
        ("parms.x = 1", 1, "the name of an attribute", "did you mean params.x"),
        ("metrics. > 3", 9, "a key after 'metrics.'", ""),
        ("metrics.'' > 3", 9, "a key after 'metrics.'", ""),
        ("> 3", 1, "a field", ""),
        ("params.x = 'abc", 12, "a quote that closes", ""),
        ("params.x ! 'abc'", 11, "'='", ""),
        ("params.m = rf", 12, "text in quotes", "write 'rf'"),
        ("params.m = null", 12, "text in quotes", "IS NULL"),
        ("params.m < true", 12, "= or != before true", ""),
        ("params.m = `x`", 12, "text in quotes", ""),
        ("tags.m = 5", 10, "text in quotes", "'5'"),
        ("params.m like 5", 15, "text in quotes after LIKE", ""),
        ("metrics.m like '5'", 11, "a number", ""),
        ("start_time like '2026%'", 12, "a time", ""),
        ("dirty > 1", 7, "= or !=", ""),
        ("dirty = 2", 9, "true or false", ""),
        ("status = 'done'", 10, "a status: running, finished", ""),
        ("commit = 'xyz'", 10, "hex digits", ""),
        ("start_time > '2026-02-30'", 14, "a time such as", ""),
        ("start_time > 'soon'", 14, "a time such as", ""),
        ("duration > 'long'", 12, "'90s'", ""),
        ("max(params.x) > 1", 5, "a metric inside max()", ""),
        ("max(metrics.x > 1", 15, "')'", ""),
        ("(metrics.x > 1", 15, "')' to close the group", ""),
        ("metrics.x > 1)", 14, "'and', 'or' or the end", ""),
        ("metrics.x > 1 metrics.y > 1", 15, "'and', 'or' or the end", ""),
        ("metrics.x in 1", 14, "'('", ""),
        ("metrics.x in ()", 15, "a number", ""),
        ("metrics.x in (1", 16, "')' to close the list", ""),
        ("metrics.x not 1", 15, "LIKE, ILIKE or IN", ""),
        ("metrics.x is 1", 14, "NULL or NOT NULL", ""),
        ("metrics.x is not 1", 18, "NULL", ""),
        ("datasets.size = 1", 1, "datasets.name or datasets.digest or", ""),
        ("datasets.name = 1", 17, "text in quotes", "write '1'"),
        ("\tmetrics.x > 1 and", 19, "a field", ""),
    ],
)
def test_an_error_points_at_the_column(text, column, expected, hint):
    with pytest.raises(QueryError) as caught:
        parse(text)
    error = caught.value
    assert error.message == f"cannot understand the query at column {column}"
    said, shown, caret = error.why.split("\n")
    assert expected in said
    assert shown[7:] == text.replace("\t", " ")
    assert caret == " " * (7 + column - 1) + "^"
    assert hint in error.next


def test_a_long_filter_is_shown_around_the_column():
    with pytest.raises(QueryError) as caught:
        parse("metrics.x > 1 and " * 50 + "oops")
    _, shown, caret = caught.value.why.split("\n")
    assert len(shown) < 120
    assert shown[len(caret) - 1 :] == "oops"


@pytest.mark.parametrize(
    "text",
    [
        "(" * 10_000 + "metrics.x > 1" + ")" * 10_000,
        " and ".join(["metrics.x > 1"] * 1_001),
        "metrics.x in (" + ",".join(["1"] * 10_002) + ")",
        "commit in (" + ",".join(["'abcd'"] * 1_001) + ")",
    ],
)
def test_what_would_be_too_much_is_refused(text):
    with pytest.raises(QueryError, match="at most"):
        parse(text)


@settings(deadline=None)
@given(st.text(alphabet="metrics.paloss 'ndothi\"`=<>!()1e-,", max_size=40))
def test_any_text_is_understood_or_refused(text):
    try:
        expr = parse(text)
    except QueryError:
        return
    assert predicate(expr, RUN) in (True, False)


@settings(deadline=None)
@given(st.text(min_size=1, max_size=20), st.text(max_size=20))
def test_any_key_and_any_text_can_be_quoted(key, value):
    def quoted(text, quote):
        return quote + text.replace("\\", "\\\\").replace(quote, quote * 2) + quote

    run = RUN._replace(tags={key: value})
    for quote in "'\"":
        text = f"tags.{quoted(key, '`')} = {quoted(value, quote)}"
        assert parse(text) == Compare(Field("tag", key), "=", value)
        assert matches(text, run)


def _like_by_hand(pattern, text):
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(_like_by_hand(pattern[1:], text[at:]) for at in range(len(text) + 1))
    return bool(text) and pattern[0] in ("_", text[0]) and _like_by_hand(pattern[1:], text[1:])


@settings(deadline=None)
@given(st.text("ab%_\n", max_size=6), st.text("ab%_\n.*", max_size=6))
def test_like_by_its_definition(pattern, text):
    assert like(pattern, text, False) == _like_by_hand(pattern, text)


def test_like_does_not_backtrack_forever():
    start = time.perf_counter()
    assert not like("%a" * 30 + "b", "a" * 3000, True)
    assert time.perf_counter() - start < 1


def test_orderings():
    loss = Field("metric", "loss")
    start = Field("attribute", "start_time")
    assert parse_order(["metrics.loss DESC", "-metrics.loss", "start_time", "created asc"]) == [
        Order(loss, True),
        Order(loss, True),
        Order(start),
        Order(start),
    ]
    assert parse_order(["max(metrics.`a b`) desc, -params.x", "-`run_name`"]) == [
        Order(Field("metric", "a b", "max"), True),
        Order(Field("param", "x"), True),
        Order(Field("attribute", "run_name"), True),
    ]
    assert parse_order([]) == []


@pytest.mark.parametrize(
    "item",
    [
        "",
        "datasets.name",
        "metrics.loss up",
        "-metrics.loss desc",
        "los",
        "-",
        "a,",
        ",".join(["name"] * 21),
    ],
)
def test_an_ordering_that_cannot_be_understood(item):
    with pytest.raises(QueryError):
        parse_order([item])


def _runs(values, field="metrics"):
    return [
        Run(f"r{n}", "e", "e", "", "finished", 10, **{field: {} if v is None else {"x": v}})
        for n, v in enumerate(values)
    ]


def _ids(runs):
    return "".join(run.id[1:] for run in runs)


def test_runs_without_a_value_come_last_and_nan_before_them():
    runs = _runs([None, metric(NAN), metric(1.0), metric(INF), metric(-INF)])
    assert _ids(sort_runs(runs, parse_order(["metrics.x"]))) == "42310"
    assert _ids(sort_runs(runs, parse_order(["-metrics.x"]))) == "32410"


def test_params_order_numbers_then_nan_then_text():
    runs = _runs(["b", None, 2, NAN, True, 2**70, "a", 1.5], "params")
    assert _ids(sort_runs(runs, parse_order(["params.x"]))) == "72534601"
    assert _ids(sort_runs(runs, parse_order(["-params.x"]))) == "52730641"


def test_ties_go_to_the_newest_then_by_id():
    runs = [RUN._replace(id=id, start_ms=ms) for id, ms in [("b", 1), ("a", 1), ("c", 2)]]
    assert [run.id for run in sort_runs(runs)] == ["c", "a", "b"]
    assert [run.id for run in sort_runs(runs, parse_order(["-metrics.loss"]))] == ["c", "a", "b"]
    assert [run.id for run in sort_runs(runs, parse_order(["start_time"]))] == ["a", "b", "c"]
