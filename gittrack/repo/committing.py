"""Runs that are recorded from commits: what a commit holds, read from it and from nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from hashlib import md5
from typing import Any, NamedTuple

from gittrack.capture import redact, results
from gittrack.config import FILE_NAME, Config
from gittrack.core import codec, kept, names
from gittrack.core.commits import Commit
from gittrack.core.committed import Held, encode_run, name_of, run_id_of
from gittrack.core.model import Artifact, ParamValue, Stamp
from gittrack.errors import ConfigError, GittrackError, MissingObjectError
from gittrack.repo.seal import (
    check_writable,
    experiment_files,
    first_files,
    message_of,
    place_artifacts,
    subject_of,
)
from gittrack.store import layout
from gittrack.store.commits import Files, changed_files, read_commits
from gittrack.store.git import Git
from gittrack.store.objects import Entry
from gittrack.store.odb import Odb
from gittrack.store.write import Person, Tree, existing_paths, update

#: Metrics in files that end so are series.
_TABLES = (".csv", ".tsv", ".jsonl", ".ndjson")
#: Where plots are kept among the artifacts.
PLOTS = "plots"


class Found(NamedTuple):
    """A commit that holds an experiment, and the run that it makes; `data` is of its artifacts."""

    commit: Commit
    held: Held
    run_id: str
    name: str
    experiment: str
    data: Mapping[str, bytes] = {}


class Reader:
    """Reads what commits hold, by the settings that hold for each.

    Args:
        config: the present settings.
        committed: the settings that a commit's own file sets, if it says anything of commits.
    """

    def __init__(
        self, git: Git, config: Config, committed: Callable[[bytes], Config | None]
    ) -> None:
        self._git = git
        self._config = config
        self._committed = committed
        self._files = Files(git)
        self._configs: dict[str, Config] = {}
        #: Files with settings that could not be used, and what is said of them.
        self._unusable: dict[str, str] = {}
        self._missing: set[str] = set()
        self._parsed: dict[tuple[str, str, str], Any] = {}

    def wants(
        self,
        commit: Commit,
        parents: Mapping[str, str],
        *,
        asked: bool = False,
        always: bool = False,
    ) -> bool:
        """Whether a commit is to be recorded.

        Args:
            parents: the trees of its parents; of one that is not here, none.
            asked: somebody asks for it; else its settings and its message decide.
            always: even if its files are those of its parents.
        """
        config = self.config_of(commit)
        if not asked:
            if config.commits_record == "never":
                return False
            if config.commits_marker not in commit.message:
                return False
            if config.commits_skip and config.commits_skip in commit.message:
                return False
        if always or config.commits_record == "always":
            return True
        patterns = _paths((*config.commits_params, *config.commits_metrics))
        patterns += _with_pointers((*config.commits_artifacts, *config.commits_plots))
        return any(changed_files(self._files, commit, parents, patterns))

    def find(self, commit: Commit) -> Found | None:
        """The run that a commit makes; None if it holds none of the files."""
        config = self.config_of(commit)
        held, data = self._hold(commit, config)
        if held.is_empty:
            return None
        subject, _ = redact.redact_text(commit.subject, config.redact_allow)
        return Found(
            commit,
            held,
            run_id_of(commit.oid, commit.time_s, held),
            name_of(commit, subject),
            config.commits_experiment or config.experiment,
            data,
        )

    def trouble(self, commit: Commit) -> str:
        """What is wrong with a file of a commit, if one cannot be read."""
        held, _ = self._hold(commit, self.config_of(commit))
        return next(iter(held.warnings), "")

    def _hold(self, commit: Commit, config: Config) -> tuple[Held, dict[str, bytes]]:
        """What is recorded of a commit, and the data of its artifacts."""
        settings = self._files.find(commit.tree, [FILE_NAME]).get(FILE_NAME)
        told = None if settings is None else self._unusable.get(settings.oid)
        warnings = [] if told is None else [told]
        try:
            params = self._params(commit, config, warnings)
            points = self._points(commit, config, warnings)
            artifacts, data = self._artifacts(commit, config, warnings)
            if settings is not None and settings.oid in self._missing:
                self._read(settings)
        except MissingObjectError as error:
            # Half of what it holds would be another run than every other clone makes of it.
            said = f"{error.message}; once it is: gittrack record {commit.oid[:12]}"
            return Held(warnings=(said,)), {}
        return Held(params, points, artifacts, tuple(dict.fromkeys(warnings))), data

    def patterns(self, commit: Commit) -> list[str]:
        """The files that hold a commit's experiment, as its settings name them."""
        config = self.config_of(commit)
        return [*config.commits_params, *config.commits_metrics]

    def config_of(self, commit: Commit) -> Config:
        """The settings that hold for a commit: those that it brings, else the present ones."""
        entry = self._files.find(commit.tree, [FILE_NAME]).get(FILE_NAME)
        if entry is None:
            return self._config
        if entry.oid not in self._configs:
            found = None
            try:
                found = self._committed(self._read(entry))
            except MissingObjectError:
                self._missing.add(entry.oid)
            except ConfigError as error:
                self._unusable[entry.oid] = f"{error.message}: the present settings were used"
            self._configs[entry.oid] = self._config if found is None else found
        return self._configs[entry.oid]

    # -- params and metrics --------------------------------------------------------------

    def _params(self, commit: Commit, config: Config, warnings: list[str]) -> dict[str, ParamValue]:
        params: dict[str, ParamValue] = {}
        for pattern in config.commits_params:
            wanted, key = results.split_selector(pattern)
            for path, entry in sorted(self._files.find(commit.tree, [wanted]).items()):
                mapping = self._parse(path, entry, key, config, warnings)
                for name, value in mapping.items():
                    # Two files may both have an `lr`; as DVC does, the second says whose it is.
                    known = params.get(name, value)
                    if known != value and repr(known) != repr(value):  # NaN is not itself
                        name = f"{path}:{name}"
                    self._put(params, name, value, config, warnings)
        return params

    def _put(
        self,
        params: dict[str, ParamValue],
        name: str,
        value: ParamValue,
        config: Config,
        warnings: list[str],
    ) -> None:
        try:
            names.check_key("param", name)
        except GittrackError as error:
            warnings.append(f"a param was left out: {error.message}")
            return
        safe, hit = redact.redact_param(name, value, config.redact_allow)
        if hit is not None:
            warnings.append(f"param {name} was redacted: {hit}")
        if len(codec.encode_mapping({name: safe})) > config.params_max_bytes:
            warnings.append(f"param {name} was left out: it is larger than params.max_bytes")
            return
        params[name] = safe

    def _points(
        self, commit: Commit, config: Config, warnings: list[str]
    ) -> dict[str, list[codec.Point]]:
        time_ms = commit.time_s * 1000
        points: dict[str, set[codec.Point]] = {}
        last: dict[str, tuple[int, float]] = {}
        later: list[tuple[str, float]] = []
        for pattern in config.commits_metrics:
            wanted, key = results.split_selector(pattern)
            for path, entry in sorted(self._files.find(commit.tree, [wanted]).items()):
                if not path.lower().endswith(_TABLES):
                    mapping = self._parse(path, entry, key, config, warnings, numbers=True)
                    later += mapping.items()
                    continue
                for point in self._table(path, entry, key, warnings):
                    row = (point.step, point.time_ms or time_ms, repr(point.value))
                    points.setdefault(point.key, set()).add(row)
                    if point.key not in last or point.step >= last[point.key][0]:
                        last[point.key] = (point.step, point.value)
        for name, value in later:
            step, known = last.get(name, (-1, None))
            # What a series ended with is not recorded a second time, as a step of its own.
            if repr(known) != repr(value):
                points.setdefault(name, set()).add((step + 1, time_ms, repr(value)))
                last[name] = (step + 1, value)
        return {
            name: sorted(rows)
            for name, rows in points.items()
            if self._is_key("metric", name, warnings)
        }

    def _is_key(self, kind: str, name: str, warnings: list[str]) -> bool:
        try:
            names.check_key(kind, name)
        except GittrackError as error:
            warnings.append(f"a {kind} was left out: {error.message}")
            return False
        return True

    def _table(self, path: str, entry: Entry, key: str, warnings: list[str]) -> list[results.Point]:
        known = (entry.oid, path, f"table:{key}")
        if known not in self._parsed:
            data = self._read(entry)
            try:
                self._parsed[known] = results.parse_history(path, data, key)
            except ValueError as error:
                self._parsed[known] = error
        found = self._parsed[known]
        if isinstance(found, ValueError):
            warnings.append(f"{path} was not taken in: {found}")
            return []
        return list(found)

    def _parse(
        self,
        path: str,
        entry: Entry,
        key: str,
        config: Config,
        warnings: list[str],
        *,
        numbers: bool = False,
    ) -> Mapping[str, Any]:
        """The values of a file under dotted keys; many commits hold the same file."""
        known = (entry.oid, path, f"{numbers}:{key}")
        if known not in self._parsed:
            self._parsed[known] = self._parse_anew(path, entry, key, numbers=numbers)
        found: Mapping[str, Any] | Exception = self._parsed[known]
        if isinstance(found, Exception):
            text = found.message if isinstance(found, GittrackError) else str(found)
            warnings.append(f"{path} was not taken in: {text}")
            return {}
        return found

    def _parse_anew(
        self, path: str, entry: Entry, key: str, *, numbers: bool
    ) -> Mapping[str, Any] | Exception:
        reason = redact.file_reason(path, b"")
        if reason is not None:
            return ValueError(reason)
        data = self._read(entry)
        try:
            mapping = results.parse_mapping(path, data, key)
            if numbers:
                return dict(results.numbers(mapping))
            return codec.flatten_params({str(k): v for k, v in mapping.items()})
        except (ValueError, GittrackError) as error:
            return error

    # -- artifacts -----------------------------------------------------------------------

    def _artifacts(
        self, commit: Commit, config: Config, warnings: list[str]
    ) -> tuple[dict[str, Artifact], dict[str, bytes]]:
        files = self._files.find(commit.tree, _with_pointers(config.commits_artifacts))
        plots = self._files.find(commit.tree, _with_pointers(config.commits_plots))
        found = {**files, **plots}
        wanted = {path: path for path in files}
        wanted |= {f"{PLOTS}/{path.removeprefix(f'{PLOTS}/')}": path for path in plots}
        artifacts: dict[str, Artifact] = {}
        data: dict[str, bytes] = {}
        left = config.artifacts_max_run_bytes
        for key, path in sorted(wanted.items()):
            try:
                names.check_artifact_path(key)
            except GittrackError as error:
                warnings.append(f"artifact {names.one_line(path)} was not kept: {error.message}")
                continue
            content = self._read(found[path])
            reason = redact.file_reason(
                path, content, withhold=config.source_withhold, allow=config.redact_allow
            )
            if reason is not None:
                warnings.append(f"artifact {path} was not kept: {reason}")
                continue
            mode = found[path].mode[-3:]
            data[key] = content
            if len(content) <= min(left, config.artifacts_max_file_bytes):
                left -= len(content)
                artifacts[key] = Artifact(key, len(content), mode, blob=found[path].oid)
            else:
                digest = md5(content, usedforsecurity=False).hexdigest()
                artifacts[key] = Artifact(key, len(content), mode, md5=digest)
        return artifacts, data

    def _read(self, entry: Entry) -> bytes:
        """The content of a file.

        Raises:
            MissingObjectError: it is not here, as in a partial clone without its remote.
        """
        found = next(iter(self._git.cat_file().read_many([entry.oid])), None)
        if found is None:
            raise MissingObjectError(f"the file with the id {entry.oid[:12]} is not in this clone")
        return found.data


class Recorder:
    """Writes the runs of commits into the store; one that is there, or was purged, stays so.

    Args:
        experiment_for: the id and the name of the experiment that new runs of a name belong to.
        objects: gives the object store that large artifacts go to.
    """

    def __init__(
        self,
        git: Git,
        who: Person,
        experiment_for: Callable[[str], tuple[str, str]],
        objects: Callable[[], Odb],
        *,
        fsync: bool,
    ) -> None:
        self._git = git
        self._who = who
        self._experiment_for = experiment_for
        self._objects = objects
        self._fsync = fsync

    def write(self, found: Sequence[Found]) -> set[str]:
        """Record them in one commit of the store; the ids of those that are new in it."""
        experiments = {name: self._experiment_for(name) for name in {f.experiment for f in found}}
        large = [
            self._objects().put_bytes(item.data[key]).md5
            for item in found
            for key, artifact in item.held.artifacts.items()
            if artifact.md5 is not None
        ]
        if large and self._fsync:
            self._objects().fsync(large)
        new: set[str] = set()

        def plan(tip: str | None) -> Tree | None:
            check_writable(self._git, tip)
            new.clear()
            files: dict[str, bytes | None] = {}
            there = self._known(tip, [item.run_id for item in found])
            subjects = []
            for item in found:
                if item.run_id in there:
                    continue
                files.update(experiment_files(*experiments[item.experiment]))
                more, subject = _files_of(item, experiments[item.experiment][0])
                files.update(more)
                subjects.append(subject)
                new.add(item.run_id)
            if not new:
                return None
            if tip is None:
                files.update(first_files())
            else:
                shared = [path for path in files if path.startswith(layout.EXPERIMENTS_DIR)]
                for path in existing_paths(self._git, tip, shared):
                    del files[path]
            return Tree(files, message_of(subjects))

        update(self._git, layout.STORE_REF, plan, self._who, fsync=self._fsync, now=time.time)
        return new

    def _known(self, tip: str | None, run_ids: Iterable[str]) -> set[str]:
        """Which of these runs the store has, or had before they were purged."""
        if tip is None:
            return set()
        paths = {f"{layout.run_dir(run_id)}/{layout.RUN_FILE}": run_id for run_id in run_ids}
        paths |= {layout.tombstone("run", run_id): run_id for run_id in paths.values()}
        return {paths[path] for path in existing_paths(self._git, tip, paths)}


def _files_of(item: Found, experiment_id: str) -> tuple[dict[str, bytes | None], str]:
    """The files of a run, by their paths in the store, and the line that tells of it."""
    folder = layout.run_dir(item.run_id)
    made, summary = encode_run(item.run_id, item.commit, item.held, experiment_id, item.name)
    files: dict[str, bytes | None] = {f"{folder}/{name}": data for name, data in made.items()}
    artifacts = item.held.artifacts
    entries = {key: Stamp(kept.entry_of(artifact), 0, "") for key, artifact in artifacts.items()}
    for key, path in place_artifacts(folder, entries).items():
        artifact = artifacts[key]
        is_large = artifact.md5 is not None
        files[path] = kept.encode_pointer(key, artifact) if is_large else item.data[key]
    return files, subject_of(item.run_id, item.name, summary)


def matches_branch(ref: str, patterns: Sequence[str]) -> bool:
    """Whether a branch, ours or a remote's, is one of those that patterns name."""
    name = ref.removeprefix("refs/heads/")
    if ref.startswith("refs/remotes/"):
        name = ref.removeprefix("refs/remotes/").partition("/")[2]
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def trees_of_parents(git: Git, commits: Sequence[Commit]) -> dict[str, str]:
    """The trees of the parents of some commits; of those that are not here, none."""
    known = {commit.oid: commit.tree for commit in commits}
    others = {parent for commit in commits for parent in commit.parents} - known.keys()
    known.update((commit.oid, commit.tree) for commit in read_commits(git, sorted(others)))
    return known


def _with_pointers(patterns: Sequence[str]) -> list[str]:
    """The same, and the `.dvc` files that a commit holds in place of files that DVC tracks."""
    return [*patterns, *(f"{pattern}.dvc" for pattern in patterns if pattern[-1:] not in "*/")]


def _paths(patterns: Iterable[str]) -> list[str]:
    return [results.split_selector(pattern)[0] for pattern in patterns]
