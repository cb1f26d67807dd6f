from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading

import pytest

from gittrack.core.model import Artifact, Dataset, Experiment, MetricSummary, Run
from gittrack.core.query import parse, parse_order
from gittrack.index import Index, IndexLostError, schema
from gittrack.index.search import Scope, compile_search

NAN, INF = float("nan"), float("inf")


def run(n, **fields):
    values = {
        "id": f"20261123-1530{n % 60:02}-{n * 7919:012x}",
        "experiment_id": "default",
        "experiment": "default",
        "name": f"run-{n}",
        "status": "finished",
        "start_ms": 1000 * n,
        "params": {"lr": 0.1 * n},
        "metrics": {"loss": MetricSummary(1.0 / (n + 1), 1, 1, 0.0, 1.0, 2)},
    }
    return Run(**{**values, **fields})


# Python 3.12 warns of forks in a process with threads, such as a worker of pytest-xdist.
may_fork = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

RUNS = [run(n) for n in range(5)]
TIPS = {"refs/gittrack/store/main": "1" * 40}
NEXT = {"refs/gittrack/store/main": "2" * 40, "refs/gittrack/remote/origin/store/main": "3" * 40}


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "index.sqlite")


@pytest.fixture
def index(path):
    index = Index.open(path)
    assert index.apply({}, TIPS, RUNS)
    yield index
    index.close()


def ids(runs):
    return [run.id for run in runs]


def is_filled(index):
    return index.tips() == TIPS and ids(index.latest(9)) == ids(reversed(RUNS))


def is_empty(index):
    return index.tips() == {} and index.count(include_deleted=True) == 0


def is_usable(index):
    return is_empty(index) and index.apply({}, TIPS, RUNS) and is_filled(index)


def test_every_field_comes_back(index, path):
    full = Run(
        id="foreign_id",
        experiment_id="e",
        experiment="é",
        name="naïve \U0001f600",
        status="lost",
        start_ms=5,
        end_ms=6,
        parent=RUNS[0].id,
        author="a",
        author_source="host",
        host="h",
        argv=("a", "b"),
        entry="e",
        commit="c",
        branch="b",
        base="s",
        tree="t",
        remote="r",
        dirty=True,
        exit_code=3,
        description="d",
        deleted=True,
        params={"i": 2**200, "f": -0.0, "n": NAN, "l": [1, [True, None, 1.5]], "z": None, "": "x"},
        metrics={"m": MetricSummary(NAN, 2**60, 7, -INF, 1e-320, 2**70)},
        tags={"k": "line\n\x7f'\"", "\U0001f600": ""},
        warnings=("w",),
        withheld={".env": "secret"},
        redacted=("argv",),
        conflicts=("run.yaml",),
        inputs=(
            Dataset(
                "d",
                "md5:0",
                "training",
                "s3://b",
                "pandas",
                2**40,
                3,
                4,
                5,
                (6, 7),
                True,
                ("o",),
                "x",
            ),
            Dataset("d", "md5:1", schema=(("a", "int64"),)),
        ),
        artifacts={"a": Artifact("a", 2**40, "755", md5="m"), "b": Artifact("b", 0, blob="b")},
    )
    assert set(full._fields) == {f for f, v in full._asdict().items() if v is not None}
    assert index.apply(TIPS, NEXT, [full])
    index.close()
    again = Index.open(path)
    assert repr(again.get(["foreign_id"])) == repr([full])
    assert again.tips() == NEXT


def test_mappings_need_not_be_dicts():
    from types import MappingProxyType

    index = Index.open(None)
    assert index.apply({}, TIPS, [RUNS[0]._replace(params=MappingProxyType({"lr": 1}))])
    assert index.search(parse("params.lr = 1")) == [RUNS[0]._replace(params={"lr": 1})]


def test_lone_surrogates_neither_break_the_index_nor_get_lost():
    odd = run(1, name="\ud800", params={"\udcff": "\ud800", "lr": 2, "l": ["\ud800"]})
    odd = odd._replace(tags={"\ud800": "a", "\udfff": "b"})  # noqa: F601
    index = Index.open(None)
    assert index.apply({}, TIPS, [odd, run(2)])
    assert index.search(parse("params.lr = 2")) == [odd]
    assert index.search(parse("params.`\ud800` = '\ud801'")) == [odd]
    assert index.find_by_name("\ud800") == [odd]
    assert index.apply(TIPS, NEXT, [odd], [run(2).id])
    assert index.search() == [odd]


def test_finding(index):
    assert ids(index.get([RUNS[3].id, "nope", RUNS[1].id])) == [RUNS[3].id, RUNS[1].id]
    assert index.find_ids(RUNS[2].short_id[:8] + "3d") == [RUNS[2].id]
    assert index.find_ids("20261123") == ids(RUNS)
    assert index.find_ids("nope") == index.find_ids("%") == []
    twin = run(9, name="run-1", deleted=True)
    assert index.apply(TIPS, NEXT, [twin])
    assert ids(index.find_by_name("run-1")) == [twin.id, RUNS[1].id]
    assert index.find_by_name("Run-1") == []
    assert index.count() == 5
    assert index.count(include_deleted=True) == 6
    assert ids(index.latest(2)) == [RUNS[4].id, RUNS[3].id]


def test_keys_are_those_that_runs_have(index):
    assert index.metric_keys() == ["loss"]
    assert index.apply(TIPS, NEXT, [run(9, params={"a": 1, "none": None}, metrics={})], ids(RUNS))
    assert index.metric_keys() == []
    assert index.param_keys() == ["a"]


def test_experiments_count_their_runs():
    index = Index.open(None)
    values = [run(1), run(2), run(3, deleted=True), run(4, experiment_id="x", experiment="X")]
    empty = Experiment("empty", "Empty", {"k": "v"})
    assert index.apply({}, TIPS, values, (), [Experiment("default", "default"), empty])
    assert index.experiments() == [
        (empty, 0, None),
        (Experiment("x", "X"), 1, 4000),
        (Experiment("default", "default"), 2, 2000),
    ]


def test_a_renamed_experiment_renames_its_runs(index):
    assert index.apply(TIPS, NEXT, [], [], [Experiment("default", "new")])
    assert {run.experiment for run in index.search(parse("experiment = 'new'"))} == {"new"}
    assert index.search(parse("experiment = 'default'")) == []
    assert index.apply(NEXT, TIPS, [run(9)])
    assert len(index.search(parse("experiment = 'new'"))) == 6


def test_nothing_changes_when_the_tips_are_others(index, path):
    other = Index.open(path)
    assert not other.apply({}, NEXT, [run(9)], [RUNS[0].id])
    assert is_filled(other)
    assert other.apply(TIPS, NEXT, [run(9)], [RUNS[0].id])
    assert not index.apply(TIPS, {}, [], ids(RUNS))
    assert index.tips() == NEXT
    assert ids(index.latest(1)) == [run(9).id]


def test_an_error_of_the_reader_changes_nothing(index):
    def broken():
        yield run(9)
        raise OSError("no such object")

    with pytest.raises(OSError, match="no such object"):
        index.apply(TIPS, NEXT, broken(), ids(RUNS))
    assert is_filled(index)
    assert index.apply(TIPS, NEXT)


def test_what_is_read_during_a_change_is_its_own_snapshot(index):
    def runs():
        yield index.get([RUNS[0].id])[0]._replace(name="renamed")

    assert index.apply(TIPS, NEXT, runs())
    assert ids(index.find_by_name("renamed")) == [RUNS[0].id]


def test_the_same_run_twice_is_the_last_one(index):
    assert index.apply(TIPS, NEXT, [run(9), run(9, name="b"), run(1, name="c"), run(1, name="d")])
    assert [r.name for r in index.latest(9)].count("run-9") == 0
    assert ids(index.find_by_name("b")) == [run(9).id]
    assert ids(index.find_by_name("d")) == [run(1).id]
    assert index.count() == 6


def test_reset_empties_for_all(index, path):
    other = Index.open(path)
    index.reset()
    assert is_empty(other)
    assert is_usable(index)
    assert is_filled(other)


def _garbage(path):
    with open(path, "wb") as file:
        file.write(b"not a database" * 1000)


def _other_version(path):
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version={schema.VERSION + 1}")
        db.execute("CREATE TABLE more (x)")
    db.close()


def _other_program(path):
    os.unlink(path)
    with sqlite3.connect(path) as db:
        db.execute('CREATE TABLE "a""b" (x UNIQUE)')
        db.execute("CREATE TABLE run (x)")
    db.close()


def _empty_file(path):
    with open(path, "wb"):
        pass


def _torn(path):
    size = os.path.getsize(path)
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 8192))


def _cut(path):
    os.truncate(path, 4096)


@pytest.mark.parametrize(
    "harm", [_garbage, _other_version, _other_program, _empty_file, _torn, _cut]
)
def test_a_file_that_is_no_index_becomes_one(index, path, harm):
    index.close()
    harm(path)
    again = Index.open(path)
    try:
        again.tips()
    except IndexLostError:
        assert harm in (_torn, _cut)  # its first page is sound: opening does not read the rest
    assert is_usable(again)
    assert again.path == path
    again.close()
    assert is_filled(Index.open(path))


def test_a_file_that_breaks_under_us_is_lost_once(index, path):
    index.close()
    again = Index.open(path)
    _torn(path)
    with pytest.raises(IndexLostError):
        again.latest(9)
    assert is_usable(again)
    assert again.path == path


def test_a_file_that_breaks_under_a_change(index, path):
    index.close()
    again = Index.open(path)
    _torn(path)
    assert not again.apply(TIPS, NEXT, [run(9)])
    assert is_usable(again)


def test_a_file_that_another_version_takes_over(index, path):
    _other_version(path)
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE run")
    db.close()
    with pytest.raises(IndexLostError):
        index.latest(9)
    assert is_usable(index)
    assert index.path == path


def test_a_mistake_of_ours_does_not_cost_the_file(index):
    with pytest.raises(sqlite3.OperationalError), index._reading() as db:
        db.execute("SELECT nonsense")
    assert is_filled(index)


def test_a_run_that_cannot_be_read_loses_the_file(index):
    index._db.execute("UPDATE body SET json = '[1]' WHERE n = 2")
    with pytest.raises(IndexLostError):
        index.latest(9)
    assert is_usable(index)


def test_a_file_that_somebody_deletes(index, path):
    os.unlink(path)
    assert is_filled(index)
    other = Index.open(path)
    assert is_usable(other)
    if not index.apply(TIPS, NEXT, [run(9)]):
        assert is_usable(index)
    assert is_filled(other)


def test_an_old_journal_does_not_spoil_a_new_file(index, path):
    with open(path + "-journal", "wb") as file:
        file.write(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + b"\1" * 4096)
    _garbage(path)
    assert is_usable(Index.open(path))


def test_a_missing_folder_is_made(tmp_path):
    path = str(tmp_path / "a" / "b" / "index.sqlite")
    assert is_usable(Index.open(path))
    assert os.path.exists(path)


def test_out_of_reach_means_in_memory(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (str(tmp_path), str(tmp_path / "file" / "index.sqlite")):
        index = Index.open(path)
        assert index.path is None
        assert is_usable(index)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_file_is_read_and_not_written(index, path):
    index.close()
    os.chmod(path, 0o444)
    index = Index.open(path)
    assert is_filled(index)
    assert not index.apply(TIPS, NEXT, [run(9)])
    assert index.path is None
    assert is_usable(index)


def test_a_file_that_stays_locked_is_left_alone(index, path, monkeypatch):
    monkeypatch.setattr(schema, "BUSY_S", 0.01)
    impatient = Index.open(path)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    assert not impatient.apply(TIPS, NEXT, [run(9)])
    assert impatient.path is None
    assert is_usable(Index.open(path))
    holder.execute("COMMIT")
    holder.close()
    assert is_filled(index)


@may_fork
def test_a_process_that_dies_while_it_writes_changes_nothing(index, path):
    index.close()
    many = [run(n) for n in range(100, 1500)]

    def dying():
        yield from many
        os._exit(7)

    child = os.fork()
    if child == 0:
        Index.open(path).apply(TIPS, NEXT, dying(), ids(RUNS))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert is_filled(Index.open(path))


@may_fork
def test_a_fork_has_a_connection_of_its_own(index):
    def forking():
        yield run(9)
        child = os.fork()
        if child == 0:  # in the middle of the parent's change
            os._exit(0 if ids(index.latest(9)) == ids(reversed(RUNS)) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    assert index.apply(TIPS, NEXT, forking())
    assert ids(index.latest(1)) == [run(9).id]


def test_processes_that_refresh_at_once_lose_nothing(path):
    code = """
import sys
from gittrack.index import Index
from tests.index.test_index import run
index = Index.open(sys.argv[1])
for n in range(int(sys.argv[2]), int(sys.argv[2]) + 25):
    while True:
        tips = index.tips()
        if index.apply(tips, {**tips, str(n): "x"}, [run(n)]):
            break
assert index.path is not None
"""
    root = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    children = [
        subprocess.Popen([sys.executable, "-c", code, path, str(first)], cwd=root)
        for first in (0, 25, 50)
    ]
    assert [child.wait() for child in children] == [0, 0, 0]
    index = Index.open(path)
    assert index.count() == len(index.tips()) == 75


def test_threads_share_an_index(index):
    errors = []

    def read():
        try:
            for _ in range(20):
                assert len(index.search(parse("metrics.loss > 0"))) in (5, 6)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert index.apply(TIPS, NEXT, [run(9)])
    for thread in threads:
        thread.join()
    assert errors == []


def test_sqlite_is_loaded_when_an_index_is_opened():
    code = "import sys, gittrack.index; sys.exit('sqlite3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.deep
def test_a_filter_of_any_size(index):
    many = " or ".join(f"params.lr = {n}" for n in range(999))
    assert len(index.search(parse(many))) == 1
    assert len(index.search(parse(" and ".join(["params.lr >= 0"] * 999)))) == 5
    keys = " and ".join(f"params.k{n} is null" for n in range(999))
    assert len(index.search(parse(keys))) == 5
    listed = ", ".join(f"'{n}'" for n in range(9_000))
    assert (
        len(index.search(parse(f"run_id not in ({listed}) and params.lr not in ({listed})"))) == 4
    )
    orders = parse_order([f"params.k{n}" for n in range(20)])
    values = run(9, params={f"k{n}": n for n in range(20)})
    assert index.apply(TIPS, NEXT, [values])
    assert ids(index.search(None, orders, 1)) == [values.id]
    assert len(index.search(exclude_ids=[str(n) for n in range(40_000)])) == 6


def _plans(index, text="", order=(), scope=None, limit=20):
    numbers = {"loss": 1, "lr": 2}
    for statement in compile_search(
        parse(text), parse_order(order), scope or Scope(), limit, lambda kind, key: numbers[key]
    ):
        rows = index._db.execute("EXPLAIN QUERY PLAN " + statement.sql, statement.values)
        yield " | ".join(row[3] for row in rows)


def test_the_newest_runs_are_read_from_an_index_without_sorting(index):
    (plan,) = _plans(index)
    assert "run_by_start" in plan
    assert "TEMP B-TREE" not in plan
    assert "SEARCH r USING INDEX run_by_experiment" in next(
        _plans(index, scope=Scope(experiments={"default"}))
    )


def test_metrics_are_read_in_order_and_joined_by_key_and_run(index):
    plan = next(_plans(index, "metrics.loss > 0 and params.lr = 1", ["-metrics.loss"]))
    assert "metric_by_last (key=? AND last>?)" in plan
    assert "(key=? AND run=?)" in plan
    assert "RIGHT PART OF ORDER BY" in plan
    assert "metric_by_last" in next(_plans(index, "", ["metrics.loss"]))


def test_runs_of_commits_come_in_the_order_of_the_commits(path):
    index = Index.open(path)
    runs = [run(n, commit="abc"[n % 3] * 40) for n in range(9)]
    assert index.apply({}, TIPS, runs)
    wanted = ["c" * 40, "a" * 40, "f" * 40]
    names = [found.name for found in index.search(commits=wanted)]
    assert names == ["run-8", "run-5", "run-2", "run-6", "run-3", "run-0"]
    assert ids(index.search(commits=wanted, limit=4)) == ids(index.search(commits=wanted))[:4]
    by_loss = index.search(None, parse_order(["metrics.loss"]), commits=wanted, limit=1)
    assert [found.name for found in by_loss] == ["run-8"]
    assert index.search(commits=[]) == []
    assert [found.name for found in index.search(parse("params.lr > 0.5"), commits=wanted)] == [
        "run-8",
        "run-6",
    ]
    index.close()


def test_runs_of_commits_are_looked_up_by_commit(index):
    """Else a range of as many commits as there are runs costs their product."""
    (plan,) = _plans(index, scope=Scope(commits=["c" * 40]), limit=None)
    assert "run_by_commit (commit=?)" in plan


def test_a_deleted_experiment_hides_its_runs_until_it_is_restored(index):
    gone = Experiment("default", "default", {}, True)
    assert index.apply(TIPS, NEXT, experiments=[gone])
    assert index.hidden_experiments() == ["default"]
    assert index.search() == index.latest(3) == []
    assert len(index.search(include_deleted=True)) == 5
    assert index.apply(NEXT, TIPS, experiments=[gone._replace(deleted=False)])
    assert index.hidden_experiments() == [] and len(index.search()) == 5


def test_commits_of_the_runs_that_have_a_metric(path):
    index = Index.open(path)
    runs = [run(n, commit="abc"[n % 3] * 40) for n in range(7)]
    runs[0] = runs[0]._replace(commit=None)
    runs[1] = runs[1]._replace(deleted=True)
    runs[2] = runs[2]._replace(metrics={})
    runs[3] = runs[3]._replace(experiment_id="other", experiment="other")
    assert index.apply({}, TIPS, runs)
    assert index.commits_with("loss") == {"a" * 40: 2, "b" * 40: 1, "c" * 40: 1}
    assert index.commits_with("loss", "other") == {"a" * 40: 1}
    assert index.commits_with("none") == {}
    assert index.apply(TIPS, NEXT, experiments=[Experiment("other", "other", {}, True)])
    assert index.commits_with("loss")["a" * 40] == 1
    index.close()
