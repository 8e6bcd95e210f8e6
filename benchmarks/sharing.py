"""One training job with the whole machine, or several side by side?

On the CPU one job with all cores against one job a core; on a GPU one, two and three jobs on the
card. Prints and writes the steps per second of all jobs together, arrangements taken in turn.
"""

import os
import statistics
import time

import torch
from bench import WARM_UP, Side, facts, save

CASES = {"vit-2": 20, "resnet": 20, "lstm-1": 2}  # steps of a job in one turn
ROUNDS = 5


def arrangements() -> dict[str, tuple[int, int | None]]:
    """Return (jobs, threads of each) by name."""
    if torch.cuda.is_available():
        return {f"{jobs} on the card": (jobs, None) for jobs in (1, 2, 3)}
    cores = len(os.sched_getaffinity(0))
    return {f"1 job, {cores} threads": (1, cores), f"{cores} jobs, 1 thread": (cores, 1)}


def turn(sides: list[Side], steps: int) -> float:
    """Let all jobs take steps at once; return the steps per second of all together."""
    began = time.perf_counter()
    for side in sides:
        side.ask(steps)
    for side in sides:
        side.hear()
    return len(sides) * steps / (time.perf_counter() - began)


def compare(case: str, steps: int) -> dict[str, float]:
    """Return the median steps per second of every arrangement."""
    if torch.cuda.is_available():
        steps *= 20
    teams = {
        name: [Side("ours", case, threads=threads) for _ in range(jobs)]
        for name, (jobs, threads) in arrangements().items()
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
    found = {}
    for case, steps in CASES.items():
        found[case] = compare(case, steps)
        alone, *others = found[case].items()
        print(
            f"{case}: {alone[0]} {alone[1]:.2f} steps/s",
            *(f"{name} {rate:.2f} ({rate / alone[1]:.2f}×)" for name, rate in others),
            sep=", ",
            flush=True,
        )
    save(facts() | {"cases": found}, "sharing")


if __name__ == "__main__":
    main()
