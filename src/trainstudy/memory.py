"""How much memory a training job needed."""

import resource
import sys

import torch


def peaks(device: torch.device) -> dict[str, int | None]:
    """Return the peaks of this process so far, in bytes.

    memory_resident: resident memory of the whole process, with interpreter and libraries.
    memory_allocated, memory_reserved: of PyTorch's allocator on the GPU; None without one.
    """
    unit = 1 if sys.platform == "darwin" else 1024
    cuda = device.type == "cuda"
    return {
        "memory_resident": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
        "memory_allocated": torch.cuda.max_memory_allocated(device) if cuda else None,
        "memory_reserved": torch.cuda.max_memory_reserved(device) if cuda else None,
    }
