from __future__ import annotations

import pytest

from gittrack.core.diff import (
    FileChange,
    MetricChange,
    diff_runs,
    diff_sources,
    same_value,
)
from gittrack.core.model import Artifact, MetricSummary, Run, Source

NAN, INF = float("nan"), float("inf")


def run(id="a", **fields):
    return Run(id, "default", "default", fields.pop("name", id), "finished", 0, **fields)


def metric(last):
    return MetricSummary(last, 3, 30, last, last, 4)


def test_params_are_added_removed_or_changed_by_type_and_value():
    a = run(params={"same": NAN, "type": 1, "gone": None, "list": [1, NAN], "lr": 0.1})
    b = run("b", params={"same": NAN, "type": 1.0, "new": None, "list": [1, NAN], "lr": 0.2})
    diff = diff_runs(a, b)
    assert diff.params == (
        ("gone", "removed", None, None),
        ("lr", "changed", 0.1, 0.2),
        ("new", "added", None, None),
        ("type", "changed", 1, 1.0),
    )
    assert diff.params_equal == 2
    assert (diff.a, diff.b) == ("a", "b")


@pytest.mark.parametrize(
    ("before", "after", "absolute", "relative"),
    [
        (2.0, 3.0, 1.0, 0.5),
        (-2.0, -3.0, -1.0, -0.5),
        (0.0, 3.0, 3.0, None),
        (NAN, 3.0, None, None),
        (2.0, NAN, None, None),
        (INF, 2.0, None, None),
        (-1e308, 1e308, None, None),
        (5e-324, 1e308, 1e308, None),
    ],
)
def test_a_metric_changes_absolutely_and_relatively(before, after, absolute, relative):
    (change,) = diff_runs(
        run(metrics={"m": metric(before)}), run(metrics={"m": metric(after)})
    ).metrics
    assert change[:2] == ("m", "changed")
    assert (change.absolute, change.relative) == (absolute, relative)
    assert repr(change.a) == repr(metric(before))
    assert repr(change.b) == repr(metric(after))


def test_metrics_that_one_run_lacks_and_equal_ones():
    a = run(metrics={"x": metric(NAN), "gone": metric(1.0)})
    b = run(metrics={"x": metric(NAN), "new": metric(2.0)})
    diff = diff_runs(a, b)
    assert diff.metrics == (
        MetricChange("gone", "removed", metric(1.0), None, None, None),
        MetricChange("new", "added", None, metric(2.0), None, None),
    )
    assert diff.metrics_equal == 1


def test_attributes_tags_and_artifacts():
    a = run(commit="c1", dirty=True, argv=("x",), tags={"t": "1"}, end_ms=5)
    b = run("b", commit="c2", argv=("y",), host="h", artifacts={"m": Artifact("m", 3)})
    diff = diff_runs(a, b)
    assert [change[:2] for change in diff.attributes] == [
        ("argv", "changed"),
        ("commit", "changed"),
        ("dirty", "changed"),
        ("host", "added"),
    ]
    assert diff.tags == (("t", "removed", "1", None),)
    assert diff.artifacts == (("m", "added", None, Artifact("m", 3)),)


def test_a_run_does_not_differ_from_one_that_only_came_later():
    a = run(params={"lr": NAN}, metrics={"m": metric(NAN)})
    later = a._replace(id="b", name="other", start_ms=5, end_ms=9)
    assert diff_runs(a, later).is_empty
    assert not diff_runs(a, later._replace(commit="c")).is_empty
    unknown = diff_sources(Source(), Source())
    assert not diff_runs(a, later, unknown).is_empty


def test_same_value_keeps_types_apart():
    assert same_value([1, [NAN]], [1, [NAN]])
    assert not same_value(True, 1)
    assert not same_value([1], [1.0])
    assert not same_value("1", 1)


def source(**fields):
    return Source(base="b", commit="c", dirty=True, **fields)


def test_equal_trees_are_the_same_source_whatever_led_to_them():
    a, b = source(tree="t", overlay="o1", files=("x",)), Source(commit="d", base="e", tree="t")
    assert diff_sources(a, b) == (True, ("c", "d"), (), True)


def test_a_dirty_submodule_makes_equal_trees_uncertain():
    diff = diff_sources(source(tree="t"), source(tree="t", submodules_dirty=("sub",)))
    assert diff.same is None
    assert diff.files == (FileChange("sub", "maybe"),)


def test_without_trees_only_clean_runs_of_one_commit_are_known():
    clean = Source(commit="c", base="c")
    assert diff_sources(clean, clean).same is True
    assert diff_sources(clean, clean._replace(dirty=True)).same is None
    assert diff_sources(clean, Source(commit="d")).same is None
    assert diff_sources(Source(), Source()).same is None


def test_files_of_two_sources_on_one_base():
    a = source(
        tree="t1",
        overlay="o1",
        files=("both", "left", "mode", "secret_now"),
        deleted=("back", "gone_in_both"),
        symlinks={"link": "x", "same_link": "y"},
        withheld={".env": "secret"},
    )
    b = source(
        tree="t2",
        overlay="o2",
        files=("both", "right", "mode"),
        deleted=("away", "gone_in_both"),
        modes={"mode": "100755", "bit": "100755"},
        symlinks={"link": "z", "same_link": "y"},
        gitlinks={"sub": "1" * 40},
        withheld={".env": "secret", "secret_now": "secret"},
    )
    diff = diff_sources(a, b)
    assert diff.same is False
    assert diff.complete
    assert dict(diff.files) == {
        ".env": "maybe",
        "away": "removed",
        "back": "added",
        "bit": "changed",
        "both": "maybe",
        "left": "changed",
        "link": "changed",
        "mode": "changed",
        "right": "changed",
        "secret_now": "maybe",
        "sub": "changed",
    }
    assert list(diff.files) == sorted(diff.files)


def test_one_overlay_holds_the_same_files():
    a = source(tree="t1", overlay="o", files=("x",))
    b = source(tree="t2", overlay="o", files=("x",), deleted=("y",))
    assert diff_sources(a, b).files == (FileChange("y", "removed"),)


def test_two_bases_tell_only_which_paths_may_differ():
    a = source(tree="t1", overlay="o", files=("x",))
    b = Source(commit="d", base="d", tree="t2", deleted=("y",))
    diff = diff_sources(a, b)
    assert diff.same is False
    assert not diff.complete
    assert diff.files == (FileChange("x", "maybe"), FileChange("y", "maybe"))
