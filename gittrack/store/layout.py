"""The only file that spells refs/gittrack/... or a path inside the store's tree."""

from __future__ import annotations

from gittrack.core import names

#: Every ref of ours is below it.
REFS = "refs/gittrack/"
#: Readers read every ref below STORE_REFS, writers write STORE_REF.
STORE_REFS = "refs/gittrack/store/"
STORE_REF = "refs/gittrack/store/main"
#: Where a remote's store lies if its host takes nothing but branches.
BRANCH_REF = "refs/heads/gittrack/store"
#: Keeps alive the commits which runs stand on and no shared branch holds.
SOURCE_REF = "refs/gittrack/source/main"
#: What is known of a remote's refs: REMOTE_REFS + remote + /store/ + name, or /source/ + name.
REMOTE_REFS = "refs/gittrack/remote/"
#: What keeps a commit alive that was made of a run for another tool; nobody sends these unasked.
EXPORT_REFS = "refs/gittrack/export/"
#: Where a commit is written that no other ref may point to yet; nobody reads or sends these.
SCRATCH_REFS = "refs/gittrack/scratch/"

STORE_FILE = "store.yaml"
RUN_FILE = "run.yaml"
PARAMS_FILE = "params.yaml"
NOTES_FILE = "notes.yaml"
METRICS_FILE = "metrics.yaml"
METRICS_DIR = "metrics"
ARTIFACTS_FILE = "artifacts.yaml"
ARTIFACTS_DIR = "artifacts"
SOURCE_FILE = "source.yaml"
DISK_FILE = "disk.yaml"
WRITERS_DIR = "writers"
LOGS_DIR = "logs"
INPUTS_FILE = "inputs.set.yaml"
OUTPUTS_FILE = "outputs.set.yaml"
CONFLICTS_DIR = "conflicts"
CONFLICTS_FILE = "conflicts.set.yaml"
EXPERIMENT_FILE = "experiment.yaml"

RUNS_DIR = "runs"
EXPERIMENTS_DIR = "experiments"
SOURCE_DIR = "source"
TOMBSTONES_DIR = "tombstones"
#: Runs with ids of another tool lie below this folder, by hash.
FOREIGN_DIR = "x"


def run_dir(run_id: str) -> str:
    """The folder of a run in the store's tree; it follows from the id alone."""
    if names.is_own_run_id(run_id):
        month, day, hour = f"{run_id[:4]}-{run_id[4:6]}", run_id[6:8], run_id[9:11]
        return f"{RUNS_DIR}/{month}/{day}/{hour}/{run_id}"
    from hashlib import sha256

    digest = sha256(run_id.encode()).hexdigest()
    return f"{RUNS_DIR}/{FOREIGN_DIR}/{digest[:2]}/{run_id}"


def experiment_dir(experiment_id: str) -> str:
    """The folder of an experiment in the store's tree."""
    return f"{EXPERIMENTS_DIR}/{experiment_id}"


def overlay_dir(overlay_id: str) -> str:
    """The folder of a source overlay; shared by all runs that ran the same changes."""
    return f"{SOURCE_DIR}/{overlay_id[:2]}/{overlay_id}"


def folder_of(top: str, entity_id: str) -> str:
    """The folder of what a tombstone names, by the top folder that it lies in."""
    if top == RUNS_DIR:
        return run_dir(entity_id)
    if top == SOURCE_DIR:
        return overlay_dir(entity_id)
    if top == "logged":
        from hashlib import sha256

        return f"{top}/{sha256(entity_id.encode()).hexdigest()[:2]}/{entity_id}"
    return f"{top}/{entity_id}"


def environment_file(name: str) -> str:
    """The path of an environment's lock (`<digest>.yaml`), or of a tool's lock file in it."""
    return f"env/{name[:2]}/{name}"


def tracking_ref(remote: str, ref: str) -> str:
    """Where what a remote's ref pointed to is remembered; `ref` is what we call it here."""
    return f"{REMOTE_REFS}{remote}/{ref.removeprefix(REFS)}"


def export_ref(short_id: str) -> str:
    """What keeps the commit alive that was last made of a run for another tool."""
    return f"{EXPORT_REFS}{short_id}"


def git_tag_ref(name: str) -> str:
    """The ref of a tag of the user's."""
    return f"refs/tags/{name}"


def tombstone(kind: str, entity_id: str) -> str:
    """The path whose presence says that an entity was purged."""
    from hashlib import sha256

    return f"{TOMBSTONES_DIR}/{kind}/{sha256(entity_id.encode()).hexdigest()[:2]}/{entity_id}"
