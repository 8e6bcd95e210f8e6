"""Scores of an epoch, each by the textbook and by the published estimator.

Textbook: total over examples (or tokens) divided by their number. Published: the reports averaged
over batches, so a short last batch weighs as much as a full one; for text they divided the loss of
every batch by its nominal size, so a short last batch pulls the mean down. The names of the
published estimators end in `_published`.
"""

import math

import numpy as np


def classification(loss: np.ndarray, correct: np.ndarray, batch_size: int) -> dict[str, float]:
    """Return loss (nat) and accuracy from per-example losses and hits (N,), in batch order."""
    starts = np.arange(0, len(loss), batch_size)
    sizes = np.diff([*starts, len(loss)])
    scores: dict[str, float] = {}
    for name, values in {"loss": loss, "accuracy": correct}.items():
        batches = np.add.reduceat(values.astype(np.float64), starts) / sizes
        scores |= {name: float(values.mean(dtype=np.float64))}
        scores |= {f"{name}_published": float(batches.mean())}
    return scores


def language_modelling(
    loss: np.ndarray, tokens: np.ndarray, batch_size: int, sequence_length: int, size: int
) -> dict[str, float]:
    """Return loss (nat per token), perplexity and bits per byte.

    `loss` and `tokens` (N,) hold the summed loss and the number of predicted tokens of every
    sequence, in batch order; `size` is the length of the text in bytes.
    """
    total = float(loss.sum(dtype=np.float64))
    mean = total / float(tokens.sum())
    batches = np.add.reduceat(loss.astype(np.float64), np.arange(0, len(loss), batch_size))
    published = float(batches.mean()) / (batch_size * sequence_length)
    return {
        "loss": mean,
        "loss_published": published,
        "perplexity": _exp(mean),
        "perplexity_published": _exp(published),
        "bits_per_byte": total / math.log(2) / size,
    }


def gradient(norms: np.ndarray) -> dict[str, float]:
    """Return mean and largest norm of the gradient from those of an epoch's steps (N,)."""
    return {
        "gradient_norm": float(norms.mean(dtype=np.float64)),
        "gradient_norm_largest": float(norms.max()),
    }


def _exp(loss: float) -> float:
    return math.inf if loss >= 700 else math.exp(loss)  # of what is no number that is none, too
