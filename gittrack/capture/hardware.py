"""The machine below a run: operating system, processor, memory, NVIDIA GPUs and their driver.

Read from files wherever there are some; no answer is an empty one, never an error.
"""

from __future__ import annotations

import os
import re
import sys

from gittrack.capture.process import ask

_NVIDIA = "/proc/driver/nvidia"
#: nvidia-smi may take seconds where no persistence daemon runs, and longer on a sick GPU.
_SMI_TIMEOUT_S = 20


def facts() -> dict[str, object]:
    """What there is, by key; keys whose answer is not known are left out."""
    found: dict[str, object] = {
        "cpu": _cpu(),
        "cpu.count": os.cpu_count(),
        "cpu.usable": _usable_cpus(),
        "machine": os.uname().machine,
        "memory_gib": _memory_gib(),
        "os": f"{os.uname().sysname} {os.uname().release}",
        "os.name": _distribution(),
        "libc": _libc(),
        "cuda": _cuda_toolkit(),
    }
    driver, gpus = _nvidia()
    found["nvidia_driver"] = driver
    found["cuda.driver"] = _cuda_of_driver() if driver else None
    for number, name in enumerate(gpus):
        found[f"gpu.{number}"] = name
    return {key: value for key, value in found.items() if value not in (None, "")}


def limits() -> list[object]:
    """What this process may use, which another one on the same machine may not."""
    try:
        usable: object = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        usable = None
    return [usable, *(_read(f"/sys/fs/cgroup/{name}", 100) for name in ("cpu.max", "memory.max"))]


def _cpu() -> str:
    if sys.platform == "darwin":
        return ask("/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string", timeout_s=5)
    text = _read("/proc/cpuinfo", 20_000)
    # ARM names no model there.
    named = re.search(r"(?m)^(?:model name|Hardware|Model|cpu model)\s*:\s*(.+)$", text)
    return " ".join(named[1].split()) if named else ""


def _usable_cpus() -> int | None:
    """How many this process may run on, by its affinity and its control group's quota."""
    try:
        usable = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        return None
    quota, _, period = _read("/sys/fs/cgroup/cpu.max", 100).partition(" ")
    if quota.isdigit() and period.strip().isdigit() and int(period):
        usable = min(usable, max(1, -(-int(quota) // int(period))))
    return usable


def _memory_gib() -> float | None:
    """What this process may use at most: the machine's memory, or its control group's limit."""
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None
    limit = _read("/sys/fs/cgroup/memory.max", 100).strip()
    if limit.isdigit():
        total = min(total, int(limit))
    return round(total / (1 << 30), 1)


def _distribution() -> str:
    named = re.search(r'(?m)^PRETTY_NAME="?([^"\n]+)', _read("/etc/os-release", 10_000))
    return named[1] if named else ""


def _libc() -> str:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, OSError, ValueError):
        return ""


def _cuda_toolkit() -> str:
    for home in (os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"):
        if home:
            text = _read(os.path.join(home, "version.json"), 20_000)
            named = re.search(r'"cuda"\s*:\s*\{[^}]*"version"\s*:\s*"([^"]+)"', text)
            if named:
                return named[1]
    return ""


def _nvidia() -> tuple[str, list[str]]:
    """The driver's version, and the name of every GPU in the order of the bus."""
    version = re.search(
        r"Kernel Module(?: for \S+)?\s+(\d+\.\d[\d.]*)", _read(f"{_NVIDIA}/version", 1_000)
    )
    names = []
    try:
        for folder in sorted(os.listdir(f"{_NVIDIA}/gpus")):
            model = re.search(
                r"(?m)^Model:\s*(.+)$", _read(f"{_NVIDIA}/gpus/{folder}/information", 4_000)
            )
            names.append(model[1].strip() if model else "")
    except OSError:
        names = []
    if version and names:
        return version[1], names
    # Below WSL and in some containers there is no such folder.
    if os.path.exists("/dev/nvidiactl") or os.path.exists("/dev/dxg"):
        return _nvidia_smi()
    return version[1] if version else "", names


def _nvidia_smi() -> tuple[str, list[str]]:
    text = ask(
        "nvidia-smi", "--query-gpu=driver_version,name", "--format=csv,noheader",
        timeout_s=_SMI_TIMEOUT_S,
    )  # fmt: skip
    rows = [line.partition(", ") for line in text.splitlines() if ", " in line]
    return (rows[0][0], [name for _, _, name in rows]) if rows else ("", [])


def _cuda_of_driver() -> str:
    """The newest CUDA that the driver serves; asked of the driver, which needs no start for it."""
    import ctypes

    number = ctypes.c_int(0)
    try:
        if ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(number)) != 0:
            return ""
    except (OSError, AttributeError):
        return ""
    return f"{number.value // 1000}.{number.value % 1000 // 10}"


def _read(path: str, most: int) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(most).decode("utf-8", "replace")
    except OSError:
        return ""
