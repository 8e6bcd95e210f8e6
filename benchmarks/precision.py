"""Does the fast path learn what the textbook learns? An epoch or more of each case, several seeds.

In float32, in bfloat16, and, for images, with the published augmentation, that of torchvision, one
image at a time, in the precision that the machine is fast in. Reads prepared data (`snakemake
data/prepared/cifar10.safetensors` makes them) and adds what it measured to
benchmarks/results/<kind>-precision.json, so that it can be run seed by seed.
"""

import argparse
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import textbook
import torch
from bench import ROOT, facts, results_file, save
from worker import experiment

from trainstudy import arrays, compilation, models, optimizers, run
from trainstudy.arrays import Dataset
from trainstudy.step import try_batches
from trainstudy.tasks import TASKS, Task, stream

# The text ships inside Python and is short: small batches give an epoch of about 100 steps.
PYDOCS = {"dataset": "pydocs", "model.embedding": "learned", "batch_size": 4}
CASES = {"vit-2": {}, "vit-6": {}, "resnet": {}, "lstm-1": PYDOCS, "lstm-4": PYDOCS}
VARIANTS = {"fp32": "fp32", "bf16": "bf16", "per image": "auto"}  # by name, their precision
STEPS = 100  # after which the loss is compared: the mean over the last ten of them


def batches(task: Task, dataset: Dataset, variant: str, epochs: int) -> Iterator:
    """Return the batches of all epochs."""
    if variant != "per image":
        return itertools.chain.from_iterable(task.batches(epoch + 1) for epoch in range(epochs))
    pixels, labels = dataset.arrays["train.images"], dataset.arrays["train.labels"]
    means = dataset.manifest["mean"], dataset.manifest["deviation"]
    images = textbook.Photographs(pixels, labels, *means)
    return itertools.islice(
        textbook.image_batches(images, task.batch_size, task.device), epochs * task.steps
    )


def learn(case: str, variant: str, seed: int, epochs: int, prepared: Path) -> dict:
    """Train; return the loss around step 100 and the validation score at the end."""
    settings = experiment(case, CASES[case] | {"precision": VARIANTS[variant]})
    run.choose_algorithms(settings, deterministic=False)
    dataset = arrays.load(prepared / f"{settings['dataset']}.safetensors")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(stream(seed, 0, "initialisation").initial_seed())
    model = models.build(settings["family"], settings["model"], dataset.manifest).to(device)
    task = TASKS[dataset.manifest["kind"]](dataset, settings, seed, device)
    optimizer = optimizers.build(settings["optimizer"], model)
    learner = compilation.compiled(model) if settings.get("compile") else model
    try_batches(task, learner)
    model.train()
    losses = torch.zeros(epochs * task.steps, device=device)
    for step, batch in enumerate(batches(task, dataset, variant, epochs)):
        objective, _ = task.loss(learner, batch)
        optimizer.zero_grad(set_to_none=True)
        objective.backward()
        optimizer.step()
        losses[step] = objective.detach()
    scores = task.evaluate(model, "validation")
    measure = "accuracy" if "accuracy" in scores else "perplexity"
    return {
        "precision": settings["precision"],
        "data": f"{settings['dataset']} ({dataset.manifest['origin']})",
        "measure": measure,
        "loss": losses[:STEPS][-10:].mean().item(),
        "validation": scores[measure],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=list(CASES))
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--prepared", type=Path, default=ROOT / "data" / "prepared")
    chosen = parser.parse_args()
    file = results_file("precision")
    kept = json.loads(file.read_text()) if file.exists() else {"runs": {}}
    found = kept["runs"]
    for case in chosen.cases:
        for seed in chosen.seeds:
            for variant in chosen.variants:
                if variant == "per image" and case.startswith("lstm"):
                    continue
                result = learn(case, variant, seed, chosen.epochs, chosen.prepared)
                result["taken"] = facts()
                row = case if chosen.epochs == 1 else f"{case}, {chosen.epochs} epochs"
                found.setdefault(row, {}).setdefault(variant, {})[str(seed)] = result
                print(
                    f"{row} seed {seed} {variant}: loss {result['loss']:.4f}, "
                    f"validation {result['measure']} {result['validation']:.4f}",
                    flush=True,
                )
                save(kept, "precision")


if __name__ == "__main__":
    main()
