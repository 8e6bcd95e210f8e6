"""How much memory a training job takes, by every measure there is."""

import os
import re
import resource
import sys
from pathlib import Path

import torch

from trainstudy import nvml


def forget_peaks(device: torch.device) -> None:
    """Let the peaks of PyTorch's allocator begin anew, where the device has one.

    That of reserved memory begins with what is reserved now, by whatever was computed before.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peaks(device: torch.device) -> dict[str, int | None]:
    """Return the peaks of PyTorch's allocator since they were last forgotten, in bytes.

    memory_allocated: in tensors. memory_reserved: that and what the allocator keeps for later.
    None without a GPU.
    """
    cuda = device.type == "cuda"
    return {
        "memory_allocated": torch.cuda.max_memory_allocated(device) if cuda else None,
        "memory_reserved": torch.cuda.max_memory_reserved(device) if cuda else None,
    }


def standing(device: torch.device) -> dict[str, int | None]:
    """Return what is taken now, or for the first of them at most, in bytes.

    memory_resident: peak of the whole process in main memory, with interpreter and libraries.
    memory_process: this process on the GPU as the driver counts it (NVML, what nvidia-smi shows):
    reserved memory, CUDA's context and loaded kernels. memory_device: everything taken on the GPU,
    other processes included. None where it cannot be told.
    """
    cuda = device.type == "cuda"
    free, total = torch.cuda.mem_get_info(device) if cuda else (0, 0)
    return {
        "memory_resident": resident_peak(),
        "memory_process": _of_process(device),
        "memory_device": total - free if cuda else None,
    }


def resident_peak() -> int:
    """Return the peak of this process in main memory, in bytes."""
    if sys.platform == "linux":  # whose getrusage begins with the peak of whoever started a process
        status = Path("/proc/self/status").read_text()
        if peak := re.search(r"VmHWM:\s+(\d+) kB", status):
            return int(peak[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _of_process(device: torch.device) -> int | None:
    """Ask the driver; None too in a container that hides the numbers of processes."""
    processes = nvml.ask(device, "nvmlDeviceGetComputeRunningProcesses") or []
    return next((one.usedGpuMemory for one in processes if one.pid == os.getpid()), None)
