"""The names of the output formats."""

from __future__ import annotations

#: The form for people, which each command has of its own.
HUMAN = "human"
#: The form for scripts, see `output.porcelain`.
PORCELAIN = "porcelain"
LOG_FORMATS = ("table", "oneline", "json", "jsonl", "csv", "tsv", "markdown")
LIST_FORMATS = ("table", "json", "jsonl", "csv", "tsv", "markdown")
DIFF_FORMATS = ("table", "json", "markdown")
