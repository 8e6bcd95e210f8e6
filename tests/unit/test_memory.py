"""Measures of memory and energy. There is no GPU here: CUDA and its driver are stood in for."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from trainstudy import memory, nvml, records

GPU = torch.device("cuda", 0)


class NVMLError(Exception):
    pass


def driver(
    *processes: tuple[int, int | None],
    millijoules: int = 0,
    broken: bool = False,
    divided: bool | None = False,
) -> SimpleNamespace:
    """Return a stand-in for pynvml with processes (pid, bytes) on the GPU abcd.

    `broken`: it answers no question. `divided`: by MIG; None: a GPU that cannot be.
    """
    running = [SimpleNamespace(pid=pid, usedGpuMemory=size) for pid, size in processes]

    def telling(answer):
        def tell(handle: str):
            assert handle == "handle of GPU-abcd"
            if broken or answer is None:
                raise NVMLError
            return answer

        return tell

    return SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda name: f"handle of {name}",
        nvmlDeviceGetComputeRunningProcesses=telling(running),
        nvmlDeviceGetTotalEnergyConsumption=telling(millijoules),
        nvmlDeviceGetMigMode=telling(None if divided is None else [int(divided), 0]),
    )


@pytest.fixture
def cuda(monkeypatch):
    """Let torch.cuda answer as a GPU with 8 GB would, 3 GB of them taken."""
    answers = {
        "max_memory_allocated": 100, "max_memory_reserved": 200,
        "mem_get_info": (5 * 10**9, 8 * 10**9),
        "get_device_properties": SimpleNamespace(uuid="abcd"),
    }  # fmt: skip
    for name, answer in answers.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, answer=answer: answer)


def test_without_a_gpu_only_main_memory_is_measured():
    cpu = torch.device("cpu")
    memory.forget_peaks(cpu)
    assert set(memory.peaks(cpu).values()) == {None}
    found = memory.standing(cpu)
    assert found.pop("memory_resident") > 10 * 2**20
    assert set(found.values()) == {None}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells it there")
def test_main_memory_is_that_of_this_process_and_not_of_whoever_started_it(monkeypatch):
    inherited = SimpleNamespace(ru_maxrss=10**12)
    monkeypatch.setattr(memory.resource, "getrusage", lambda who: inherited)
    assert 10 * 2**20 < memory.resident_peak() < 10**12


@pytest.mark.parametrize(("system", "unit"), [("darwin", 1), ("freebsd14", 1024)])
def test_main_memory_is_in_bytes_on_every_system(monkeypatch, system, unit):
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(memory.resource, "getrusage", lambda who: SimpleNamespace(ru_maxrss=7))
    assert memory.resident_peak() == 7 * unit


def test_every_measure_has_its_column():
    cpu = torch.device("cpu")
    assert {*memory.peaks(cpu), *memory.standing(cpu)} <= {*records.RUNS.names}


def test_peaks_are_those_of_the_allocator(cuda):
    assert memory.peaks(GPU) == {"memory_allocated": 100, "memory_reserved": 200}


def test_peaks_begin_anew_on_the_gpu(monkeypatch):
    asked = []
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", asked.append)
    memory.forget_peaks(GPU)
    assert asked == [GPU]


def test_the_driver_is_asked_for_this_process(cuda, monkeypatch):
    others = driver((1, 10**9), (os.getpid(), 2 * 10**9), (3, 5))
    monkeypatch.setitem(sys.modules, "pynvml", others)
    found = memory.standing(GPU)
    assert found["memory_process"] == 2 * 10**9
    assert found["memory_device"] == 3 * 10**9


@pytest.mark.parametrize(
    "module",
    [
        None,  # not installed
        driver(broken=True),
        driver((1, 10**9)),  # a container that hides the numbers of processes
        driver((os.getpid(), None)),  # Windows does not tell
    ],
    ids=["absent", "broken", "hidden", "untold"],
)
def test_what_the_driver_does_not_tell_stays_empty(cuda, monkeypatch, module):
    monkeypatch.setitem(sys.modules, "pynvml", module)
    assert memory.standing(GPU)["memory_process"] is None


# Energy


@pytest.mark.usefixtures("cuda")
@pytest.mark.parametrize("divided", [False, None])
def test_energy_is_what_the_driver_counts_in_joules(monkeypatch, divided):
    monkeypatch.setitem(sys.modules, "pynvml", driver(millijoules=1_500, divided=divided))
    assert nvml.energy(GPU) == 1.5
    assert nvml.energy(torch.device("cpu")) is None


@pytest.mark.usefixtures("cuda")
def test_energy_of_a_divided_gpu_is_not_laid_on_one_run(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", driver(millijoules=1_500, divided=True))
    assert nvml.energy(GPU) is None


@pytest.mark.usefixtures("cuda")
@pytest.mark.parametrize("module", [None, driver(broken=True)], ids=["absent", "broken"])
def test_energy_that_the_driver_does_not_tell_stays_empty(monkeypatch, module):
    monkeypatch.setitem(sys.modules, "pynvml", module)
    assert nvml.energy(GPU) is None


PEAK = """
from trainstudy import memory
before = memory.resident_peak()
block = b"x" * (200 << 20)
del block
print(memory.resident_peak() - before)
"""


def test_the_peak_outlasts_what_was_given_back():
    environment = os.environ | {"PYTHONPATH": str(Path(memory.__file__).parents[1])}
    grown = int(subprocess.check_output([sys.executable, "-c", PEAK], env=environment))
    assert 198 << 20 < grown < 230 << 20
