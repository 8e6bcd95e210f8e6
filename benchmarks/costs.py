"""How the time of a step grows, and where it goes; uncompiled, so that every operation has a name.

Writes benchmarks/results/<kind>-growth.json and -profile.json, for benchmarks/page.py.
"""

import torch
from bench import WARM_UP, Side, facts, save, spread
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from worker import EXPERIMENTS, VOCABULARY, dataset, experiment, ours

SWEEPS = {
    # what grows: (case, setting, values)
    "depth": ("vit-2", "model.depth", [2, 4, 6, 8, 12]),
    "batch": ("vit-2", "batch_size", [32, 64, 128, 256, 512, 1024]),
    "sequence": ("lstm-1", "sequence_length", [64, 128, 256, 512]),
    "vocabulary": ("lstm-1", "vocabulary", [5_000, 10_000, 20_000, 40_479]),
}
ROUNDS, STEPS = 4, 40 if torch.cuda.is_available() else 2
PROFILED = 3  # steps


def sweep(case: str, setting: str, values: list[int]) -> dict:
    """Time steps of ours while one setting grows, all values in turn."""
    plain = {} if case.startswith("lstm") else {"compile": False}
    sides = {value: Side("ours", case, plain | {setting: value}) for value in values}
    for side in sides.values():
        side.take(WARM_UP, keep=False)
    for _ in range(ROUNDS):
        for side in sides.values():
            side.take(STEPS)
    points = []
    for value, side in sides.items():
        side.close()
        points.append({"value": value, "seconds": spread(side.seconds)[1]})
        print(f"{case}  {setting} {value}: {1e3 * points[-1]['seconds']:.4g} ms", flush=True)
    return {"case": case, "points": points}


def costs(case: str) -> list[tuple[str, float]]:
    """Return the five operations that take most of a step of ours, with their share."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    settings = experiment(case, {}) | {"compile": False}
    table = None
    if settings["family"] == "lstm":
        table = torch.randn(VOCABULARY, settings["model"]["embedding_size"], device=device) * 0.1
    step = ours(settings, dataset(settings, VOCABULARY), table, device, recorded=False)
    step()
    activities, key = [ProfilerActivity.CPU], "self_cpu_time_total"
    if device.type == "cuda":
        torch.cuda.synchronize()  # or kernels of the step before would count
        activities, key = [*activities, ProfilerActivity.CUDA], "self_device_time_total"
    with profile(activities=activities) as trace:
        for _ in range(PROFILED):
            step()
    # Rows of operations, which hold the time of their kernels; kernels have rows of their own too.
    rows = [row for row in trace.key_averages() if row.device_type == DeviceType.CPU]
    spent = {row.key: getattr(row, key) for row in rows}
    largest = sorted(spent, key=lambda name: -spent[name])[:5]
    return [(name, spent[name] / sum(spent.values())) for name in largest]


def main() -> None:
    result = facts()
    save(result | {"sweeps": {name: sweep(*plan) for name, plan in SWEEPS.items()}}, "growth")
    save(result | {"costs": {case: costs(case) for case in EXPERIMENTS}}, "profile")


if __name__ == "__main__":
    main()
