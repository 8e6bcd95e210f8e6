"""Experiments with a grid: each stands for one experiment per combination of the values in it.

    vit-sgd: {base: vit, grid: {optimizer.lr: [3.0e-3, 0.3], epochs: [10, 30]}}

is vit-sgd-lr-3e-3-epochs-10, vit-sgd-lr-3e-3-epochs-30, vit-sgd-lr-3e-1-epochs-10 and …-30.
"""

import itertools
import math
import re
from decimal import Decimal

MEMBERS, TOTAL = 1_000, 10_000  # of one grid, and of all


def expanded(experiments: dict[str, dict]) -> dict[str, dict]:
    """Return the experiments by name, the members of a grid in place of the one that has it."""
    return {name: one for owner in experiments for name, one in members(owner, experiments[owner])}


def owners(experiments: dict[str, dict]) -> dict[str, str]:
    """Return under which name of the configuration each experiment stands."""
    return {name: owner for owner in experiments for name, _ in members(owner, experiments[owner])}


def members(owner: str, experiment: dict) -> list[tuple[str, dict]]:
    """Return (name, experiment) of every combination, in the order written; without a grid itself.

    Names of members may be taken, or none at all: who reads the configuration looks at that.
    """
    grid = experiment.get("grid", {})
    plain = {key: value for key, value in experiment.items() if key != "grid"}
    found = []
    for values in itertools.product(*grid.values()):
        name, member = owner, plain
        for key, value in zip(grid, values, strict=True):
            name += f"-{_word(key.split('.')[-1])}-{_word(value)}"
            member = _with(member, key.split("."), value)
        found.append((name, member))
    return found


def count(experiment: dict) -> int:
    """Return how many experiments an entry of the configuration stands for."""
    return math.prod(len(values) for values in experiment.get("grid", {}).values())


def misfits(grid: dict[str, list]) -> list[tuple[tuple, str]]:
    """Return the (path, message) of what a schema does not see in a grid."""
    found: list[tuple[tuple, str]] = []
    for key, values in grid.items():
        seen = {(isinstance(value, bool), value) for value in values}  # for Python, 1 is True
        if len(seen) < len(values):
            found.append(((key,), f"{values!r} has a value twice; remove one."))
        if key.startswith("base."):
            found.append(((key,), "unknown key. Did you mean 'base'?"))
        for section in grid:
            if key.startswith(f"{section}."):
                found.append(((key,), f"the grid sets all of '{section}' too; remove one of both."))
    if (combinations := count({"grid": grid})) > MEMBERS:
        message = f"{combinations:,} combinations are too many, {MEMBERS:,} are the most."
        found.append(((), f"{message} Leave out values, or make it several experiments."))
    return found


def _word(value: object) -> str:
    """Return a value as it stands in a name: 30, 3e-3, 1p5e-2, bf16, true, none; m1 for -1.

    Different numbers have different words: the `repr` of a float has all digits that tell it apart.
    """
    text = str(value)
    if isinstance(value, float):
        whole = value.is_integer() and abs(value) < 1_000_000
        text = str(int(value)) if whole else f"{Decimal(repr(value)).normalize():e}"
        text = text.replace("+", "").replace(".", "p")
    return re.sub("[^a-z0-9]+", "-", re.sub("^-", "m", text.lower())).strip("-")


def _with(settings: dict, path: list[str], value: object) -> dict:
    """Return settings with another value at a path; the given ones stay as they are."""
    key, *rest = path
    below = settings.get(key)
    inside = below if isinstance(below, dict) else {}
    return settings | {key: _with(inside, rest, value) if rest else value}
