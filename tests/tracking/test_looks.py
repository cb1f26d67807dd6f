"""Figures, images, tables, pages and sound go with a run, and come back; trouble is a note."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

import gittrack
from gittrack.core.model import Run
from gittrack.errors import ArtifactError, InvalidNameError, InvalidValueError, UsageError
from gittrack.repo import Repo
from gittrack.repo.files import FileNotInRunError
from tests.repo.conftest import close
from tests.support import GitRepo

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.fixture
def here(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitRepo]:
    repo.write("t.csv", "a\n1\n")
    repo.commit("first")
    monkeypatch.chdir(repo.path)
    yield repo
    while gittrack.active_run() is not None:
        gittrack.end_run()
    close()


def paths(run_id: str) -> list[str]:
    return [file.path for file in gittrack.list_artifacts(run_id)]


def get_run(run_id: str) -> Run:
    return gittrack.get_run(run_id)


# -- images, figures, sound ------------------------------------------------------------------


def test_images_of_a_key_have_sortable_paths_and_none_is_lost(here: GitRepo) -> None:
    grey = np.array([[0.0, 1.0]])
    with gittrack.start_run() as run:
        for step in (10, 2, 2, None):
            gittrack.log_image(grey, key="val/samples", step=step)
        gittrack.log_image(grey, key="val/samples", step=np.int64(2), timestamp=5)
        gittrack.log_image(grey, "one.png")
    folder = "images/val/samples"
    names = [
        "step-000000000",
        "step-000000002",
        "step-000000002_2",
        "step-000000002_5",
        "step-000000010",
    ]
    assert paths(run.id) == [*(f"{folder}/{name}.png" for name in names), "one.png"]
    # Who goes on with the run asks the store for what is there.
    close()
    with gittrack.start_run(run_id=run.id):
        gittrack.log_image(grey, key="val/samples", step=10)
        gittrack.log_image(grey, key="val/samples", step=10)
    assert paths(run.id)[5:7] == [
        f"{folder}/step-000000010_2.png",
        f"{folder}/step-000000010_3.png",
    ]


def test_other_processes_of_a_run_overwrite_nothing(here: GitRepo) -> None:
    script = (
        "import gittrack, numpy\n"
        "with gittrack.start_run():\n"
        "    gittrack.log_image(numpy.zeros((1, 1)), key='k', step=1)\n"
        "    gittrack.log_table({'a': [2]}, 't.json')\n"
    )
    with gittrack.start_run() as run:
        gittrack.log_image(np.ones((1, 1)), key="k", step=1)
        gittrack.log_table({"a": [1]}, "t.json")
        for rank in ("", "3"):
            ranks = {"RANK": rank, "WORLD_SIZE": "4"} if rank else {}
            env = {**os.environ, "PYTHONPATH": ROOT, "GITTRACK_RUN_ID": run.id, **ranks}
            subprocess.run([sys.executable, "-c", script], env=env, check=True)
        gittrack.log_table({"a": [3]}, "t.json")
    names = ["step-000000001.png", "step-000000001_2.png", "step-000000001_rank3.png"]
    assert paths(run.id)[:3] == [f"images/k/{name}" for name in names]
    assert gittrack.load_table("t.json")["a"].tolist() == [1, 2, 2, 3]


def test_every_kind_is_kept_and_large_ones_are_objects(here: GitRepo, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype="uint8")
    tone = np.sin(np.arange(800) / 8)
    (tmp_path / "s.ogg").write_bytes(b"OggS...")
    with gittrack.start_run() as run:
        gittrack.log_figure(Figure(), "f.svg")
        gittrack.log_image(noise, "noise.png")
        gittrack.log_image(Image.fromarray(noise), "noise.jpg")
        gittrack.log_image(Figure(figsize=(1, 1)), key="figure")
        gittrack.log_audio(tone, "tone.wav", 8_000)
        gittrack.log_audio(tone, key="tone", step=1, sample_rate=8_000)
        gittrack.log_audio(tmp_path / "s.ogg", key="tone", step=2)
        gittrack.log_audio(b"fLaC...", key="tone", step=3)
        gittrack.log_html("<p>é</p>", "p.html")
        gittrack.log_html(pd.DataFrame({"a": [1]}), "frame.html")
    found = {file.path: file for file in gittrack.list_artifacts(run.id)}
    assert [path for path in found if path.startswith("audio/")] == [
        "audio/tone/step-000000001.wav", "audio/tone/step-000000002.ogg", "audio/tone/step-000000003.flac",
    ]  # fmt: skip
    assert found["noise.png"].md5 is not None and found["tone.wav"].md5 is None
    with Image.open(gittrack.get_artifact(run.id, "noise.png")) as image:
        assert (np.asarray(image) == noise).all()
    with wave.open(gittrack.get_artifact(run.id, "tone.wav")) as file:
        assert (file.getframerate(), file.getnframes()) == (8_000, 800)
    assert gittrack.load_text(run.id, "p.html") == "<p>é</p>"
    assert "<table" in gittrack.load_text(run.id, "frame.html")


def test_axes_of_a_part_of_a_figure_and_masked_pixels_are_kept(here: GitRepo) -> None:
    axes = Figure().subfigures(1, 2)[0].subplots()
    masked = np.ma.masked_array(np.ones((1, 2)), [[True, False]])
    with gittrack.start_run() as run:
        gittrack.log_figure(axes, "part.png")
        gittrack.log_image(masked, "masked.png")
    assert paths(run.id) == ["masked.png", "part.png"]
    with Image.open(gittrack.get_artifact(run.id, "masked.png")) as picture:
        assert picture.tobytes() == b"\x00\xff"


def test_a_page_of_the_name_of_what_shows_it_is_copied(here: GitRepo) -> None:
    with gittrack.start_run() as run:
        gittrack.log_html("<p>inside</p>", "view.html")
    with Repo.find() as repo:
        copy = repo.copy_to_view(repo.get_run(run.id), "view.html")
    assert b"sandbox" in Path(copy.path).read_bytes()


class Broken:
    """An array of a library that fails at it."""

    ndim = 1

    def tolist(self) -> list[int]:
        raise RuntimeError("the device is gone")


def test_trouble_of_a_library_is_noted_once_and_the_run_goes_on(
    here: GitRepo, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = Figure()
    broken.text(0, 0, "$\\frac{$")
    with gittrack.start_run() as run:
        gittrack.log_figure(broken, "f.png")
        gittrack.log_figure(broken, "f.png")
        gittrack.log_image(Image.new("RGBA", (1, 1)), "a.jpg")
        gittrack.log_figure(Figure(), "g.png", save_kwargs={"dpi": "many"})
        gittrack.log_table({"a": [Broken()]}, "t.json")
        gittrack.log_table({"a": Broken()}, "t.csv")
        for step in range(3):
            gittrack.log_image(np.full((1, 2), 7.0 + step), key="hot", step=step)
        gittrack.log_metric("loss", 1)
    said = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1].strip() for line in said] == [
        "artifact f.png was not kept", "artifact a.jpg was not kept", "artifact g.png was not kept",
        "artifact t.json was not kept", "artifact t.csv was not kept", "artifact images/hot",
    ]  # fmt: skip
    found = get_run(run.id)
    assert found.status == "finished" and len(found.warnings) == 6
    assert len(paths(run.id)) == 3


WRONG: list[tuple[Callable[[], None], type[Exception], str]] = [
        (lambda: gittrack.log_image(np.zeros((1, 1))), InvalidValueError, "where it goes"),
        (lambda: gittrack.log_image(np.zeros((1, 1)), "a.png", "k"), InvalidValueError, "where"),
        (lambda: gittrack.log_image(np.zeros((1, 1)), "a.png", step=1), InvalidValueError, "where"),
        (lambda: gittrack.log_image(np.zeros((1, 1)), key="../k"), InvalidNameError, r"\.\./k"),
        (lambda: gittrack.log_image(np.zeros((1, 1)), key="k", step=1.5), InvalidValueError, "step"),
        (lambda: gittrack.log_image(np.zeros((3, 9, 9)), key="k"), InvalidValueError, "shape"),
        (lambda: gittrack.log_audio(np.zeros(9), "a.mp3", 8), InvalidValueError, "artifact_file"),
        (lambda: gittrack.log_audio(b"what", key="k"), InvalidValueError, "no known kind"),
        (lambda: gittrack.log_audio("gone.wav", "a.wav"), InvalidValueError, "no file gone.wav"),
        (lambda: gittrack.log_html("x", "a.txt"), InvalidValueError, "artifact_file"),
        (lambda: gittrack.log_html(7, "a.html"), InvalidValueError, "html is of type int"),
        (lambda: gittrack.log_table(7, "a.json"), InvalidValueError, "data is of type int"),
        (lambda: gittrack.log_table({"a": [1], "b": [1, 2]}, "a.json"), InvalidValueError, "length"),
        (lambda: gittrack.log_table({"a": [1]}, "a.xls"), InvalidValueError, "artifact_file"),
        (lambda: gittrack.log_table({"a": [object()]}, "a.json"), InvalidValueError, "column 'a'"),
        (
            lambda: gittrack.log_table({"a": [np.longdouble(1)]}, "a.json"),
            InvalidValueError, "of type longdouble",
        ),
        (
            lambda: gittrack.log_html(type("Shy", (), {"_repr_html_": lambda self: None})(), "a.html"),
            InvalidValueError, "html is of type Shy",
        ),
        (lambda: gittrack.log_table({"a": [1, "x"]}, "a.parquet"), InvalidValueError, "column 'a'"),
        (lambda: gittrack.log_figure(7, "a.png"), InvalidValueError, "figure is of type int"),
        (lambda: gittrack.log_figure(Figure(), "../a.png"), InvalidNameError, r"\.\./a"),
]  # fmt: skip


def test_wrong_use_is_an_error_that_names_the_argument(here: GitRepo) -> None:
    with gittrack.start_run() as run:
        for call, error, words in WRONG:
            with pytest.raises(error, match=words):
                call()
        assert paths(run.id) == []


def test_an_ended_run_takes_nothing(here: GitRepo) -> None:
    with gittrack.start_run() as run:
        pass
    for call in (
        lambda: run.log_figure(Figure(), "a.png"),
        lambda: run.log_image(np.zeros((1, 1)), "a.png"),
        lambda: run.log_audio(b"RIFF", "a.wav"),
        lambda: run.log_html("x", "a.html"),
        lambda: run.log_table({}, "a.json"),
    ):
        with pytest.raises(UsageError, match="has ended"):
            call()


# -- tables ----------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["json", "csv", "parquet"])
def test_rows_are_added_and_come_back(here: GitRepo, suffix: str) -> None:
    path = f"eval/t.{suffix}"
    with gittrack.start_run() as run:
        gittrack.log_table({"n": [1, 2], "text": ["a", "b,\n"], "same": 0.5}, path)
        gittrack.log_table(pd.DataFrame({"n": [3], "new": [np.nan]}), path)
        gittrack.log_table([{"n": 4, "text": "d"}], path)
    close()
    with gittrack.start_run(run_id=run.id):
        gittrack.log_table({"n": np.array([5])}, path)
    frame = gittrack.load_table(path, [run.id])
    assert list(frame.columns) == ["n", "text", "same", "new"]
    assert frame["n"].tolist() == [1, 2, 3, 4, 5]
    assert frame["text"].fillna("-").tolist() == ["a", "b,\n", "-", "d", "-"]
    assert frame["same"].fillna(-1).tolist() == [0.5, 0.5, -1, -1, -1]
    assert frame["new"].isna().all()
    with Repo.find() as repo:
        assert repo.load_table(path, [run.id]).values[0] == [1, 2, 3, 4, 5]


def test_frames_of_every_kind_become_tables(here: GitRepo) -> None:
    frame = pd.DataFrame(
        {"when": pd.to_datetime(["2026-01-02", None]), "kind": pd.Categorical(["x", "y"]),
         "maybe": pd.array([1, None], dtype="Int64"), "list": [[1], {"a": 2}]},
        index=pd.Index(["r", "s"], name="row"),
    )  # fmt: skip
    frame.columns = [*frame.columns[:3], "kind"]
    with gittrack.start_run() as run:
        gittrack.log_table(frame, "t.json")
        gittrack.log_table(pd.DataFrame({0: [1], ("a", "b"): [2]}), "odd.json")
        gittrack.log_table({"x": 1, "y": "text"}, "one.json")
        gittrack.log_table({}, "empty.json")
        gittrack.log_table(pd.DataFrame({"id": [7]}).set_index("id", drop=False), "index.json")
    with Repo.find() as repo:
        table = repo.load_table("t.json")
        assert table.columns == ("row", "when", "kind", "maybe", "kind")
        assert list(table.rows()) == [
            ("r", "2026-01-02T00:00:00", "x", 1, [1]), ("s", None, "y", None, {"a": 2}),
        ]  # fmt: skip
        assert repo.load_table("odd.json").columns == (0, "('a', 'b')")
        assert list(repo.load_table("one.json").rows()) == [(1, "text")]
        assert repo.load_table("empty.json").height == 0
        assert repo.load_table("index.json") == (("id",), ([7],))
    assert gittrack.load_table("t.json").shape == (2, 5)
    assert gittrack.load_table("empty.json").shape == (0, 0)
    text = gittrack.load_text(run.id, "odd.json")
    assert pd.read_json(io.StringIO(text), orient="split").shape == (1, 2)


def test_tables_of_several_runs_say_which_they_are_of(here: GitRepo) -> None:
    ids = []
    for lr in (0.1, 0.2):
        with gittrack.start_run(run_name=f"lr{lr}") as run:
            gittrack.log_param("lr", lr)
            gittrack.log_table({"y": [lr], "status": ["x"]}, "t.json")
            ids.append(run.id)
    with gittrack.start_run(experiment="other"):
        gittrack.log_table({"y": [9]}, "t.json")
    with gittrack.start_run():
        pass
    frame = gittrack.load_table(
        "t.json", extra_columns=["run_id", "params.lr", "status", "tags.no"]
    )
    assert sorted(frame["run_id"]) == sorted(ids)
    assert (frame["params.lr"].astype(float) == frame["y"]).all()
    assert frame["status_"].tolist() == ["FINISHED"] * 2
    assert gittrack.load_table("t.json", ids[::-1])["y"].tolist() == [0.2, 0.1]
    gittrack.set_experiment("other")
    assert gittrack.load_table("t.json")["y"].tolist() == [9]
    with pytest.raises(FileNotInRunError, match="no run has the table"):
        gittrack.load_table("none.json")
    with pytest.raises(InvalidValueError, match="extra_columns"):
        gittrack.load_table("t.json", extra_columns=["what"])


def test_only_artifacts_are_added_to(here: GitRepo) -> None:
    with gittrack.start_run() as run:
        # A file of that name is in the repository.
        gittrack.log_table({"b": [2]}, "t.csv")
        gittrack.log_dict({"no": "table"}, "d.json")
        with pytest.raises(InvalidValueError, match=r"d\.json that is no table"):
            gittrack.log_table({"b": [2]}, "d.json")
    assert gittrack.load_text(run.id, "t.csv") == "b\n2\n"
    with pytest.raises(ArtifactError, match=r"d\.json .* is no table"):
        gittrack.load_table("d.json", [run.id])


def test_a_table_that_grows_takes_the_place_of_one(here: GitRepo) -> None:
    with gittrack.start_run() as run:
        for at in range(40):
            gittrack.log_table({"text": ["x" * 1_500], "at": [at]}, "t.json")
        gittrack.log_text("small", "s.txt")
    # 40 states of up to 60 kB are more than git takes of a run, the last one is not.
    assert all(file.md5 is None for file in gittrack.list_artifacts(run.id))
    assert gittrack.load_table("t.json")["at"].tolist() == list(range(40))


# -- text and mappings -----------------------------------------------------------------------


def test_text_and_mappings_come_back(here: GitRepo) -> None:
    value = {"a": [1, 2.5, None, True], "b": {"c": "é\n"}, "on": "yes"}
    with gittrack.start_run() as run:
        gittrack.log_dict(value, "d.json")
        gittrack.log_dict(value, "d.yaml")
        gittrack.log_dict([1, {"x": 2}], "l.yml")
        gittrack.log_text("é\r\n\ud800", "t.txt")
        assert gittrack.load_dict(run.id, "d.json") == value
    assert gittrack.load_dict(run.id, "d.yaml") == value
    assert gittrack.load_dict(run.id, "l.yml") == [1, {"x": 2}]
    assert gittrack.load_text(run.id, "t.txt") == "é\r\n\ud800"
    held: dict[str, object] = {"to": [np.longdouble(0.5), {"b", "a"}]}
    held["me"] = [held]
    with gittrack.start_run() as run:
        with pytest.raises(InvalidValueError, match="dict holds itself"):
            gittrack.log_dict(held, "h.json")
        gittrack.log_dict({"to": held["to"]}, "h.json")
        assert gittrack.load_dict(run.id, "h.json") == {"to": ["0.5", ["a", "b"]]}
    with pytest.raises(FileNotInRunError, match=r"no file d\.yml"):
        gittrack.load_dict(run.id, "d.yml")


HARMFUL = {
    "a.yaml": b"a: &x [1]\nb: [*x, *x]\n",
    "b.yaml": b"a: !!python/object/apply:os.system [ls]\n",
    "c.yaml": b"a: [\n",
    "d.json": b"{",
    "e.json": b"[" * 100_000,
    "f.json": b'"\xff"',
}


def test_what_does_harm_or_is_broken_is_not_loaded(here: GitRepo, tmp_path: Path) -> None:
    for name, data in HARMFUL.items():
        (tmp_path / name).write_bytes(data)
    with gittrack.start_run() as run:
        for name in HARMFUL:
            gittrack.log_artifact(tmp_path / name)
        for name in HARMFUL:
            with pytest.raises(ArtifactError, match=f"artifact {name} of run .* is no"):
                gittrack.load_dict(run.id, name)


# -- import --------------------------------------------------------------------------------


def test_nothing_of_all_that_is_imported_before_it_is_needed() -> None:
    heavy = ["matplotlib", "numpy", "pandas", "PIL", "plotly", "pyarrow", "wave", "csv"]
    script = f"import gittrack, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": ROOT},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == []
