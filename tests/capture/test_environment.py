"""The environment is a lock with a line a package, read once and recognised after that."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gittrack.capture import environment, hardware
from gittrack.core import codec
from tests.support import GitRepo


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A site-packages folder that is the only one."""
    folder = tmp_path / "lib" / "site-packages"
    folder.mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(folder)])
    monkeypatch.delenv("CONDA_PREFIX", raising=False)
    yield folder


def install(packages: Path, name: str, version: str, direct_url: object = None) -> None:
    info = packages / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (info / "METADATA").write_text(text, encoding="utf-8")
    if direct_url is not None:
        (info / "direct_url.json").write_text(json.dumps(direct_url), encoding="utf-8")


def lock(worktree: str | None = None) -> dict[str, object]:
    found, _ = environment.read(worktree)
    return codec.decode_mapping(found.files[f"{found.digest}.yaml"])


def test_every_package_has_a_line(packages: Path) -> None:
    install(packages, "NumPy", "1.26.4")
    install(packages, "zope.interface", "6.0")
    install(packages, "Broken_Thing", "1.0")
    (packages / "Broken_Thing-1.0.dist-info" / "METADATA").write_bytes(b"\xff\xfe")
    found = lock()
    assert found["packages.numpy"] == "1.26.4"
    assert found["packages.zope-interface"] == "6.0"
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))


def test_what_came_from_elsewhere_says_from_where(packages: Path, tmp_path: Path) -> None:
    checkout = GitRepo.create(tmp_path / "lib-in-work")
    checkout.write("setup.py", "")
    commit = checkout.commit()
    install(packages, "vcs", "1.0", {
        "url": "https://ada:hunter22xyz@example.com/vcs.git",
        "vcs_info": {"vcs": "git", "commit_id": "a" * 40},
    })  # fmt: skip
    archive = {"hash": "sha256=" + "b" * 64}
    install(packages, "arc", "2.0", {"url": "https://x.org/a.whl", "archive_info": archive})
    install(packages, "edit", "3.0", {
        "url": f"file://{checkout.path}", "dir_info": {"editable": True},
    })  # fmt: skip
    install(packages, "folder", "4.0", {"url": "file:///opt/a%20b", "dir_info": {}})
    install(packages, "odd", "5.0", ["not", "a", "mapping"])
    found = lock()
    assert found["packages.vcs"] == (
        "1.0 git+https://ada:<redacted>@example.com/vcs.git @ " + "a" * 40
    )
    assert found["packages.arc"] == "2.0 https://x.org/a.whl sha256:" + "b" * 64
    assert str(found["packages.edit"]).startswith("3.0 -e ")
    assert str(found["packages.edit"]).endswith(f"lib-in-work @ {commit}")
    assert found["packages.folder"] == "4.0 /opt/a b"
    assert found["packages.odd"] == "5.0"


def test_lock_files_are_kept_unless_they_hold_a_secret(packages: Path, tmp_path: Path) -> None:
    (tmp_path / "uv.lock").write_text("version = 1\n", encoding="utf-8")
    secret = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    (tmp_path / "poetry.lock").write_text(f"url = 'https://{secret}@x.org'\n", encoding="utf-8")
    found, _ = environment.read(str(tmp_path))
    kept = {name.partition(".")[2] for name in found.files}
    assert kept == {"yaml", "uv.lock"}
    (note,) = found.notes
    assert "poetry.lock was withheld" in note and secret not in note
    mapping = codec.decode_mapping(found.files[f"{found.digest}.yaml"])
    assert {"locks.uv.lock", "locks.poetry.lock"} <= mapping.keys()


def test_conda_packages(packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meta = tmp_path / "conda" / "conda-meta"
    meta.mkdir(parents=True)
    (meta / "cuda-toolkit-11.8.0-h37601d7_11.json").write_text("{}", encoding="utf-8")
    (meta / "history").write_text("", encoding="utf-8")
    monkeypatch.setenv("CONDA_PREFIX", str(tmp_path / "conda"))
    assert lock()["conda.cuda-toolkit"] == "11.8.0 h37601d7_11"


def test_it_is_remembered_until_something_changes(packages: Path, tmp_path: Path) -> None:
    checkout = GitRepo.create(tmp_path / "work")
    checkout.write("a", "")
    checkout.commit()
    install(packages, "edit", "3.0", {
        "url": f"file://{checkout.path}", "dir_info": {"editable": True},
    })  # fmt: skip
    cache = str(tmp_path / "cache")
    key = environment.look(None)
    assert environment.known(cache, key) is None
    found, checkouts = environment.read(None)
    # What was withheld and taken out is told of every run, not only of the first.
    found = found._replace(notes=("a note",), redacted=("environment: edit: url",))
    environment.remember(cache, key, found, checkouts)
    assert environment.known(cache, environment.look(None)) == found._replace(files={})
    assert environment.load(cache, found.digest) == found.files
    # A commit of an editable package leaves no trace in site-packages.
    checkout.commit("more")
    assert environment.known(cache, environment.look(None)) is None
    # So does a file that was lost, or half-written.
    environment.remember(cache, key, *environment.read(None))
    assert environment.known(cache, key) is not None
    Path(cache, f"{key}.json").write_bytes(b'{"format"')
    assert environment.known(cache, key) is None
    install(packages, "new", "1.0")
    os.utime(packages, ns=(1, 1))
    assert environment.look(None) != key


def test_two_machines_alike_have_one_environment(packages: Path) -> None:
    install(packages, "a", "1.0")
    assert environment.read(None)[0].digest == environment.read(None)[0].digest


def test_head_commit_reads_what_git_would(tmp_path: Path) -> None:
    repo = GitRepo.create(tmp_path / "repo")
    repo.write("a/b", "")
    head = repo.commit()
    assert environment.head_commit(os.path.join(repo.path, "a")) == head
    repo.git("pack-refs", "--all")
    assert environment.head_commit(repo.path) == head
    repo.git("worktree", "add", "-q", "../linked")
    assert environment.head_commit(str(tmp_path / "linked")) == head
    repo.git("checkout", "-q", "--detach")
    assert environment.head_commit(repo.path) == head
    assert environment.head_commit("/") is None


def test_hardware_gives_what_there_is_and_never_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    found = hardware.facts()
    assert found["cpu.count"] == os.cpu_count()
    assert isinstance(found["memory_gib"], float)
    assert None not in found.values()
    monkeypatch.setenv("PATH", "/nonexistent")
    assert hardware.facts()["os"] == found["os"]


def test_reading_a_known_environment_imports_nothing_large(tmp_path: Path) -> None:
    script = (
        "import sys; from gittrack.capture import environment; environment.look(None);"
        "print({'importlib.metadata', 'email', 'subprocess'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path += {sys.path!r}; {script}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "set()"
