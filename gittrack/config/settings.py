"""The table of settings, and how their values are written.

A new setting is a new entry here and a new field of `Config`, which a test holds together.
"""

from __future__ import annotations

import re
from typing import NamedTuple

Value = bool | int | float | str | tuple[str, ...]

_ALLOWED = {
    "flag": "true or false",
    "count": "a whole number",
    "bytes": "a whole number of bytes; 10k, 10m and 1g count in steps of 1024",
    "seconds": "a number of seconds",
    "text": "text on one line",
    "globs": "a list of file patterns",
    "when": "changed, always or never",
    "patterns": "a list of regular expressions",
    "remotes": "a list of NAME=URL and NAME.OPTION=VALUE",
    "store ref": "refs/gittrack/store/main, or a branch below refs/heads/gittrack/",
}
#: The kinds whose value is a tuple of texts.
LISTS = ("globs", "patterns", "remotes")
#: What holds a secret, of the options of a remote.
_SECRET = re.compile(r"(?i)(key|token|secret|pass|credential|connection|sas)")
_REMOTE = re.compile(r"([A-Za-z0-9_-]+)(?:\.([A-Za-z0-9_]+))?=(.+)", re.DOTALL)


class Setting(NamedTuple):
    """One setting: what it is called, what it may be, and why anybody would change it.

    `least` is the smallest number allowed. A setting that is not `shared` may name a place on
    this machine, so a file that came with somebody's repository must not choose it.
    """

    name: str
    kind: str
    default: Value
    meaning: str
    reason: str
    least: float = 0
    shared: bool = True

    @property
    def field(self) -> str:
        """The attribute of `Config`: `source.max_bytes` is `source_max_bytes`."""
        return self.name.replace(".", "_")

    @property
    def variable(self) -> str:
        """The environment variable."""
        return "GITTRACK_" + self.field.upper()

    @property
    def git_key(self) -> str:
        """The key for `git config`, whose variables cannot hold `_`: `gittrack.source.maxBytes`."""
        group, _, last = self.name.rpartition(".")
        head, *rest = last.split("_")
        camel = head + "".join(word.capitalize() for word in rest)
        return f"gittrack.{group}.{camel}" if group else f"gittrack.{camel}"

    @property
    def allowed(self) -> str:
        """What a value must look like, in words."""
        text = _ALLOWED[self.kind]
        return f"{text}, at least {render_value(self.least)}" if self.least else text


class Variable(NamedTuple):
    """A setting that only the environment can hold, because it is needed to find the rest."""

    name: str
    takes: str
    meaning: str
    reason: str


SETTINGS = (
    Setting(
        "experiment",
        "text",
        "default",
        "The experiment of runs that name none.",
        "this repository, or this job, has one experiment that everything belongs to",
    ),
    Setting(
        "source.capture",
        "flag",
        True,
        "Record with every run the files that differ from its commit.",
        "code may not leave this machine; runs of a dirty tree then cannot be rebuilt",
    ),
    Setting(
        "source.untracked",
        "globs",
        (),
        "Untracked files to record as well; tracked files always are.",
        "runs read files that nobody adds to git, such as conf/local/*.yaml",
    ),
    Setting(
        "source.max_bytes",
        "bytes",
        1_000_000,
        "The most that the recorded files of one run may take together.",
        "large notebooks or generated code push runs over the cap",
    ),
    Setting(
        "source.withhold",
        "globs",
        (),
        "Files never to record, besides .env files and those in which a secret is found.",
        "files with personal data or licence keys lie in the worktree",
    ),
    Setting(
        "environment.capture",
        "flag",
        True,
        "Record the versions of Python, every package, the system and the hardware.",
        "the packages of this machine are nobody's business",
    ),
    Setting(
        "output.capture",
        "flag",
        True,
        "Record what a run and its children print, from its start to its end.",
        "output holds personal data, or another tool keeps it already",
    ),
    Setting(
        "output.max_bytes",
        "bytes",
        200_000,
        "The most that is kept of what one process prints: the beginning and the end.",
        "the middle of long logs is wanted (more), or the store shall stay small (less)",
        least=1000,
    ),
    Setting(
        "redact.allow",
        "patterns",
        (),
        "What matches one of these whole is no secret and is recorded as it is.",
        "a harmless value, such as a tokenizer's name, is taken for a secret",
    ),
    Setting(
        "artifacts.max_file_bytes",
        "bytes",
        100_000,
        "The largest artifact that is stored in git; a larger one goes to the object store.",
        "plots or reports are slightly larger, and the repository may grow by them",
    ),
    Setting(
        "artifacts.max_run_bytes",
        "bytes",
        1_000_000,
        "The most that the artifacts of one run may take in git together.",
        "runs make many small files",
    ),
    Setting(
        "artifacts.remote",
        "text",
        "",
        "The DVC remote that large artifacts go to; DVC's default if there is one.",
        "several remotes are there, and DVC's default is another one's",
    ),
    Setting(
        "artifacts.remotes",
        "remotes",
        (),
        "Remotes for large artifacts, beside those that DVC's own configuration has.",
        "the repository does not use DVC, and the whole team shares one place",
    ),
    Setting(
        "artifacts.local_remotes",
        "remotes",
        (),
        "The same for this clone alone, added to the others.",
        "a remote needs a key or a password, or is this machine's own",
        shared=False,
    ),
    Setting(
        "params.max_bytes",
        "bytes",
        1_048_576,
        "The largest value of one param, as text.",
        "whole configurations are logged as one param, or must be kept from it",
    ),
    Setting(
        "params.capture_args",
        "flag",
        False,
        "Record what argparse, click, typer or Hydra made of the command line as params.",
        "programs parse their own options, and nobody wants to log each of them",
    ),
    Setting(
        "metrics.maximize",
        "globs",
        (),
        "Metrics whose greater value is better, where their name does not tell.",
        "`@{best:KEY}` or a diff takes your metric for neutral, or the wrong way round",
    ),
    Setting(
        "metrics.minimize",
        "globs",
        (),
        "Metrics whose smaller value is better, where their name does not tell.",
        "`@{best:KEY}` or a diff takes your metric for neutral, or the wrong way round",
    ),
    Setting(
        "run.params",
        "globs",
        ("params.yaml",),
        "Files whose values are params of `gittrack run`, if it changed them; FILE:KEY: a part.",
        "a program leaves its parameters elsewhere, such as outputs/*/config.yaml",
    ),
    Setting(
        "run.metrics",
        "globs",
        ("metrics.json",),
        "Files whose numbers are metrics of `gittrack run`, if it changed them; FILE:KEY: a part.",
        "a program leaves its results elsewhere, such as results/*.json",
    ),
    Setting(
        "run.history",
        "globs",
        ("history.csv",),
        "Tables whose columns are series of `gittrack run`, if it changed them; FILE:KEY: a part.",
        "a program leaves its curves elsewhere, such as logs/*.csv",
    ),
    Setting(
        "commits.record",
        "when",
        "changed",
        "Commits to record by themselves: those that changed a file below; always; or never.",
        "each commit is an experiment even if its files stay as they are, or none is",
    ),
    Setting(
        "commits.branches",
        "globs",
        (),
        "Branches whose commits are recorded by themselves; empty: all.",
        "work in progress is not worth a run (main), or only that is (exp/*)",
    ),
    Setting(
        "commits.marker",
        "text",
        "",
        "What a commit's message must hold for it to be recorded by itself; empty: nothing.",
        "few commits are experiments, and their authors say so ([exp])",
    ),
    Setting(
        "commits.skip",
        "text",
        "[skip gittrack]",
        "What in a commit's message keeps it from being recorded by itself.",
        "the team has another word for it",
    ),
    Setting(
        "commits.experiment",
        "text",
        "",
        "The experiment of recorded commits; empty: that of runs that name none.",
        "results of commits shall not stand among those of single runs",
    ),
    Setting(
        "commits.params",
        "globs",
        ("params.yaml",),
        "Files of a commit that hold its params: YAML, JSON, TOML, INI; FILE:KEY for a part.",
        "params lie elsewhere, such as conf/*.toml or train.yaml:model",
    ),
    Setting(
        "commits.metrics",
        "globs",
        ("metrics.json",),
        "Files of a commit that hold its metrics: JSON, YAML; CSV, TSV, JSON lines for series.",
        "results lie elsewhere, such as dvclive/plots/metrics/**/*.tsv",
    ),
    Setting(
        "commits.artifacts",
        "globs",
        (),
        "Files of a commit to keep with its run.",
        "reports or small models are committed, such as reports/*.md",
    ),
    Setting(
        "commits.plots",
        "globs",
        (),
        "Pictures and tables of a commit to keep with its run, below plots/.",
        "plots are committed, and shall be looked at run by run, such as figures/*.svg",
    ),
    Setting(
        "system.metrics",
        "flag",
        False,
        "Record processor, memory, disk, network and NVIDIA GPUs as series `system/...`.",
        "one looks for what a slow run waits for; it needs `pip install 'gittrack[system]'`",
    ),
    Setting(
        "system.interval_s",
        "seconds",
        10.0,
        "How often they are looked at.",
        "runs last for days (more), or something quick is looked for (less)",
        least=0.1,
    ),
    Setting(
        "seal.delay_s",
        "seconds",
        0.5,
        "How long an ended run waits for others to share its commit.",
        "many short runs end one after another (more), or each must be seen at once (0)",
    ),
    Setting(
        "seal.every_s",
        "seconds",
        0.0,
        "How often a run that goes on is committed; 0: only when somebody pushes or syncs.",
        "long runs are to be seen by others, or a disk may be lost before they end",
    ),
    Setting(
        "seal.fsync",
        "flag",
        True,
        "Have the disk confirm a commit before its journal is removed.",
        "the disk is slow and losing the last runs to a power cut is acceptable",
    ),
    Setting(
        "journal.heartbeat_s",
        "seconds",
        60.0,
        "How often a running run shows other hosts that it is alive.",
        "the network disk is slow, or lost runs must be seen sooner",
        least=1,
    ),
    Setting(
        "journal.lost_after_s",
        "seconds",
        600.0,
        "The silence after which another host's run is shown as lost.",
        "hosts that share this checkout pause for long, or have clocks far apart",
        least=2,
    ),
    Setting(
        "journal.keep_days",
        "count",
        7,
        "The silence after which another host's journal is recovered here.",
        "jobs may be suspended for weeks (more), or crash often and never return (less)",
        least=1,
    ),
    Setting(
        "store.max_packs",
        "count",
        20,
        "How many small packs of ours git may hold before they are joined into one.",
        "joining them takes too long while many runs are recorded; git tidies at 50",
        least=1,
    ),
    Setting(
        "share.ref",
        "store ref",
        "refs/gittrack/store/main",
        "The ref that holds the runs in remote repositories.",
        "a host takes or shows nothing but branches; see `gittrack remote check`",
    ),
    Setting(
        "share.sources",
        "flag",
        True,
        "Push the commits that runs stand on too, though no branch holds them.",
        "unfinished code is not to be shared",
    ),
    Setting(
        "share.deadline_s",
        "seconds",
        10.0,
        "How long a git hook, or a first look at a remote, waits for the network.",
        "the network is slow, or a push must never be held up",
        least=0.1,
    ),
    Setting(
        "hooks.install",
        "flag",
        True,
        "Install git hooks with `gittrack init`, and when a remote is first shared.",
        "hooks are managed by other means, or nothing is to happen on a commit or a push",
    ),
    Setting(
        "hooks.trailer",
        "flag",
        False,
        "Have a git hook write `Gittrack-Run: ID` into the message of the commit after a run.",
        "commits are to name the run whose results they hold; then `gittrack hooks install`",
    ),
    Setting(
        "offline",
        "flag",
        False,
        "Never use the network, unless `gittrack pull`, `push` or `sync` is typed.",
        "compute nodes have no network, and waiting for it would be in vain",
    ),
    Setting(
        "index.dir",
        "text",
        "",
        "Where the search index lies; empty: in the git directory, shared by its worktrees.",
        "the repository is on a network disk, where SQLite's locks are slow or broken",
        shared=False,
    ),
)

VARIABLES = (
    Variable(
        "GITTRACK_REPO",
        "PATH",
        "Record into the repository at this path, wherever the code is.",
        "the code runs in a container that has no .git, or a read-only one",
    ),
    Variable(
        "GITTRACK_JOURNAL",
        "DIR",
        "Write runs to this directory only; `gittrack recover DIR` takes them in later.",
        "no repository can be written to while the job runs",
    ),
    Variable(
        "GITTRACK_RUN_ID",
        "RUN",
        "Join this run: the first run of every process is that one, and is not ended by it.",
        "several processes, or several commands of a script, record one run together",
    ),
    Variable(
        "GITTRACK_VIEWER",
        "COMMAND",
        "The program with which `gittrack show RUN --open PATH` shows a file.",
        "the system has no `xdg-open` or `open`, or it should be another program",
    ),
    Variable(
        "GITTRACK",
        "0",
        "0 has the git hooks do nothing.",
        "one `git push`, or everything on this machine, shall do without them",
    ),
)


def parse_remote(text: str) -> tuple[str, str, str] | None:
    """Name, option and value of one entry of such a list, None if it is none."""
    found = _REMOTE.fullmatch(text)
    return None if found is None else (found[1], found[2] or "url", found[3])


def without_secrets(setting: Setting, value: Value) -> Value:
    """The value as it may be shown."""
    if setting.kind != "remotes" or not isinstance(value, tuple):
        return value
    shown = []
    for text in value:
        found = parse_remote(text)
        if found is not None and _SECRET.search(found[1]):
            text = f"{found[0]}.{found[1]}=***"
        shown.append(re.sub(r"(?<=://)([^/@:]*):[^/@]*@", r"\1:***@", text))
    return tuple(shown)


def render_value(value: Value) -> str:
    """A value as `.gittrack.yaml` spells it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        plain = re.fullmatch(r"[A-Za-z0-9_/][A-Za-z0-9_./-]*", value) and value.lower() != "null"
        return value if plain else _quote(value)
    if isinstance(value, tuple):
        return "[" + ", ".join(_quote(item) for item in value) + "]"
    # `60` reads better than `60.0`, and means the same number of seconds.
    return str(int(value)) if value == int(value) else repr(value)


def _quote(text: str) -> str:
    """A YAML double-quoted scalar that is safe to print."""
    import json

    quoted = json.dumps(text, ensure_ascii=False)
    # Not JSON's escapes: to YAML a surrogate pair is two characters.
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted)
