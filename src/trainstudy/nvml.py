"""What the driver of a GPU tells, through NVML; what nvidia-smi shows comes from there too."""

from typing import Any

import torch


def ask(device: torch.device, question: str) -> Any:
    """Return what a function of NVML, such as nvmlDeviceGetName, says of a GPU.

    None without a GPU, without the package nvidia-ml-py, or where the driver does not tell.
    """
    if device.type != "cuda":
        return None
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        identity = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
        return getattr(pynvml, question)(pynvml.nvmlDeviceGetHandleByUUID(identity))
    except pynvml.NVMLError:
        return None


def energy(device: torch.device) -> float | None:
    """Return the energy that a GPU has taken since its driver was loaded, in joules.

    None, too, where it is divided (MIG), since the driver counts the energy of all parts together.
    """
    divided, _ = ask(device, "nvmlDeviceGetMigMode") or (0, 0)  # now, after the next reset
    if divided:
        return None
    millijoules = ask(device, "nvmlDeviceGetTotalEnergyConsumption")
    return None if millijoules is None else millijoules / 1000
