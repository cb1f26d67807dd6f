"""Drives a real kernel, in a process of its own: Jupyter's packages warn of what is to come.

    python kernel.py CELLS            execute a notebook with nbclient; what its cells gave, as JSON
    python kernel.py --life STEPS     execute code, and end the kernel as the steps say

CELLS and STEPS are JSON lists of text. A step is code; `busy` and code, which is not waited for
beyond its first line of output; `restart`, `shutdown`, or `kill`.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def execute(cells: list[str]) -> list[list[dict[str, Any]]]:
    """Execute cells as a notebook; the outputs of each, as text by type."""
    import nbclient
    from nbformat import v4

    made = v4.new_notebook(cells=[v4.new_code_cell(source) for source in cells])
    nbclient.NotebookClient(made, timeout=120, allow_errors=True).execute()
    return [
        [
            {"error": f"{item.ename}: {item.evalue}"}
            if item.output_type == "error"
            else {item.name: item.text}
            if item.output_type == "stream"
            else dict(item.data)
            for item in cell.outputs
        ]
        for cell in made.cells
    ]


def live(steps: list[str]) -> None:
    """Live a kernel's life."""
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(startup_timeout=120)
    # After half of it comes SIGTERM, then SIGKILL.
    manager.shutdown_wait_time = 2.0
    for step in steps:
        if step == "restart":
            manager.restart_kernel()
            client.wait_for_ready(timeout=120)
        elif step in ("shutdown", "kill"):
            manager.shutdown_kernel(now=step == "kill")
        elif step.startswith("busy "):
            client.execute(step[5:])
            while client.get_iopub_msg(timeout=120)["msg_type"] != "stream":
                pass
        else:
            reply = client.execute_interactive(step, timeout=120, output_hook=lambda _: None)
            assert reply["content"]["status"] == "ok", reply
    client.stop_channels()
    if manager.has_kernel:
        manager.shutdown_kernel(now=True)


if __name__ == "__main__":
    if sys.argv[1] == "--life":
        live(json.loads(sys.argv[2]))
    else:
        print(json.dumps(execute(json.loads(sys.argv[1]))))
