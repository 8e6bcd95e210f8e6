"""One training job with the whole machine, or several side by side?

On the CPU one job with all cores against one job a core; on a GPU one, two and four jobs on the
card, and with --mps two and four through NVIDIA's Multi-Process Service, which lets kernels of
several processes run at once. Prints and writes the steps per second of all jobs together,
arrangements taken in turn.
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import torch
from bench import WARM_UP, Side, facts, measured, save

CASES = {"vit-2": 20, "resnet": 20, "lstm-1": 2}  # steps of a job in one turn
ROUNDS = 5


class Arrangement(NamedTuple):
    """So many jobs, with so many threads each, in an environment."""

    jobs: int
    threads: int | None = None
    environment: dict[str, str] | None = None


def arrangements(mps: dict[str, str] | None) -> dict[str, Arrangement]:
    """Return arrangements by name; `mps` is the environment of a running Multi-Process Service."""
    if not torch.cuda.is_available():
        cores = len(os.sched_getaffinity(0))
        alone, beside = Arrangement(1, cores), Arrangement(cores, 1)
        return {f"1 job, {cores} threads": alone, f"{cores} jobs, 1 thread": beside}
    found = {f"{jobs} on the card": Arrangement(jobs) for jobs in (1, 2, 4)}
    if mps:
        found |= {f"{jobs} through MPS": Arrangement(jobs, environment=mps) for jobs in (2, 4)}
    return found


@contextmanager
def service() -> Iterator[dict[str, str]]:
    """Run the Multi-Process Service and yield the environment of its clients."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        names = ("CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY")
        environment = dict.fromkeys(names, folder)
        control = ["nvidia-cuda-mps-control"]
        subprocess.run([*control, "-d"], env=os.environ | environment, check=True)
        try:
            yield environment
        finally:
            subprocess.run(control, input="quit\n", text=True, env=os.environ | environment)


def turn(sides: list[Side], steps: int) -> float:
    """Let all jobs take steps at once; return the steps per second of all together."""
    began = time.perf_counter()
    for side in sides:
        side.ask(steps)
    for side in sides:
        side.hear()
    return len(sides) * steps / (time.perf_counter() - began)


def compare(case: str, steps: int, mps: dict[str, str] | None) -> dict[str, float]:
    """Return the median steps per second of every arrangement."""
    if torch.cuda.is_available():
        steps *= 20
    teams = {
        name: [
            Side("ours", case, threads=plan.threads, environment=plan.environment)
            for _ in range(plan.jobs)
        ]
        for name, plan in arrangements(mps).items()
    }
    for team in teams.values():
        for side in team:
            side.take(WARM_UP, keep=False)
    rates: dict[str, list[float]] = {name: [] for name in teams}
    for _ in range(ROUNDS):
        for name, team in teams.items():
            rates[name].append(turn(team, steps))
    for team in teams.values():
        for side in team:
            side.close()
    return {name: statistics.median(found) for name, found in rates.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=list(CASES))
    parser.add_argument("--mps", action="store_true", help="NVIDIA's Multi-Process Service, too")
    chosen = parser.parse_args()
    taken = facts() | {"mps": chosen.mps}  # cases of other arrangements make no table together
    result = taken | {"cases": measured(taken, "sharing")}
    with service() if chosen.mps else nullcontext() as mps:
        for case in chosen.cases:
            result["cases"][case] = found = compare(case, CASES[case], mps)
            alone, *others = found.items()
            print(
                f"{case}: {alone[0]} {alone[1]:.2f} steps/s",
                *(f"{name} {rate:.2f} ({rate / alone[1]:.2f}×)" for name, rate in others),
                sep=", ",
                flush=True,
            )
            save(result, "sharing")  # at once: time may run out


if __name__ == "__main__":
    main()
