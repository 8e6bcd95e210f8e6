"""What the driver of a GPU tells, through NVML; what nvidia-smi shows comes from there too."""

from typing import Any

import torch

from trainstudy.gpu import Claim


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
    """Return the energy that a GPU has taken since its driver was loaded, in joules."""
    millijoules = ask(device, "nvmlDeviceGetTotalEnergyConsumption")
    return None if millijoules is None else millijoules / 1000


class Meter:
    """What a run takes of its GPU's energy over all its parts, and whether others were on it."""

    def __init__(self, device: torch.device, card: Claim | None) -> None:
        self.device, self.card, self.shared = device, card, False
        self._before: float | None = 0.0  # joules of the parts before
        self._start = energy(device)

    def read(self) -> dict[str, Any]:
        """Return the energy so far (joules, None where that of a part is not known) and shared."""
        now, total = energy(self.device), None
        if now is not None and self._start is not None and self._before is not None:
            total = self._before + now - self._start
        self.shared = self.shared or (self.card is not None and self.card.look())
        return {"energy": total, "shared": self.shared}

    def go_on(self, found: dict[str, Any]) -> None:
        """Go on, from now, with what `read` returned in the part before."""
        self._before, self.shared = found["energy"], found["shared"]
        self._start = energy(self.device)
