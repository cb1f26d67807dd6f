"""The first bad commit of histories with merges is found, in few answers, and as git finds it."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gittrack.core import query
from gittrack.core.bisection import History, Search, count_reached, names_nan, needed_fields, search
from tests.support import GitRepo


def history(*parents: tuple[int, ...]) -> History:
    """Commits 0, 1, 2, ... with these parents."""
    names = [str(number) for number in range(len(parents))]
    return History(names, {n: [str(p) for p in ps] for n, ps in zip(names, parents, strict=True)})


def line(count: int) -> History:
    return history(*((at - 1,) if at else () for at in range(count)))


def reached(graph: History, commit: str) -> set[str]:
    found: set[str] = set()
    waiting = [commit]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += graph.parents[one]
    return found


@st.composite
def graphs(draw: st.DrawFn, most: int = 30) -> History:
    """Commits of at most two parents, of which the last reaches every one."""
    count = draw(st.integers(1, most))
    parents: list[tuple[int, ...]] = []
    tops: list[int] = []
    for at in range(count):
        chosen = draw(st.sets(st.integers(0, at - 1), min_size=0, max_size=2)) if at else set()
        if at and draw(st.booleans()):
            chosen = {at - 1}
        parents.append(tuple(sorted(chosen)))
        tops = [top for top in tops if top not in chosen] + [at]
    while len(tops) > 1:
        first, second, *rest = tops
        parents.append((first, second))
        tops = [*rest, len(parents) - 1]
    return history(*parents)


def bisect(graph: History, is_bad: set[str]) -> tuple[Search, int]:
    answers: dict[str, bool] = {}
    found = search(graph, graph.order[-1], answers)
    while found.next is not None:
        assert found.next not in answers
        answers[found.next] = found.next in is_bad
        found = search(graph, graph.order[-1], answers)
    return found, len(answers)


@given(graphs(), st.data())
def test_the_first_bad_commit_is_found_in_few_answers(graph: History, data: st.DataObject) -> None:
    first = data.draw(st.sampled_from(graph.order))
    is_bad = {commit for commit in graph.order if first in reached(graph, commit)}
    found, asked = bisect(graph, is_bad)
    assert found.first_bad == first and found.suspects == (first,)
    assert not found.back and not found.apart
    assert asked <= math.log(len(graph.order), 1.5) + 1


@given(st.integers(1, 300), st.data())
def test_a_line_takes_as_many_answers_as_it_has_bits(count: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, count - 1))
    found, asked = bisect(line(count), {str(at) for at in range(first, count)})
    assert found.first_bad == str(first)
    assert asked <= math.ceil(math.log2(count)) if count > 1 else not asked


@given(graphs(), st.data())
def test_answers_that_are_known_already_are_not_asked_for(
    graph: History, data: st.DataObject
) -> None:
    first = data.draw(st.sampled_from(graph.order))
    known = data.draw(st.sets(st.sampled_from(graph.order)))
    answers = {commit: first in reached(graph, commit) for commit in known}
    found = search(graph, graph.order[-1], answers)
    assert first in found.suspects
    while found.next is not None:
        assert found.next not in answers
        answers[found.next] = first in reached(graph, found.next)
        found = search(graph, graph.order[-1], answers)
    assert found.first_bad == first


@given(graphs(), st.data())
def test_what_cannot_be_tried_is_left_as_a_suspect(graph: History, data: st.DataObject) -> None:
    first = data.draw(st.sampled_from(graph.order))
    skipped = data.draw(st.sets(st.sampled_from(graph.order)))
    answers: dict[str, bool] = {}
    found = search(graph, graph.order[-1], answers, skipped)
    while found.next is not None:
        assert found.next not in skipped
        answers[found.next] = first in reached(graph, found.next)
        found = search(graph, graph.order[-1], answers, skipped)
    assert first in found.suspects
    assert {*found.suspects} <= skipped | {first, found.bad}


@given(graphs(30))
def test_reached_commits_are_counted(graph: History) -> None:
    assert count_reached(graph) == {c: len(reached(graph, c)) for c in graph.order}


def test_the_middle_is_tried_first() -> None:
    found = search(line(9), "8", {})
    assert (found.next, found.steps, found.bad) in (("3", 4, "8"), ("4", 4, "8"))


def test_a_bad_commit_below_a_good_one_is_said() -> None:
    found = search(line(9), "8", {"2": True, "3": True, "5": False, "7": True})
    assert found.back == (("2", "5"), ("3", "5"))
    assert found.suspects == ("6", "7") and found.next == "6"


def test_two_bad_branches_with_a_good_root_have_no_common_cause() -> None:
    #   0 - 1 - 2 - 5
    #    `- 3 - 4 -'
    graph = history((), (0,), (1,), (0,), (3,), (2, 4))
    found = search(graph, "5", {"0": False, "2": True, "4": True})
    assert found.apart == ("2",)
    assert found.suspects == ("3", "4")


def test_a_cause_that_is_only_concluded_is_tried() -> None:
    graph = history((), (0,), (0,), (1, 2))
    found = search(graph, "3", {"1": True, "2": True})
    assert (found.suspects, found.first_bad, found.next) == (("0",), None, "0")
    assert search(graph, "3", {"1": True, "2": True, "0": True}).first_bad == "0"
    said = search(graph, "3", {"1": True, "2": True, "0": False})
    assert said.first_bad == "2" and said.apart == ("1",)


@pytest.mark.parametrize(
    "text, needed",
    [
        ("metrics.acc < 0.9", ["metric acc last"]),
        ("not (max(metrics.acc) < 0.9 or params.lr = 1)", ["metric acc max", "param lr last"]),
        ("metrics.acc is null and metrics.b in (1, 2)", ["metric b last"]),
        ("status = 'failed' or tags.a = 'b'", []),
    ],
)
def test_what_a_run_must_have(text: str, needed: list[str]) -> None:
    assert sorted(" ".join(field) for field in needed_fields(query.parse(text))) == needed


def test_whether_nan_is_named() -> None:
    assert names_nan(query.parse("metrics.a < 1 or not metrics.a in (1, nan)"))
    assert not names_nan(query.parse("metrics.a is null or metrics.a = 1"))


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(6))
def test_git_bisect_finds_the_same(tmp_path: Path, seed: int) -> None:
    """Real histories with merges, of which one commit brings a file that says bad."""
    chance = random.Random(seed)
    repo = GitRepo.create(tmp_path / "repo")
    tree = repo.git("hash-object", "-w", "-t", "tree", "--stdin", input="")
    blob = repo.git("hash-object", "-w", "--stdin", input="bad")
    bad_tree = repo.git("mktree", input=f"100644 blob {blob}\tbad\n")
    count = 40
    first = chance.randrange(1, count)
    ids: list[str] = []
    parents: dict[str, list[str]] = {}
    is_bad: set[str] = set()
    for at in range(count):
        chosen = {at - 1} if at else set()
        if at > 2 and chance.random() < 0.5:
            chosen = {chance.randrange(max(0, at - 6), at) for _ in range(2)}
        if at == count - 1:
            children = {p for ps in parents.values() for p in ps}
            chosen = {i for i, one in enumerate(ids) if one not in children}
        above = [ids[i] for i in sorted(chosen)]
        bad = at == first or any(one in is_bad for one in above)
        options = [word for one in above for word in ("-p", one)]
        one = repo.git("commit-tree", bad_tree if bad else tree, *options, "-m", str(at))
        ids.append(one)
        parents[one] = above
        if bad:
            is_bad.add(one)
    if ids[-1] not in is_bad:
        pytest.fail("the last commit reaches every other")
    repo.git("reset", "-q", "--hard", ids[-1])
    listed = repo.git("rev-list", "--topo-order", "--reverse", f"{ids[0]}..{ids[-1]}").split()
    found, asked = bisect(
        History(listed, {c: [p for p in parents[c] if p != ids[0]] for c in listed}), is_bad
    )
    assert found.first_bad == ids[first]
    repo.git("bisect", "start", ids[-1], ids[0])
    said = repo.git("bisect", "run", "sh", "-c", "! test -e bad")
    assert f"{ids[first]} is the first bad commit" in said
    tried = repo.git("bisect", "log").count("\n# bad:") + repo.git("bisect", "log").count(
        "\n# good:"
    )
    assert asked <= tried + 2
