"""What runs are compared by, in words: names, units and differences of the columns of the facts."""

import math
import re

LIKE_THEIRS = "by the reports' estimator, last epoch"
QUANTITIES = {
    "parameters_trained": "trained parameters",
    "seconds_training": "training seconds per epoch",
    "seconds_evaluating": "evaluating seconds per epoch",
    "seconds_total": "seconds of the whole run",
    "throughput": "examples or tokens per second of training",
    "best_epoch": "best epoch",
    "memory_resident": "peak of main memory",
    "memory_allocated": "peak of GPU memory allocated in tensors",
    "memory_reserved": "peak of GPU memory reserved by PyTorch",
    "memory_process": "GPU memory of the whole process",
    "memory_device": "GPU memory of all processes",
    "memory_predicted": "predicted peak of GPU memory",
    "validation_accuracy_published_last": f"validation accuracy {LIKE_THEIRS}",
    "validation_perplexity_published_last": f"validation perplexity {LIKE_THEIRS}",
    "rise": "rise of the validation loss since its lowest, three or more epochs before the last",
    "gap_best": "validation minus training loss, epoch of the lowest validation loss",
    "gap_last": "validation minus training loss, last epoch",
    "gap_growth": "growth of validation minus training loss since the lowest validation loss",
}
MEMORY_PARTS = {  # of a step; see sizes.py
    "parameters": "parameters", "gradients": "gradients", "optimizer": "optimizer state",
    "constants": "data and frozen tables", "activations": "activations",
}  # fmt: skip
LARGE = 1e12  # beyond, nothing but the perplexity of a model that learned nothing
UNITS = {"memory": " MiB", "seconds": " s", "loss": " nat", "gap": " nat"}


def is_time(column: str) -> bool:
    """Say whether a quantity is a time, or a number per time."""
    return column.startswith("seconds_") or column == "throughput"


def words(column: str) -> str:
    """Return the name of a quantity as a reader knows it."""
    if column in QUANTITIES:
        return QUANTITIES[column]
    if found := re.fullmatch(r"(\w+)_after_(\d+)_s", column):
        return f"{found[1].replace('_', ' ')} after {found[2]} s"
    score, _, epoch = column.rpartition("_")
    return f"{score.replace('_', ' ')}, {epoch} epoch"


def _in_per_cent(column: str) -> bool:
    return "accuracy" in column or column == "rise"


def difference(value: float, column: str, sign: str = "") -> str:
    """Return a difference in words; those of shares are in points, to tell them from shares."""
    if _in_per_cent(column):
        if sign:
            return f"{100 * value:{sign}.2f} points"
        return "1 point" if round(100 * value, 9) == 1 else f"{100 * value:.4g} points"
    return written(value, column, sign)


def written(value: float, column: str, sign: str = "") -> str:
    """Return a value of a quantity with its unit."""
    if math.isinf(value):
        return f"{value:{sign}}".replace("inf", "∞")
    if _in_per_cent(column):
        return f"{100 * value:{sign}.2f} %"
    ending = next((unit for part, unit in UNITS.items() if part in column.split("_")), "")
    value = value / 2**20 if ending == " MiB" else value
    return number(value, sign) + ending


def number(value: float, sign: str = "") -> str:
    """Return a number in four digits, a larger one whole, with an exponent from LARGE on."""
    return f"{value:{sign},.0f}" if 1000 <= abs(value) < LARGE else f"{value:{sign}.4g}"


def counted(number: float, noun: str) -> str:
    """Return a whole number of things in words: 1 layer, 2 layers."""
    return f"{number:.0f} {noun}" if number == 1 else f"{number:.0f} {noun}s"
