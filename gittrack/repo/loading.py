"""The methods of `Repo` that read artifacts as what they are: text, mappings, tables."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gittrack.core import kept
from gittrack.core.model import Run
from gittrack.errors import ArtifactError, CorruptStoreError, InvalidValueError
from gittrack.repo.carrying import Carrying, Progress

if TYPE_CHECKING:
    from gittrack.core.table import Table

#: Text that is larger is read as bytes, in pieces.
_MOST_TEXT = 64_000_000
_MOST_TABLE = 1_000_000_000

#: Columns about a run that a table can get, as `Runs.to_pandas` names them.
_FACTS = (
    "run_id", "run_name", "experiment_id", "experiment_name", "status", "artifact_uri",
    "start_time", "end_time",
)  # fmt: skip


class ViewCopy(NamedTuple):
    """A copy of an artifact that a program of the system may show.

    `kind` is one of `core.viewing`; None if it is none of those that only show something.
    """

    path: str
    kind: str | None


class Loading(Carrying):
    """Reads artifacts; nothing in them is run, whoever wrote them."""

    def find_artifact(
        self, run: Run, path: str, *, max_bytes: int | None = None, **options: Any
    ) -> bytes | None:
        """The bytes of an artifact; None if the run has none of that path.

        Raises:
            ArtifactError: they are not to be had, damaged, or more than `max_bytes`.
        """
        from gittrack.repo.artifacts import check_path

        path = check_path(path)
        self._bring_missing(run, [path], **options)
        artifacts = self.artifacts_of(run)
        file = artifacts.files(path).get(path)
        if file is None:
            return None
        size = file.size_bytes or 0
        if file.md5 is not None:
            # What the run says of it may be wrong.
            size = os.path.getsize(artifacts.sound_object(file))
        if max_bytes is not None and size > max_bytes:
            raise ArtifactError(
                f"artifact {path} of run '{run.name}' is too large to be read at once",
                why=f"it has {size:,} bytes; the limit is {max_bytes:,}",
                next=f"gittrack artifacts get {run.short_id} {path}",
            )
        return artifacts.read(file)

    def load_text(self, run_id: str, artifact_file: str) -> str:
        """The text of an artifact, as `log_text` kept it.

        Raises:
            FileNotInRunError: the run has no such artifact.
            ArtifactError: it is not to be had, no UTF-8, or larger than 64 MB.
        """
        run = self.get_run(run_id)
        data = self._load(run, artifact_file, _MOST_TEXT)
        try:
            return data.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise _no_form(
                run, artifact_file, "text in UTF-8", f"it is none at byte {error.start}"
            ) from None

    def load_dict(self, run_id: str, artifact_file: str) -> Any:
        """The mapping or list of an artifact, as `log_dict` kept it: YAML by its name, else JSON.

        Raises:
            FileNotInRunError: the run has no such artifact.
            ArtifactError: it is not to be had, of no such form, or larger than 64 MB.
        """
        run = self.get_run(run_id)
        data = self._load(run, artifact_file, _MOST_TEXT)
        try:
            if artifact_file.endswith((".yaml", ".yml")):
                from gittrack.core.yamltext import decode_plain

                return decode_plain(data, where=artifact_file)
            import json

            return json.loads(data)
        except CorruptStoreError as error:
            raise _no_form(run, artifact_file, "YAML", error.why) from None
        except (ValueError, RecursionError) as error:
            raise _no_form(run, artifact_file, "JSON", str(error)) from None

    def load_table(
        self,
        artifact_file: str,
        run_ids: Sequence[str] | None = None,
        extra_columns: Sequence[str] | None = None,
        *,
        experiment: str | None = None,
    ) -> Table:
        """The rows of a table of several runs, as `log_table` kept them.

        Args:
            run_ids: without them the runs that have the table, the newest first.
            extra_columns: what each row also says about its run: `run_id`, `run_name`,
                `experiment_id`, `experiment_name`, `status`, `artifact_uri`, `start_time`,
                `end_time`, `params.KEY`, `metrics.KEY` or `tags.KEY`. If the table has such a
                column, an underscore goes behind the name.
            experiment: without `run_ids`, that of the runs; by default all are looked at.
        Raises:
            FileNotInRunError: a run, or without `run_ids` any run, has no such table.
            ArtifactError: one is not to be had, or is no table.
            InvalidValueError: a table has no such suffix, or there is no such column.
        """
        from gittrack.capture import tables
        from gittrack.core.table import join_all

        suffix = tables.suffix_of(artifact_file, "load_table")
        if run_ids is not None:
            # A text is a sequence of texts, too.
            run_ids = [run_ids] if isinstance(run_ids, str) else run_ids
            runs = [self.get_run(run_id) for run_id in run_ids]
        else:
            named = None if experiment is None else [experiment]
            found = self.search_runs(experiment_names=named)
            runs = [run for run in found if self._has_artifact(run, artifact_file)]
            if not runs:
                from gittrack.repo.files import FileNotInRunError

                raise FileNotInRunError(
                    f"no run has the table {artifact_file}",
                    why=f"none of {len(found)} runs" + (f" of {experiment}" if experiment else ""),
                    next="gittrack.list_artifacts(run_id)",
                )
        parts = []
        for run in runs:
            data = self._load(run, artifact_file, _MOST_TABLE)
            try:
                table = tables.decode(data, suffix)
            except ValueError as error:
                raise _no_form(run, artifact_file, "table", str(error)) from None
            for column in extra_columns or ():
                name = f"{column}_" if column in table.columns else column
                table = table.with_column(name, _fact(run, column))
            parts.append(table)
        return join_all(parts)

    def copy_to_view(
        self, run: Run, path: str, *, asks: bool = False, progress: Progress | None = None
    ) -> ViewCopy:
        """Copy an artifact to where a program of the system may show it: a private folder.

        The copy can be written to and cannot be executed. A page, or a picture that may hold
        scripts, becomes a page that shows it and keeps those in, and a table in CSV is text; see
        `core.viewing`. The folder is one for temporary files, which the system clears away.

        Raises:
            FileNotInRunError: the run has no such artifact, or it is a folder.
            ArtifactError: it is not to be had.
        """
        import tempfile

        from gittrack.core import names, viewing
        from gittrack.repo.artifacts import check_path
        from gittrack.repo.files import no_such_file

        path = check_path(path)
        self._bring_missing(run, [path], asks=asks, progress=progress)
        there = self.artifacts_of(run).files()
        if path not in there:
            below = list(self.artifacts_of(run).files(path)) if path else []
            raise no_such_file(run, path or ".", below or list(there))
        into = tempfile.mkdtemp(prefix="gittrack-view-")
        (laid,) = self.lay_out_artifacts(run, [path], into)
        # Viewers are scripts now and then: the name has no character that means something to one.
        name = names.encode_segment(os.path.basename(laid)).replace("%", "_").replace(" ", "_")
        if name.lower().endswith(viewing.SHEETS):
            name += ".txt"
        copy = os.path.join(into, name)
        os.rename(laid, copy)
        os.chmod(copy, 0o600)
        with open(copy, "rb") as file:
            kind = viewing.find_kind(name, file.read(viewing.HEAD_BYTES))
        if kind in (viewing.PAGE, viewing.SVG):
            wrap = viewing.wrap_page if kind == viewing.PAGE else viewing.wrap_svg
            with open(copy, "rb") as file:
                shown = wrap(file.read())
            # It may be called `view.html` itself.
            os.unlink(copy)
            copy = os.path.join(into, "view.html")
            with open(copy, "wb", opener=_private) as file:
                file.write(shown)
        return ViewCopy(copy, kind)

    def _has_artifact(self, run: Run, path: str) -> bool:
        if path in run.artifacts:
            return True
        # It may be in a folder that was kept as one.
        layers = any(kept.folder_of(key) is not None for key in run.artifacts)
        return layers and path in self.artifacts_of(run).files(path)

    def _load(self, run: Run, path: str, max_bytes: int) -> bytes:
        data = self.find_artifact(run, path, max_bytes=max_bytes)
        if data is None:
            from gittrack.repo.files import no_such_file

            raise no_such_file(run, path, list(self.artifacts_of(run).files()))
        return data


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_EXCL, 0o600)


def _no_form(run: Run, path: str, form: str, why: str) -> ArtifactError:
    return ArtifactError(
        f"artifact {path} of run '{run.name}' is no {form}",
        why=why.partition("\n")[0],
        next=f"gittrack show {run.short_id}:{path}",
    )


def _fact(run: Run, column: str) -> Any:
    kind, dot, key = column.partition(".")
    if dot and kind in ("params", "tags", "metrics"):
        return getattr(run.data, kind).get(key)
    if column not in _FACTS:
        raise InvalidValueError(
            f"load_table: extra_columns names {column!r}",
            why=f"a run has {', '.join(_FACTS)}, params.KEY, metrics.KEY and tags.KEY",
            next="extra_columns=['run_id']",
        )
    value = getattr(run.info, column)
    if column.endswith("_time") and value is not None:
        return dt.datetime.fromtimestamp(value / 1000, dt.UTC)
    return value
