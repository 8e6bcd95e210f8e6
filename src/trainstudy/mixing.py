"""Mixup and CutMix of a whole batch at once, on the device of the images.

As in the code of both papers, a batch has one share, one box and one partner for every image. The
kind is drawn for every batch where both are asked for.
"""

import math

import torch
from torch import Generator, Tensor

KINDS = ("mixup", "cutmix")


def mixes(settings: dict) -> bool:
    """Say whether these settings of the augmentation mix images."""
    return any(settings[kind] for kind in KINDS)


def mix(
    images: Tensor, labels: Tensor, classes: int, settings: dict, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Mix every image (B, C, S, S) with one of the batch, and their labels (B,) alike.

    Returns the images and the probabilities (B, classes) of their labels. The generator lives on
    the device of the images.
    """
    own = _weights(images.shape[-1], settings, generator)
    partners = torch.randperm(len(images), generator=generator, device=images.device)
    sure = (labels[:, None] == torch.arange(classes, device=labels.device)).float()
    mixed = torch.lerp(images[partners], images, own)
    return mixed, torch.lerp(sure[partners], sure, own.mean())


def symmetric_beta(alpha: float, u: Tensor, v: Tensor) -> Tensor:
    """Make numbers of the distribution Beta(alpha, alpha) from two uniform ones each, any shape.

    Exact for every alpha > 0, without rejections: Student's t with 2 alpha degrees of freedom is
    √(2 alpha) r with r = √(u^(−1/alpha) − 1) cos 2πv (Bailey, 1994), and (1 + r/√(1 + r²)) / 2 is
    that beta (Devroye, 1996). Written so that no power overflows.
    """
    power, cosine = u ** (1 / alpha), torch.cos(2 * math.pi * v)
    rest = 1 - power
    return (1 + rest.sqrt() * cosine / (power + rest * cosine**2).sqrt()) / 2


def _weights(size: int, settings: dict, generator: Generator) -> Tensor:
    """Draw how much of itself every pixel of an image keeps, (S, S) from 0 to 1."""
    u, v, row, column, kind = torch.rand(
        5, generator=generator, device=generator.device, dtype=torch.float64
    )
    found = []
    if settings["mixup"]:  # Zhang et al. (2018)
        found.append(symmetric_beta(settings["mixup"], u, v).expand(size, size))
    if settings["cutmix"]:
        share = symmetric_beta(settings["cutmix"], u, v)
        found.append(1 - _box(size, 1 - share, torch.stack([row, column])))
    return torch.where(kind < 0.5, found[0], found[-1]).float()


def _box(size: int, area: Tensor, place: Tensor) -> Tensor:
    """Return 1 inside a square of that share of the area and 0 outside, (S, S); Yun et al. (2019).

    Its centre lies at `place` (2,), from 0 to 1; what juts out of the image is cut off.
    """
    half = (size * area.sqrt()).floor() // 2
    away = torch.arange(size, device=area.device) - (size * place).floor()[:, None]  # (2, S)
    rows, columns = ((away >= -half) & (away < half)).double()
    return torch.outer(rows, columns)
