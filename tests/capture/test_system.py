"""What the machine tells, and what becomes of the rest when a part of it does not answer."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from gittrack.capture.system import Probe, is_visible

#: As MLflow names them.
MLFLOW = {
    "cpu_utilization_percentage",
    "system_memory_usage_megabytes",
    "system_memory_usage_percentage",
    "disk_usage_megabytes",
    "disk_usage_percentage",
    "disk_available_megabytes",
    "network_receive_megabytes",
    "network_transmit_megabytes",
}


class NVMLError(Exception):
    def __init__(self, value: int) -> None:
        super().__init__({3: "Not Supported", 15: "GPU is lost"}[value])
        self.value = value


class Nvml:
    """pynvml over two GPUs; `sick` are questions that fail, by name and index."""

    NVMLError = NVMLError
    NVML_ERROR_NOT_SUPPORTED = 3

    def __init__(self, sick: dict[tuple[str, int], int] | None = None) -> None:
        self.sick = sick or {}
        self.asked: list[str] = []

    def answer(self, what: str, index: int, value: Any) -> Any:
        self.asked.append(what)
        if (what, index) in self.sick:
            raise NVMLError(self.sick[what, index])
        return value

    def nvmlInit(self) -> None:
        self.answer("init", 0, None)

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return int(self.answer("handle", index, index))

    def nvmlDeviceGetUUID(self, handle: int) -> str:
        return f"GPU-{handle}{handle}{handle}"

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:
        return self.answer("load", handle, SimpleNamespace(gpu=40 + handle))

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:
        return self.answer("memory", handle, SimpleNamespace(used=2_000_000, total=8_000_000))

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:
        return int(self.answer("power", handle, 150_000))

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: int) -> int:
        return int(self.answer("limit", handle, 300_000))


class Broken:
    """psutil with some of its functions replaced."""

    def __init__(self, **functions: Any) -> None:
        self.__dict__.update(functions)

    def __getattr__(self, name: str) -> Any:
        return getattr(psutil, name)


def denied(*args: Any, **options: Any) -> Any:
    raise psutil.AccessDenied(1)


def test_the_names_are_mlflows_and_the_values_possible() -> None:
    probe = Probe(psutil, None, pid=psutil.Process().pid)
    first = probe.sample()
    assert "cpu_utilization_percentage" not in first.values  # nothing was before it
    assert set(first.totals.values()) <= {0.0}
    sample = probe.sample()
    found = {**sample.values, **sample.totals}
    assert found.keys() >= MLFLOW
    assert all(0 <= found[key] <= 100 for key in MLFLOW if key.endswith("_percentage"))
    assert 1 < found["process_memory_usage_megabytes"] < found["system_memory_usage_megabytes"] * 50
    assert sample.troubles == ()


def test_what_does_not_answer_is_left_out_and_said_once() -> None:
    broken = Broken(
        virtual_memory=denied, net_io_counters=denied, disk_io_counters=lambda **_: None
    )
    probe = Probe(broken, None, folder="/nonexistent")
    first, second = probe.sample(), probe.sample()
    assert [text.partition(":")[2].split(" cannot")[0].strip() for text in first.troubles] == [
        "memory", "the disk", "network traffic",
    ]  # fmt: skip
    assert second.troubles == ()
    assert set(second.values) == {"cpu_utilization_percentage"}
    assert second.totals == {}


def test_traffic_is_counted_from_the_start_and_takes_nothing_back() -> None:
    counts = iter([(10, 900), (14, 900), (2, 900), (5, 900)])

    def cards(**_: Any) -> dict[str, Any]:
        sent, local = (megabytes * 1_000_000 for megabytes in next(counts))
        card = SimpleNamespace(bytes_sent=sent, bytes_recv=0)
        return {"eth0": card, "lo": SimpleNamespace(bytes_sent=local, bytes_recv=local)}

    probe = Probe(Broken(net_io_counters=cards), None)
    sent = [probe.sample().totals["network_transmit_megabytes"] for _ in range(4)]
    assert sent == [0.0, 4.0, 4.0, 7.0]


def test_gpus_are_named_by_their_index() -> None:
    values = Probe(psutil, Nvml()).sample().values
    assert {key: value for key, value in values.items() if key.startswith("gpu_1")} == {
        "gpu_1_utilization_percentage": 41,
        "gpu_1_memory_usage_megabytes": 2.0,
        "gpu_1_memory_usage_percentage": 25.0,
        "gpu_1_power_usage_watts": 150.0,
        "gpu_1_power_usage_percentage": 50.0,
    }


def test_a_gpu_that_falls_off_the_bus_leaves_the_other_one() -> None:
    nvml = Nvml()
    probe = Probe(psutil, nvml)
    probe.sample()
    nvml.sick["memory", 0] = 15
    lost = probe.sample()
    assert lost.troubles == ("system metrics: GPU 0 is no longer read: GPU is lost",)
    nvml.asked.clear()
    after = probe.sample()
    assert after.troubles == () and nvml.asked.count("load") == 1
    assert not any(key.startswith("gpu_0") for key in after.values)
    assert "gpu_1_utilization_percentage" in after.values


def test_what_a_gpu_never_tells_is_left_out_in_silence() -> None:
    sample = Probe(psutil, Nvml({("load", 0): 3, ("power", 0): 3})).sample()
    assert sample.troubles == ()
    assert [key for key in sample.values if key.startswith("gpu_0")] == [
        "gpu_0_memory_usage_megabytes", "gpu_0_memory_usage_percentage",
    ]  # fmt: skip


def test_a_driver_that_does_not_answer_is_asked_once() -> None:
    nvml = Nvml({("init", 0): 15})
    probe = Probe(psutil, nvml)
    assert probe.sample().troubles == ("system metrics: GPUs cannot be read: GPU is lost",)
    probe.sample()
    assert nvml.asked == ["init"]


@pytest.mark.parametrize(
    ("visible", "seen"),
    [(None, [0, 1]), ("1", [1]), ("0, 1", [0, 1]), ("", []), ("-1", []), ("1,-1,0", [1]),
     ("GPU-11", [1]), ("MIG-1f", [0, 1])],
)  # fmt: skip
def test_only_gpus_that_the_process_may_use_are_read(visible: str | None, seen: list[int]) -> None:
    assert [n for n in (0, 1) if is_visible(visible, n, f"GPU-{n}{n}{n}")] == seen


@pytest.mark.parametrize("version", [1, 2])
def test_memory_is_judged_by_the_tightest_limit_of_the_control_groups(
    tmp_path: Path, version: int
) -> None:
    top = tmp_path if version == 2 else tmp_path / "memory"
    step = top / "job" / "step"
    step.mkdir(parents=True)
    limit, usage, idle, none = (
        ("memory.max", "memory.current", "inactive_file", "max")
        if version == 2
        else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file", str(2**63))
    )
    (step / limit).write_text(f"{none}\n")
    (step.parent / limit).write_text("8000000\n")
    (step.parent / usage).write_text("3000000\n")
    (step.parent / "memory.stat").write_text(f"cache 5\n{idle} 1000000\n")
    groups = "0::/job/step\n" if version == 2 else "5:cpu:/x\n4:memory,hugetlb:/job/step\n0::/\n"
    values = Probe(psutil, None, cgroups=(str(tmp_path), groups)).sample().values
    assert values["system_memory_usage_megabytes"] == 2.0
    assert values["system_memory_usage_percentage"] == 25.0
    values = Probe(psutil, None, cgroups=(str(tmp_path), "0::/elsewhere\n")).sample().values
    assert values["system_memory_usage_megabytes"] > 2.0
