"""Random histories of several clones: nothing acknowledged is lost, and all come to rest.

A model without git: a commit is its parents and its files, a clone is a tip and a clock that runs
wrong. What decides and what joins is the real thing.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from hashlib import sha1
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gittrack.core import codec
from gittrack.core.converge import Meeting, Outcome, decide
from gittrack.core.join import join
from gittrack.core.model import Stamp

RUNS = [f"runs/2026-11/23/15/20261123-15301{n}-{n:012x}" for n in range(3)]
EXPERIMENT = "experiments/iris-00000000"
FIRST = {"store.yaml": b"epoch: 0\nformat: 1\n"}

Files = Mapping[str, bytes]


class Commit(NamedTuple):
    """`reach` are the ids of the commits that it descends from, and its own; `writes` are those of
    them that are no joins."""

    id: str
    files: Files
    reach: frozenset[str]
    writes: frozenset[str]
    epoch: int


class World:
    """Clones, a hub, and what they have acknowledged to their users."""

    def __init__(self, clones: int, skews: list[int]) -> None:
        self.tips: list[Commit | None] = [None] * clones
        self.hub: Commit | None = None
        self.skews = skews
        self.now = 1000
        self.points: set[tuple[str, str]] = set()
        self.params: set[tuple[str, str]] = set()
        #: The greatest stamp that anybody has written, by file and key.
        self.newest: dict[tuple[str, str], Stamp] = {}
        self.purged: set[str] = set()

    # -- what users do -------------------------------------------------------------------

    def act(self, clone: int, action: int, value: int) -> None:
        run = RUNS[value % 3]
        if action == 0:
            self._set(clone, f"{run}/notes.yaml", f"tags.{'ab'[value // 3 % 2]}", value)
        elif action == 1:
            data = codec.encode_points([("m", value, self.now, f"{value}.0")])
            path = f"{run}/metrics/{codec.segment_name(f'w{clone}', data)}"
            self.points.add((run, path))
            self._write(clone, {path: data})
        elif action == 2:
            path = f"{run}/params.yaml"
            known = codec.decode_mapping(self._files(clone).get(path, b""))
            key = f"p{value % 4}"
            if key not in known:  # a param is written once; two clones may both not know of it
                known[key] = value
                self.params.add((run, key))
                self._write(clone, {path: codec.encode_mapping(known)})
        elif action == 3:
            self._set(clone, f"{run}/notes.yaml", "deleted", True if value % 2 else None)
        elif action == 4:
            self._set(clone, f"{EXPERIMENT}/notes.yaml", "name", f"name{value}")
        elif action == 5 and value % 8 == 0:
            self.purged.add(run)
            run_id = run.rpartition("/")[2]
            # A purge leaves nothing of the run in its own tree.
            tombstone = {f"tombstones/run/00/{run_id}": b""}
            self._commit(clone, join({**self._files(clone), **tombstone}, {}))

    def _files(self, clone: int) -> Files:
        tip = self.tips[clone]
        return FIRST if tip is None else tip.files

    def _set(self, clone: int, path: str, key: str, value: object) -> None:
        notes = codec.decode_stamps(self._files(clone).get(path, b""))
        # A hybrid clock: the skewed wall clock, but above everything seen in the file.
        t = max([self.now + self.skews[clone], *(stamp.t + 1 for stamp in notes.values())])
        stamp = Stamp(value, t, f"w{clone}")
        before = self.newest.get((path, key))
        if before is None or codec.stamp_order(stamp) > codec.stamp_order(before):
            self.newest[path, key] = stamp
        else:
            # Only who has not seen the greatest stamp may write a smaller one.
            assert notes.get(key) != before
        notes[key] = stamp
        self._write(clone, {path: codec.encode_stamps(notes)})

    def _write(self, clone: int, files: Files) -> None:
        path = next(iter(files))
        folder = path[: len(RUNS[0])]
        known = self._files(clone)
        if folder in RUNS and f"tombstones/run/00/{folder.rpartition('/')[2]}" in known:
            # What is purged takes no more writes.
            return
        self._commit(clone, {**known, **files})

    def _commit(self, clone: int, files: Files) -> None:
        self.now += 1
        tip = self.tips[clone]
        self.tips[clone] = commit(() if tip is None else (tip,), files, f"w{clone} {self.now}")

    def rewrite(self, clone: int) -> None:
        """Start a new epoch: the same files, no history."""
        files = dict(self._files(clone))
        epoch = epoch_of(files) + 1
        files["store.yaml"] = f"epoch: {epoch}\nformat: 1\n".encode()
        self.now += 1
        self.tips[clone] = commit((), files, f"w{clone} {self.now}")

    # -- how they meet -------------------------------------------------------------------

    def pull(self, clone: int) -> None:
        self.tips[clone] = meet(self.tips[clone], self.hub, is_peer=False)

    def push(self, clone: int) -> bool:
        """Whether the hub took it: as git does, only what descends from its own commit."""
        tip = self.tips[clone]
        if tip is None or (self.hub is not None and tip.id == self.hub.id):
            return True
        if self.hub is None or tip.epoch > self.hub.epoch or self.hub.id in tip.reach:
            self.hub = tip
            return True
        return False

    def sync(self, clone: int) -> None:
        self.pull(clone)
        if not self.push(clone):
            # Theirs has nothing that ours lacks, and git would refuse ours all the same.
            ours, theirs = self.tips[clone], self.hub
            assert ours is not None and theirs is not None
            assert theirs.writes < ours.writes and ours.epoch == theirs.epoch
            self.tips[clone] = join_commit(ours, theirs)
            assert self.push(clone)

    def visit(self, clone: int, other: int) -> None:
        self.tips[clone] = meet(self.tips[clone], self.tips[other], is_peer=True)


def meet(ours: Commit | None, theirs: Commit | None, *, is_peer: bool) -> Commit | None:
    if ours is None or theirs is None:
        return ours or theirs
    found = decide(
        Meeting(
            ours.id, theirs.id, ours.epoch, theirs.epoch,
            len(ours.writes - theirs.writes), len(theirs.writes - ours.writes),
            ours_adds=lambda: join(theirs.files, ours.files) != theirs.files,
            theirs_adds=lambda: join(ours.files, theirs.files) != ours.files,
            is_peer=is_peer,
        )
    )  # fmt: skip
    if found.outcome is Outcome.OURS:
        return ours
    if found.outcome is Outcome.THEIRS:
        return theirs
    by_id = {ours.id: ours, theirs.id: theirs}
    return commit([by_id[parent] for parent in found.parents], join(ours.files, theirs.files), "")


def join_commit(ours: Commit, theirs: Commit) -> Commit:
    parents = sorted((ours, theirs), key=lambda side: side.id)
    return commit(parents, join(ours.files, theirs.files), "")


def commit(parents: Sequence[Commit], files: Files, who: str) -> Commit:
    new = commit_id([parent.id for parent in parents], files, who)
    reach = frozenset({new}).union(*(parent.reach for parent in parents))
    writes = frozenset().union(*(parent.writes for parent in parents))
    if len(parents) < 2:
        writes |= {new}
    return Commit(new, files, reach, writes, epoch_of(files))


def epoch_of(files: Files) -> int:
    return int(codec.decode_mapping(files["store.yaml"])["epoch"])


def commit_id(parents: list[str], files: Files, who: str) -> str:
    total = sha1(f"{parents} {who}".encode())
    for path in sorted(files):
        total.update(b"%d %b %b" % (len(path), path.encode(), files[path]))
    return total.hexdigest()


def check(world: World, final: Files) -> None:
    """Everything that was ever acknowledged is there, unless it was purged."""
    for run, path in world.points:
        assert path in final or run in world.purged
    for run, key in world.params:
        assert key in codec.decode_mapping(final.get(f"{run}/params.yaml", b"")) or (
            run in world.purged
        )
    for (path, key), stamp in world.newest.items():
        if path[: len(RUNS[0])] not in world.purged:
            assert codec.decode_stamps(final[path])[key] == stamp
    for run in world.purged:
        assert not any(path.startswith(run) for path in final)


# A history is bytes, two a step, so that it is drawn fast and shrinks well.
histories = st.binary(min_size=8, max_size=80)


def play(data: bytes, clones: int, *, star: bool, ring: bool, epochs: bool = False) -> World:
    world = World(clones, [data[n] - 128 for n in range(clones)])
    for step, value in zip(data[clones::2], data[clones + 1 :: 2], strict=False):
        clone, action = step % clones, step // clones % 12
        if action < 6:
            world.act(clone, action, value)
        elif epochs and action == 6 and value % 4 == 0:
            world.rewrite(clone)
        elif star and action % 2:
            world.pull(clone)
        elif star and (action == 6 or not ring):
            world.push(clone)
        else:
            world.visit(clone, (clone + 1) % clones if ring and not star else value % clones)
    return world


def settle_star(world: World, order: list[int]) -> Files | None:
    """All sync twice: then all are at one tip, and stay there."""
    for clone in order + order[::-1]:
        world.sync(clone)
    tips = {tip.id for tip in world.tips if tip is not None}
    assert len(tips) <= 1
    assert world.hub is None or tips == {world.hub.id}
    before = world.hub
    for clone in order:
        world.sync(clone)
    assert {tip.id for tip in world.tips if tip is not None} == tips and world.hub is before
    return None if world.hub is None else world.hub.files


def settle_ring(world: World) -> Files | None:
    """All visit their neighbour until nobody moves, and that is soon."""
    count = len(world.tips)
    for _ in range(3 * count):
        before = [tip and tip.id for tip in world.tips]
        for clone in range(count):
            world.visit(clone, (clone + 1) % count)
        if [tip and tip.id for tip in world.tips] == before:
            break
    else:
        raise AssertionError("they do not come to rest")
    assert len(set(before)) == 1
    return None if world.tips[0] is None else world.tips[0].files


@settings(max_examples=1200)
@given(histories, st.integers(2, 5))
def test_clones_of_a_hub(data: bytes, clones: int) -> None:
    """And whoever syncs first, the same edits win: the files are the same in the end."""
    finals = []
    for seed in range(2):
        world = play(data, clones, star=True, ring=False)
        order = list(range(clones))
        random.Random(seed).shuffle(order)
        finals.append(settle_star(world, order))
        if finals[-1] is not None:
            check(world, finals[-1])
    assert finals[0] == finals[1]


@settings(max_examples=1200)
@given(histories, st.integers(2, 5))
@example(b"\x80\x80\x80" + bytes([0, 1, 1, 1, 2, 1, 18, 0, 19, 0, 20, 0, 0, 2]), 3)
def test_clones_in_a_ring(data: bytes, clones: int) -> None:
    world = play(data, clones, star=False, ring=True)
    final = settle_ring(world)
    if final is not None:
        check(world, final)


@settings(max_examples=800)
@given(histories, st.integers(2, 5))
def test_clones_that_meet_at_a_hub_and_each_other(data: bytes, clones: int) -> None:
    world = play(data, clones, star=True, ring=True)
    final = settle_star(world, list(range(clones)))
    if final is not None:
        check(world, final)


@settings(max_examples=800)
@given(histories, st.integers(2, 4))
def test_a_history_that_was_rewritten_loses_nothing_either(data: bytes, clones: int) -> None:
    world = play(data, clones, star=True, ring=False, epochs=True)
    final = settle_star(world, list(range(clones)))
    if final is not None:
        check(world, final)
        assert epoch_of(final) == max(tip.epoch for tip in world.tips if tip is not None)


@pytest.mark.parametrize(
    ("epochs", "only", "adds", "is_peer", "outcome"),
    [
        ((0, 0), (3, 0), (True, False), False, Outcome.OURS),
        ((0, 0), (0, 3), (False, True), False, Outcome.THEIRS),
        ((0, 0), (0, 3), (True, True), False, Outcome.JOIN),
        ((0, 0), (0, 0), (False, False), False, Outcome.THEIRS),
        ((0, 0), (0, 0), (False, False), True, Outcome.OURS),
        ((0, 0), (2, 1), (True, True), False, Outcome.JOIN),
        ((1, 0), (1, 9), (True, False), False, Outcome.OURS),
        ((0, 1), (9, 1), (False, True), False, Outcome.THEIRS),
        ((0, 1), (9, 1), (True, True), False, Outcome.JOIN),
    ],
)
def test_the_rule(
    epochs: tuple[int, int],
    only: tuple[int, int],
    adds: tuple[bool, bool],
    is_peer: bool,
    outcome: Outcome,
) -> None:
    met = Meeting("b", "a", *epochs, *only, lambda: adds[0], lambda: adds[1], is_peer)
    assert decide(met).outcome is outcome
    # An older epoch is never a parent.
    if outcome is Outcome.JOIN:
        assert decide(met).parents == (("a",) if epochs == (0, 1) else ("a", "b"))
    assert decide(met._replace(theirs="b")).outcome is Outcome.OURS
