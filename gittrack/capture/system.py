"""What the machine is doing: processor, memory, disk, network, NVIDIA GPUs, as MLflow names it.

Every answer is asked for by itself: one that cannot be had is left out, and the others stay. No
thread is started and nothing is imported here; psutil and pynvml are passed in.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

_CGROUPS = "/sys/fs/cgroup"
#: More than any machine has: cgroup v1 writes "no limit" as a number near 2^63.
_NO_LIMIT = 1 << 60


class Nvml(Protocol):
    """The part of pynvml that is used here."""

    NVMLError: type[Exception]
    NVML_ERROR_NOT_SUPPORTED: int

    def nvmlInit(self) -> object: ...
    def nvmlDeviceGetCount(self) -> int: ...
    def nvmlDeviceGetHandleByIndex(self, index: int, /) -> Any: ...
    def nvmlDeviceGetUUID(self, handle: Any, /) -> str: ...
    def nvmlDeviceGetUtilizationRates(self, handle: Any, /) -> Any: ...
    def nvmlDeviceGetMemoryInfo(self, handle: Any, /) -> Any: ...
    def nvmlDeviceGetPowerUsage(self, handle: Any, /) -> int: ...
    def nvmlDeviceGetEnforcedPowerLimit(self, handle: Any, /) -> int: ...


class Sample(NamedTuple):
    """What was read at one moment, by name without `system/`.

    `totals` only grow: megabytes since the probe was made. `troubles` are what could not be read,
    each said once.
    """

    values: Mapping[str, float]
    totals: Mapping[str, float]
    troubles: tuple[str, ...] = ()


class Probe:
    """Reads this machine; for one thread, which owns it.

    Args:
        psutil: the module; any of its functions may fail.
        nvml: the module pynvml; None leaves GPUs out.
        folder: whose disk is looked at.
        pid: the process whose own share is told; None for none.
        visible: CUDA_VISIBLE_DEVICES, if it is set: only those GPUs are read.
        cgroups: where control groups are mounted, and what /proc/self/cgroup says of ours.
    """

    def __init__(
        self,
        psutil: Any,
        nvml: Nvml | None,
        *,
        folder: str = "/",
        pid: int | None = None,
        visible: str | None = None,
        cgroups: tuple[str, str] | None = None,
    ) -> None:
        self._psutil = psutil
        self._folder = folder
        self._pid = pid
        self._process: Any = None
        self._limit = _find_limit(*(cgroups or (_CGROUPS, _read("/proc/self/cgroup"))))
        self._last: dict[str, float] = {}
        self._totals: dict[str, float] = {}
        self._said: set[str] = set()
        self._troubles: list[str] = []
        self._gpus = _Gpus(nvml, visible, self._say)

    def sample(self) -> Sample:
        """What the machine does now; of processors, since the sample before.

        The first one holds none of a processor: there is nothing before it.
        """
        values: dict[str, float] = {}
        parts: tuple[tuple[str, Callable[[], Mapping[str, float]]], ...] = (
            ("processors", self._cpu),
            ("memory", self._memory),
            ("the disk", self._disk),
            ("this process", self._own),
        )
        for what, read in parts:
            try:
                values.update(read())
            except Exception as error:
                self._say(f"{what} cannot be read", error)
        for what, count in (("network traffic", self._network), ("disk traffic", self._disk_io)):
            try:
                self._count(count())
            except Exception as error:
                self._say(f"{what} cannot be read", error)
        values.update(self._gpus.read())
        troubles, self._troubles = tuple(self._troubles), []
        return Sample(
            {key: round(value, 1) for key, value in values.items()}, dict(self._totals), troubles
        )

    def _say(self, what: str, error: Exception) -> None:
        if what not in self._said:
            self._said.add(what)
            self._troubles.append(f"system metrics: {what}: {_short(error)}")

    def _cpu(self) -> dict[str, float]:
        percent = self._psutil.cpu_percent(interval=None)
        is_first = "cpu" not in self._last
        self._last["cpu"] = percent
        return {} if is_first else {"cpu_utilization_percentage": percent}

    def _memory(self) -> dict[str, float]:
        found = self._psutil.virtual_memory()
        used, total = found.total - found.available, found.total
        if self._limit is not None and self._limit.bytes < total:
            # In a container what ends the process is the group's limit, not the machine's.
            used, total = self._limit.used(), self._limit.bytes
        return {
            "system_memory_usage_megabytes": used / 1e6,
            "system_memory_usage_percentage": 100 * used / total,
        }

    def _disk(self) -> dict[str, float]:
        found = self._psutil.disk_usage(self._folder)
        return {
            "disk_usage_megabytes": found.used / 1e6,
            "disk_available_megabytes": found.free / 1e6,
            "disk_usage_percentage": found.percent,
        }

    def _own(self) -> dict[str, float]:
        if self._pid is None:
            return {}
        is_first = self._process is None
        if is_first:
            self._process = self._psutil.Process(self._pid)
        percent = self._process.cpu_percent(interval=None)
        memory = {"process_memory_usage_megabytes": self._process.memory_info().rss / 1e6}
        return memory if is_first else {**memory, "process_cpu_utilization_percentage": percent}

    def _network(self) -> dict[str, float]:
        # nowrap=True takes a lock of psutil's, which a child forked meanwhile would never get.
        found = self._psutil.net_io_counters(pernic=True, nowrap=False)
        cards = [card for name, card in found.items() if name not in ("lo", "lo0")]
        return {
            "network_receive_megabytes": sum(card.bytes_recv for card in cards),
            "network_transmit_megabytes": sum(card.bytes_sent for card in cards),
        }

    def _disk_io(self) -> dict[str, float]:
        found = self._psutil.disk_io_counters(nowrap=False)
        if found is None:  # some containers show no disk
            return {}
        return {
            "disk_read_megabytes": found.read_bytes,
            "disk_write_megabytes": found.write_bytes,
        }

    def _count(self, counters: Mapping[str, float]) -> None:
        for key, now in counters.items():
            # A counter that wraps, or a card that is unplugged, takes nothing back.
            grown = max(0.0, now - self._last.get(key, now))
            self._last[key] = now
            self._totals[key] = self._totals.get(key, 0.0) + grown / 1e6


class _Gpus:
    """The GPUs that the driver shows; a sick one is left out from then on."""

    def __init__(
        self, nvml: Nvml | None, visible: str | None, say: Callable[[str, Exception], None]
    ) -> None:
        self._nvml = nvml
        self._visible = visible
        self._say = say
        self._handles: dict[int, Any] | None = None

    def read(self) -> dict[str, float]:
        nvml = self._nvml
        if nvml is None:
            return {}
        if self._handles is None:
            self._handles = self._open(nvml)
        values: dict[str, float] = {}
        for index, handle in list(self._handles.items()):
            try:
                values.update(self._read_one(nvml, index, handle))
            except Exception as error:
                del self._handles[index]
                self._say(f"GPU {index} is no longer read", error)
        return values

    def _open(self, nvml: Nvml) -> dict[int, Any]:
        try:
            nvml.nvmlInit()
            count = nvml.nvmlDeviceGetCount()
        except Exception as error:
            self._say("GPUs cannot be read", error)
            return {}
        handles = {}
        for index in range(count):
            try:
                handle = nvml.nvmlDeviceGetHandleByIndex(index)
                if is_visible(self._visible, index, nvml.nvmlDeviceGetUUID(handle)):
                    handles[index] = handle
            except Exception as error:
                self._say(f"GPU {index} cannot be read", error)
        return handles

    def _read_one(self, nvml: Nvml, index: int, handle: Any) -> Iterator[tuple[str, float]]:
        """What one GPU has to tell.

        Raises:
            NVMLError: it is gone.
        """
        gpu = f"gpu_{index}"
        load = self._ask(nvml, nvml.nvmlDeviceGetUtilizationRates, handle)
        if load is not None:
            yield f"{gpu}_utilization_percentage", load.gpu
        memory = self._ask(nvml, nvml.nvmlDeviceGetMemoryInfo, handle)
        if memory is not None:
            yield f"{gpu}_memory_usage_megabytes", memory.used / 1e6
            if memory.total:
                yield f"{gpu}_memory_usage_percentage", 100 * memory.used / memory.total
        power = self._ask(nvml, nvml.nvmlDeviceGetPowerUsage, handle)
        if power is not None:
            yield f"{gpu}_power_usage_watts", power / 1000
            limit = self._ask(nvml, nvml.nvmlDeviceGetEnforcedPowerLimit, handle)
            if limit:
                yield f"{gpu}_power_usage_percentage", 100 * power / limit

    def _ask(self, nvml: Nvml, question: Callable[[Any], Any], handle: Any) -> Any:
        """The answer; None from a GPU that never has one, as slices of a GPU and laptops."""
        try:
            return question(handle)
        except nvml.NVMLError as error:
            if getattr(error, "value", None) == nvml.NVML_ERROR_NOT_SUPPORTED:
                return None
            raise


def is_visible(visible: str | None, index: int, uuid: str | bytes) -> bool:
    """Whether CUDA_VISIBLE_DEVICES lets a GPU be used; what it cannot tell is visible.

    It holds indices, or the beginnings of ids such as `GPU-8f2c`; all after a wrong one is hidden.
    """
    if visible is None:
        return True
    names = [name.strip() for name in visible.split(",")]
    if any(name.startswith("MIG-") for name in names):
        return True
    text = uuid.decode("ascii", "replace") if isinstance(uuid, bytes) else uuid
    for name in names:
        if name.startswith("GPU-"):
            if text.startswith(name):
                return True
        elif not name.isdigit():
            return False
        elif int(name) == index:
            return True
    return False


# -- control groups ------------------------------------------------------------------------


class _Limit(NamedTuple):
    """The tightest limit on the memory of our control groups, and where it is written."""

    bytes: int
    folder: str
    usage: str

    def used(self) -> int:
        """The bytes that count: cached files that nobody needs are given back at once."""
        text = _read(os.path.join(self.folder, "memory.stat"))
        fields = dict(line.split(" ", 1) for line in text.splitlines() if " " in line)
        idle = fields.get("total_inactive_file", fields.get("inactive_file", "0"))
        return max(0, int(_read(os.path.join(self.folder, self.usage))) - int(idle))


def _find_limit(mount: str, groups: str) -> _Limit | None:
    """The tightest limit of our groups and those above, of version 2 and 1; None if there is none.

    Args:
        groups: lines of /proc/self/cgroup: `0::/path`, or `4:memory:/path`.
    """
    found = []
    for line in groups.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            top, names = mount, ("memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
            top = os.path.join(mount, "memory")
        else:
            continue
        parts = [part for part in path.split("/") if part and part != ".."]
        for depth in range(len(parts), -1, -1):
            # In a container the path is the host's, and the group itself is at the top.
            folder = os.path.join(top, *parts[:depth])
            text = _read(os.path.join(folder, names[0])).strip()
            if text.isdigit() and int(text) < _NO_LIMIT:
                found.append(_Limit(int(text), folder, names[1]))
    return min(found, default=None, key=lambda limit: limit.bytes)


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(100_000).decode("utf-8", "replace")
    except OSError:
        return ""


def _short(error: Exception) -> str:
    text = str(error).partition("\n")[0][:200]
    return text or type(error).__name__
