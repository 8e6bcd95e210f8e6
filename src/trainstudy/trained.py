"""A trained model, from the folder of its run."""

from pathlib import Path

import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file
from torch import nn

from trainstudy import arrays, models


def load(run: Path, prepared: Path = Path("data/prepared")) -> nn.Module:
    """Return the model of a run with the weights of its best epoch, ready to evaluate.

    `run` is the folder of an experiment and seed, `prepared` that of the prepared data sets. Raises
    FileNotFoundError for a file that is not there, and DataError for prepared data that are broken.
    """
    [facts] = pq.read_table(run / "run.parquet").to_pylist()
    settings = {
        name.removeprefix("model."): value
        for name, value in facts.items()
        if name.startswith("model.") and value is not None
    }
    table = None
    if settings.get("embedding") == "gpt1":  # frozen, hence not among the weights
        stored = arrays.load(prepared / "embedding/gpt1.safetensors")
        table = torch.from_numpy(stored.arrays["embedding"])
    manifest = arrays.read_manifest(prepared / f"{facts['dataset']}.json")
    model = models.build(facts["family"], settings, manifest, table)
    model.load_state_dict(load_file(run / "weights.safetensors"))
    return model.eval()
