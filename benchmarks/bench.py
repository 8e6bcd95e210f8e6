"""Time training steps against the textbook's, both sides in turn, and write the table.

`make bench` runs it on the CPU, benchmarks/on_gpu.sh on a GPU. It prints a line for each case and
writes benchmarks/results/<kind>-speed.json, from which benchmarks/page.py fills the page.
"""

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode
from worker import EXPERIMENTS, ROOT, VOCABULARY, dataset, experiment, ours

from trainstudy import precision, provenance
from trainstudy.step import WARM_UP_STEPS

HERE = Path(__file__).parent
# Steps of one turn (textbook, ours), so that a turn takes some seconds on two cores.
TURNS = {"vit-2": (6, 30), "vit-6": (3, 12), "resnet": (8, 30), "lstm-1": (1, 3), "lstm-4": (1, 3)}
WARM_UP = WARM_UP_STEPS + 2  # steps; on a GPU one of ours is recorded after the first few
# As workflow/rules/common.smk sets them for every job.
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": "67108864",
    "MALLOC_TRIM_THRESHOLD_": "10000000000",
    "MALLOC_TOP_PAD_": "268435456",
}


class Side:
    """A worker process that takes steps when told to."""

    def __init__(
        self,
        side: str,
        case: str,
        changes: dict | None = None,
        threads: int | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), side, case, json.dumps(changes or {})],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=os.environ
            | (ALLOCATOR if side == "ours" else {})
            | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
            | (environment or {}),
        )  # fmt: skip
        self.seconds: list[float] = []
        self.memory = 0

    def take(self, steps: int, keep: bool = True) -> None:
        """Take steps; their times count unless this is a warm-up."""
        self.ask(steps)
        self.hear(keep)

    def ask(self, steps: int) -> None:
        """Have the worker take steps, without waiting for it."""
        assert self.process.stdin
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()

    def hear(self, keep: bool = True) -> None:
        """Wait for the steps asked for; their times count if they are to be kept."""
        assert self.process.stdout
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the benchmark's worker {self.process.args!r} died")
        result = json.loads(answer)
        self.memory = result["memory"]
        if keep:
            self.seconds += result["seconds"]

    def close(self) -> None:
        """End the worker."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(timeout=60)


def compare(case: str, rounds: int) -> dict:
    """Run both sides of a case in turn and return what was measured."""
    sides = {"textbook": Side("textbook", case), "ours": Side("ours", case)}
    longer = 10 if torch.cuda.is_available() else 1
    steps = {side: longer * turn for side, turn in zip(sides, TURNS[case], strict=True)}
    for side in sides.values():
        side.take(WARM_UP, keep=False)
    for _ in range(rounds):
        for name, side in sides.items():
            side.take(steps[name])
    for side in sides.values():
        side.close()
    settings = experiment(case, {})
    units = settings["batch_size"] * settings.get("sequence_length", 1)
    flops = count_flops(case)
    found: dict[str, Any] = {
        "unit": "tokens" if "sequence_length" in settings else "images",
        "flops": flops,
    }
    for name, side in sides.items():
        low, middle, high = spread(side.seconds)
        found[name] = {
            "rate": [units / high, units / middle, units / low],
            "memory": side.memory,
        }
    found["ratio"] = statistics.median(sides["textbook"].seconds) / statistics.median(
        sides["ours"].seconds
    )
    found["achieved"] = flops / statistics.median(sides["ours"].seconds)
    return found


def spread(seconds: list[float]) -> tuple[float, float, float]:
    """Return minimum, median and maximum."""
    return min(seconds), statistics.median(seconds), max(seconds)


def count_flops(case: str) -> float:
    """Return the floating-point operations of one training step of ours, uncompiled.

    Counted by PyTorch, but for the LSTM kernel, which it does not know: 2 · 4H(E + H) a token and
    layer forward, and twice that backward. In bf16, where attention is written out: the fused
    kernel of a CPU it does not know either.
    """
    settings = experiment(case, {}) | {"precision": "bf16"}
    data = dataset(settings, VOCABULARY)
    table, extra = None, 0.0
    if settings["family"] == "lstm":
        table = torch.zeros(VOCABULARY, settings["model"]["embedding_size"])
        tokens = settings["batch_size"] * settings["sequence_length"]
        hidden, size = settings["model"]["hidden"], settings["model"]["embedding_size"]
        for layer in range(settings["model"]["layers"]):
            extra += 3 * 8 * hidden * ((hidden if layer else size) + hidden) * tokens
    step = ours(settings | {"compile": False}, data, table, torch.device("cpu"))
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops() + extra


def ceilings(device: torch.device) -> dict[str, float]:
    """Return what matrix products (operations per second) and copies (bytes per second) reach."""
    from torch.utils.benchmark import Timer

    size = 8192 if device.type == "cuda" else 2048
    found = {}
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.randn(size, size, device=device, dtype=dtype)
        taken = Timer("a @ a", globals={"a": a}, num_threads=torch.get_num_threads())
        name = str(dtype).removeprefix("torch.")
        found[name] = 2 * size**3 / taken.blocked_autorange(min_run_time=2).median
    block, target = torch.ones(1 << 26, device=device), torch.empty(1 << 26, device=device)
    taken = Timer("t.copy_(b)", globals={"b": block, "t": target})
    found["copy"] = 2 * 4 * block.numel() / taken.blocked_autorange(min_run_time=1).median
    return found


def facts() -> dict:
    """Return where and when a measurement is taken."""
    return {
        "date": datetime.date.today().isoformat(),
        "machine": provenance.machine(),
        "versions": provenance.versions(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
    }


def results_file(name: str) -> Path:
    """Return benchmarks/results/<kind>-<name>.json: cuda, cpu, or cpu-fp32 for one without bf16."""
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    if kind == "cpu" and precision.chosen("auto") == "fp32":
        kind = "cpu-fp32"
    return HERE / "results" / f"{kind}-{name}.json"


def save(result: dict, name: str) -> None:
    """Write a result to its file, results_file(name)."""
    file = results_file(name)
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(result, indent=2, sort_keys=True) + "\n")
    print(f"written: {file.relative_to(ROOT)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=list(EXPERIMENTS))
    parser.add_argument("--rounds", type=int, default=6, help="turns of each side")
    chosen = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    taken = facts() | {"precision": precision.chosen("auto")}
    result = taken | {"ceilings": ceilings(device), "cases": measured(taken, "speed")}
    for case in chosen.cases:
        result["cases"][case] = found = compare(case, chosen.rounds)
        print(row(case, found), flush=True)
        save(result, "speed")  # at once: the next case may run into a limit of time


def measured(taken: dict, name: str) -> dict:
    """Return the cases that an earlier call measured in the same place on the same day."""
    file = results_file(name)
    earlier = json.loads(file.read_text()) if file.exists() else {}
    return earlier["cases"] if taken.items() <= earlier.items() else {}


def row(case: str, found: dict) -> str:
    """Return one line of the printed table."""
    texts = []
    for side in ("textbook", "ours"):
        low, middle, high = found[side]["rate"]
        texts.append(
            f"{side} {low:,.0f}–{middle:,.0f}–{high:,.0f} {found['unit']}/s, "
            f"{found[side]['memory'] / 2**20:,.0f} MiB"
        )
    return f"{case:7} ratio {found['ratio']:.2f}  {'  |  '.join(texts)}"


if __name__ == "__main__":
    main()
