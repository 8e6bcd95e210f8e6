"""Random flips and resized crops for a whole batch at once, on the device of the images.

The distribution is that of torchvision's RandomHorizontalFlip followed by RandomResizedCrop
(bilinear), the published augmentation; here every image of a batch has parameters of its own and
the pixels are not rounded to integers in between.
"""

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

ATTEMPTS = 10  # crops tried before the largest central one is taken, as in torchvision


def sample_crops(
    count: int,
    size: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    generator: Generator,
) -> Tensor:
    """Draw `count` crops of a square image of `size` pixels: (count, 4) top, left, height, width.

    A crop covers a uniform share of the area and has a log-uniform ratio of width to height; its
    sides are rounded to whole pixels and its place is uniform.
    """
    device = generator.device
    u = torch.rand(4, count, ATTEMPTS, generator=generator, device=device)
    area = size**2 * (scale[0] + (scale[1] - scale[0]) * u[0])
    low, high = math.log(ratio[0]), math.log(ratio[1])
    aspect = torch.exp(low + (high - low) * u[1])
    width, height = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
    fits = (width > 0) & (width <= size) & (height > 0) & (height <= size)  # (count, ATTEMPTS)
    first = fits.int().argmax(dim=1, keepdim=True)  # 0 where none fits
    found = fits.any(dim=1)
    # Where nothing fits, the largest crop of an allowed ratio, in the middle.
    widest = max(1, round(size * min(1.0, ratio[1])))
    highest = max(1, round(size / max(1.0, ratio[0])))
    width = torch.where(found, width.gather(1, first)[:, 0], widest)
    height = torch.where(found, height.gather(1, first)[:, 0], highest)
    top = torch.where(found, (u[2, :, 0] * (size - height + 1)).floor(), (size - highest) // 2)
    left = torch.where(found, (u[3, :, 0] * (size - width + 1)).floor(), (size - widest) // 2)
    return torch.stack([top, left, height, width], dim=1)


def crop_and_flip(images: Tensor, crops: Tensor, flips: Tensor) -> Tensor:
    """Flip the images (B, C, S, S) where `flips` (B,) says so, then blow crops (B, 4) up to S × S.

    Bilinear, half-pixel centres, borders repeated: F.interpolate on each crop.
    """
    size = images.shape[-1]
    centres = (torch.arange(size, device=images.device) + 0.5) / size
    top, left, height, width = crops.T[..., None]  # (B, 1) each
    y = top + (centres * height - 0.5).clamp(min=0).minimum(height - 1)  # (B, S), in pixels
    x = left + (centres * width - 0.5).clamp(min=0).minimum(width - 1)
    x = torch.where(flips[:, None], size - 1 - x, x)
    grid = torch.stack(
        [x[:, None, :].expand(-1, size, -1), y[:, :, None].expand(-1, -1, size)], dim=-1
    )
    grid = grid * (2 / (size - 1)) - 1  # pixels → −1 … 1
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=True)


def augment(images: Tensor, settings: dict, generator: Generator) -> Tensor:
    """Augment a batch (B, C, S, S) float; the generator lives on the device of the images."""
    count, size = len(images), images.shape[-1]
    flips = torch.rand(count, generator=generator, device=images.device) < settings["flip"]
    crops = sample_crops(count, size, settings["crop_scale"], settings["crop_ratio"], generator)
    return crop_and_flip(images, crops, flips)
