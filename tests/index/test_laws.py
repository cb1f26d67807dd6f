"""Laws: a search of the index is the plain predicate, and a run comes back as it went in."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gittrack.core.model import Experiment
from gittrack.core.query import predicate, sort_runs
from gittrack.index import Index

from .strategies import COMMITS, EXPERIMENTS, IDS, exprs, orders, runs


def filled(values, index=None):
    index = index or Index.open(None)
    experiments = [Experiment(id, name) for id, name in EXPERIMENTS.items()]
    assert index.apply(index.tips(), {"r": "1"}, values, (), experiments)
    return index


@settings(deadline=None, max_examples=75)
@given(
    runs,
    exprs,
    orders,
    st.none() | st.integers(0, 4),
    st.none() | st.sets(st.sampled_from(sorted(EXPERIMENTS))),
    st.booleans(),
    st.sets(st.sampled_from(IDS), max_size=2),
)
def test_search_is_the_predicate(values, expr, by, limit, experiments, deleted, excluded):
    expected = [
        run
        for run in sort_runs(values, by)
        if predicate(expr, run)
        and (experiments is None or run.experiment_id in experiments)
        and (deleted or not run.deleted)
        and run.id not in excluded
    ][:limit]
    index = filled(values)
    found = index.search(expr, by, limit, experiments, deleted, excluded)
    assert [run.id for run in found] == [run.id for run in expected]
    assert repr(found) == repr(expected)  # repr: NaN equals nothing, and 1 is not 1.0


@settings(deadline=None, max_examples=30)
@given(runs, st.permutations(COMMITS), st.integers(1, 3))
def test_runs_of_commits_come_where_their_first_commit_stands(values, listed, count):
    listed = listed[:count]
    ranks = {
        run.id: min(listed.index(commit) for commit in run.commits if commit in listed)
        for run in values
        if not run.deleted and set(listed) & set(run.commits)
    }
    expected = [run.id for run in sort_runs(values, ()) if run.id in ranks]
    found = filled(values).search(None, (), None, commits=listed)
    assert [run.id for run in found] == sorted(expected, key=ranks.__getitem__)


@settings(deadline=None, max_examples=30)
@given(runs, runs, st.sets(st.sampled_from(IDS), max_size=3))
def test_replacing_and_removing_leave_what_a_new_index_would_hold(before, after, removed):
    index = filled(before)
    assert index.apply({"r": "1"}, {"r": "2"}, after, removed)
    left = {run.id: run for run in before if run.id not in removed}
    left.update({run.id: run for run in after})
    fresh = filled(left.values())
    assert repr(index.search(include_deleted=True)) == repr(fresh.search(include_deleted=True))
    for table in ("metric", "param", "tag", "link"):
        sql = (
            f"SELECT key.text, run_id, {table}.* FROM {table} JOIN key ON key.n = {table}.key"
            f" JOIN run ON run.n = {table}.run ORDER BY 1, 2"
        )
        drop = slice(4, None)  # numbers of keys and runs may differ
        rows = [[row[:2] + row[drop] for row in i._db.execute(sql)] for i in (index, fresh)]
        assert rows[0] == rows[1]
        count = f"SELECT count(*) FROM {table}"
        assert index._db.execute(count).fetchone()[0] == len(rows[0])
    sql = "SELECT run_id, at, name, digest, context FROM dataset JOIN run ON n = run ORDER BY 1, 2"
    assert index._db.execute(sql).fetchall() == fresh._db.execute(sql).fetchall()
    count = "SELECT count(*) FROM dataset"
    assert index._db.execute(count).fetchone() == fresh._db.execute(count).fetchone()
    assert sorted(index.dataset_uses()) == sorted(fresh.dataset_uses())
    assert index.metric_keys() == fresh.metric_keys()
    assert index.param_keys() == fresh.param_keys()
    assert index.experiments() == fresh.experiments()
