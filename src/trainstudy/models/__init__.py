"""The families of models: every module here is one and offers `build`.

build(settings, manifest, table) returns the nn.Module for the settings under `model`, fitted to the
data set that the manifest describes. `table` is the pretrained embedding, or None. CONTRIBUTING.md
says what else knows the families.
"""

import importlib

from torch import Tensor, nn


def build(family: str, settings: dict, manifest: dict, table: Tensor | None = None) -> nn.Module:
    """Return a freshly initialised model of a family; the global random state decides it."""
    return importlib.import_module(f"{__name__}.{family}").build(settings, manifest, table)


def parameter_counts(model: nn.Module) -> tuple[int, int]:
    """Return how many parameters are trained, and how many there are with the frozen ones."""
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    frozen = sum(buffer.numel() for name, buffer in model.named_buffers() if name == "table")
    return trained, trained + frozen
