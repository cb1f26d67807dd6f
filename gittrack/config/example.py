"""`.gittrack.example.yaml`, written from the table of settings."""

from __future__ import annotations

from gittrack.config.settings import SETTINGS, VARIABLES, render_value

FILE_NAME = ".gittrack.yaml"


def render_example() -> str:
    """The text of `.gittrack.example.yaml`: itself a legal settings file that changes nothing."""
    lines = [
        "# Every setting of gittrack, with its default and a reason to change it.",
        "#",
        f"# Copy what you change into {FILE_NAME} at the top of the repository and commit it:",
        "# it then holds for everybody. `git config` sets the same for one clone, and an",
        "# environment variable for one command; both names stand above each setting. The",
        "# environment wins over git config, git config over the file, the file over the default.",
        "#",
        "# Sizes may be written 10k, 10m or 1g (steps of 1024). A list is, in git config, one",
        "# value each (`git config --add`; an empty value drops those before it) and, in the",
        "# environment, separated by spaces, or one item a line. An empty variable is no variable.",
        "# `gittrack config` shows the values that hold here, and where each comes from.",
        "#",
        "# In the environment alone:",
    ]
    for variable in VARIABLES:
        lines += [
            "#",
            f"#   {variable.name}={variable.takes}",
            f"#     {variable.meaning}",
            f"#     Change it if {variable.reason}.",
        ]
    group = ""
    for setting in SETTINGS:
        head, dot, last = setting.name.partition(".")
        lines.append("")
        if dot and head != group:
            lines.append(f"{head}:")
        group = head
        indent = "  " if dot else ""
        lines += [
            f"{indent}# {setting.meaning}",
            f"{indent}# Change it if {setting.reason}.",
            f"{indent}# {setting.variable}, git config {setting.git_key}",
        ]
        line = f"{last if dot else head}: {render_value(setting.default)}"
        if setting.shared:
            lines.append(indent + line)
        else:
            lines += [
                f"{indent}# Not in this file: a path of one machine is not the team's to choose.",
                f"{indent}# {line}",
            ]
    return "\n".join(lines) + "\n"
