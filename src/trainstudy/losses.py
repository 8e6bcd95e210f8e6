"""The output layer of a language model and its cross-entropy, without ever holding all logits."""

import functools
import logging
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

log = logging.getLogger(__name__)

Softmax = Callable[..., None]

ROWS = 512  # tokens whose logits exist at a time
# As many where a GPU's softmax is compiled, which makes no float32 copy of them: a step with a
# learned table takes 6.75 ms on an H200, with 512 tokens 7.80 and 0.09 GiB less.
ROWS_COMPILED = 2_048
SOFTMAX_ROWS = 64  # of them in float32 on a CPU, about what its caches hold
# What a GPU's vocabulary is rounded up to: with 40,479 words, an odd number, only every eighth row
# begins where its matrix units can read from, and the two products reach a sixth of the ceiling.
ALIGNMENT = 64


class _LinearCrossEntropy(torch.autograd.Function):
    """Computes the gradient together with the loss, so that logits are needed only once."""

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        weight: Tensor,
        targets: Tensor,
        smoothing: float,
        dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor]:
        need_features, need_weight = ctx.needs_input_grad[:2]
        counted = targets > 0
        table, rows = _aligned(weight, dtype), features.to(dtype)
        exact = torch.are_deterministic_algorithms_enabled()
        softmax = _softmax_of(features.device.type, compiles=not exact)
        losses, smooth = torch.empty(2, len(rows), device=features.device)
        grad_features = torch.empty_like(rows) if need_features else None
        # Without gradients enabled a trained table still asks for its own, the features do not.
        grad_table = None
        if need_weight and need_features:
            grad_table = torch.zeros_like(table, dtype=weight.dtype)
        plain = softmax in (_softmax_in_pieces, _softmax_at_once)
        most = ROWS if plain else ROWS_COMPILED
        # Every chunk writes over it: fresh pages for such a block cost as much as its softmax.
        logits = rows.new_empty(min(most, len(rows)), len(table))
        for begin in range(0, len(rows), most):
            chunk = slice(begin, min(begin + most, len(rows)))
            block = logits[: chunk.stop - begin]  # (R, V), and what aligns it, which stays 0
            torch.mm(rows[chunk], table.T, out=block)
            found = losses[chunk], smooth[chunk]
            softmax(block[:, : len(weight)], targets[chunk], *found, smoothing, need_features)
            keep = counted[chunk, None]
            if grad_features is not None:
                torch.mul(block @ table, keep, out=grad_features[chunk])
            if grad_table is not None:
                grad_table += block.T @ (rows[chunk] * keep)
        losses *= counted
        mean = (1 - smoothing) * losses.sum()
        if smoothing:
            mean += smoothing * (smooth * counted).sum()
        count = counted.sum().clamp(min=1)
        grad_weight = None if grad_table is None else grad_table[: len(weight)]
        ctx.save_for_backward(grad_features, grad_weight, count)
        ctx.mark_non_differentiable(losses)
        ctx.dtype = features.dtype
        return mean / count, losses

    @staticmethod
    def backward(ctx: Any, grad_mean: Tensor, _: Tensor):
        grad_features, grad_weight, count = ctx.saved_tensors
        scale = grad_mean / count
        if grad_weight is not None:
            grad_weight = grad_weight.mul_(scale)
        return (grad_features * scale).to(ctx.dtype), grad_weight, None, None, None


def _aligned(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the weight (V, E) in a dtype, on a GPU padded."""
    return padded(weight, dtype) if weight.is_cuda else weight.to(dtype)


def padded(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the weight (V, E) in a dtype with rows of 0 below, up to the alignment."""
    words = len(weight) + -len(weight) % ALIGNMENT
    table = weight.new_zeros(words, weight.shape[1], dtype=dtype)
    table[: len(weight)] = weight
    return table


@functools.cache
def _softmax_of(device: str, compiles: bool) -> Softmax:
    """Return how the softmax is computed on a kind of device.

    On a GPU it is compiled: that takes half of the time, and makes no float32 copy of the logits.
    The deterministic mode forgoes it: the compiler chooses by time in which order sums are made.
    """
    if device == "cpu":
        return _softmax_in_pieces
    if not compiles:
        return _softmax_at_once
    compiled = cast(Softmax, torch.compile(_softmax_at_once, dynamic=False))
    logits, losses, smooth = torch.zeros(1, 2, device=device), *torch.zeros(2, 1, device=device)
    try:
        compiled(logits, torch.zeros_like(losses, dtype=torch.long), losses, smooth, 0.0, False)
    except Exception as error:  # no C compiler, no Triton, an old card: each has its own
        log.warning(
            "the loss is not compiled, which costs a language model time and memory: %s",
            str(error).partition("\n")[0],
        )
        return _softmax_at_once
    return compiled


def _softmax_at_once(
    logits: Tensor,
    targets: Tensor,
    losses: Tensor,
    smooth: Tensor,
    smoothing: float,
    gradient: bool,
) -> None:
    """Do what `_softmax_in_pieces` does, in words that the compiler makes two kernels of."""
    logits_32 = logits.float()
    total = logits_32.logsumexp(dim=1, keepdim=True)
    losses.copy_((total - logits_32.gather(1, targets[:, None]))[:, 0])
    if smoothing:
        smooth.copy_(total[:, 0] - logits_32.mean(dim=1))
    if gradient:
        hit = torch.arange(logits.shape[1], device=logits.device) == targets[:, None]
        wanted = hit * (1 - smoothing) + smoothing / logits.shape[1]
        logits.copy_((logits_32 - total).exp() - wanted)


def _softmax_in_pieces(
    logits: Tensor,
    targets: Tensor,
    losses: Tensor,
    smooth: Tensor,
    smoothing: float,
    gradient: bool,
) -> None:
    """Fill in the losses (R,) of logits (R, V), and put the gradient in the place of the logits.

    `smooth` receives the mean over all tokens, where label smoothing asks for it.
    """
    for part in (slice(i, i + SOFTMAX_ROWS) for i in range(0, len(logits), SOFTMAX_ROWS)):
        target = targets[part, None]
        log_p = torch.log_softmax(logits[part], dim=1, dtype=torch.float32)
        torch.neg(log_p.gather(1, target)[:, 0], out=losses[part])
        if smoothing:
            torch.neg(log_p.mean(dim=1), out=smooth[part])
        if gradient:
            probabilities = log_p.exp_()
            if smoothing:
                probabilities -= smoothing / logits.shape[1]
            probabilities.scatter_add_(1, target, log_p.new_full(target.shape, smoothing - 1))
            logits[part] = probabilities


def linear_cross_entropy(
    features: Tensor, weight: Tensor, targets: Tensor, smoothing: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return the mean cross-entropy of softmax(features weightᵀ), and each token's own.

    features (N, E), weight (V, E), targets (N,) with 0 where nothing is predicted → () and (N,),
    float32, the second not differentiable. Products are computed in `dtype`, the softmax in
    float32. `smoothing` is label smoothing and enters the mean only.
    """
    return _LinearCrossEntropy.apply(features, weight, targets, smoothing, dtype)
