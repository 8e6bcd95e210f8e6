"""Four small convolutional networks: GoogleNet, ResNet, pre-activation ResNet, DenseNet.

All have a 3 × 3 stem, batch norm, ReLU, Kaiming-normal convolutions, global average pooling and a
linear head. Sources: Szegedy et al. 2015; He et al. 2016 (two papers); Huang et al. 2017.
"""

import itertools
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv(c_in: int, c_out: int, kernel: int, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    """Return a convolution (B, c_in, H, W) → (B, c_out, H / stride, W / stride)."""
    return nn.Conv2d(c_in, c_out, kernel, stride, padding=kernel // 2, bias=bias)


def conv_norm(c_in: int, c_out: int, kernel: int) -> nn.Sequential:
    """Return convolution, batch norm, ReLU."""
    return nn.Sequential(conv(c_in, c_out, kernel), nn.BatchNorm2d(c_out), nn.ReLU())


def norm_conv(c_in: int, c_out: int, kernel: int, stride: int = 1, bias: bool = True):
    """Return batch norm, ReLU, convolution."""
    return nn.Sequential(nn.BatchNorm2d(c_in), nn.ReLU(), conv(c_in, c_out, kernel, stride, bias))


class Inception(nn.Module):
    """Four branches side by side: 1×1, 3×3, 5×5 and max-pooling; the wider ones reduce first."""

    def __init__(self, c_in: int, reduce: tuple[int, int], out: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.one = conv_norm(c_in, out[0], 1)
        self.three = nn.Sequential(conv_norm(c_in, reduce[0], 1), conv_norm(reduce[0], out[1], 3))
        self.five = nn.Sequential(conv_norm(c_in, reduce[1], 1), conv_norm(reduce[1], out[2], 5))
        self.pool = nn.Sequential(nn.MaxPool2d(3, 1, padding=1), conv_norm(c_in, out[3], 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, c_in, H, W) → (B, sum(out), H, W)."""
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pool(x)], dim=1)


class ResidualBlock(nn.Module):
    """relu(f(x) + x), f = conv, BN, ReLU, conv, BN; a 1 × 1 convolution halves the size of x."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            conv(c_in, c_out, 3, stride, bias=False),
            nn.BatchNorm2d(c_out),
            nn.ReLU(),
            conv(c_out, c_out, 3, bias=False),
            nn.BatchNorm2d(c_out),
        )
        self.shortcut = conv(c_in, c_out, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, c_in, H, W) → (B, c_out, H / stride, W / stride)."""
        return F.relu(self.residual(x) + self.shortcut(x))


class PreActivationBlock(nn.Module):
    """f(x) + x, f = BN, ReLU, conv, twice."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            norm_conv(c_in, c_out, 3, stride, bias=False), norm_conv(c_out, c_out, 3, bias=False)
        )
        self.shortcut = (
            norm_conv(c_in, c_out, 1, stride, bias=False) if stride > 1 else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, c_in, H, W) → (B, c_out, H / stride, W / stride)."""
        return self.residual(x) + self.shortcut(x)


class DenseLayer(nn.Module):
    """Append `growth` new channels, computed through a bottleneck twice as wide."""

    def __init__(self, c_in: int, growth: int) -> None:
        super().__init__()
        self.new = nn.Sequential(
            norm_conv(c_in, 2 * growth, 1, bias=False),
            norm_conv(2 * growth, growth, 3, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, c_in, H, W) → (B, c_in + growth, H, W)."""
        return torch.cat([self.new(x), x], dim=1)


def googlenet(channels: int) -> list[nn.Module]:
    """Return the layers before pooling, (B, C, H, W) → (B, 128, H/4, W/4)."""
    pool = nn.MaxPool2d(3, stride=2, padding=1)
    return [
        conv_norm(channels, 64, 3),
        Inception(64, (32, 16), (16, 32, 8, 8)),
        Inception(64, (32, 16), (24, 48, 12, 12)),
        pool,
        Inception(96, (32, 16), (24, 48, 12, 12)),
        Inception(96, (32, 16), (16, 48, 16, 16)),
        Inception(96, (32, 16), (16, 48, 16, 16)),
        Inception(96, (32, 16), (32, 48, 24, 24)),
        pool,
        Inception(128, (48, 16), (32, 64, 16, 16)),
        Inception(128, (48, 16), (32, 64, 16, 16)),
    ]


def residual_stages(block: type[ResidualBlock] | type[PreActivationBlock]) -> list[nn.Module]:
    """Return three stages of three blocks with 16, 32 and 64 channels."""
    widths = [16, 16, 16, 16, 32, 32, 32, 64, 64, 64]
    return [
        block(c_in, c_out, stride=2 if c_out > c_in else 1)
        for c_in, c_out in itertools.pairwise(widths)
    ]


def resnet(channels: int) -> list[nn.Module]:
    """Return the layers before pooling, (B, C, H, W) → (B, 64, H/4, W/4)."""
    stem = [conv(channels, 16, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    return stem + residual_stages(ResidualBlock)


def resnet_preact(channels: int) -> list[nn.Module]:
    """Return the layers before pooling, (B, C, H, W) → (B, 64, H/4, W/4)."""
    return [conv(channels, 16, 3, bias=False), *residual_stages(PreActivationBlock)]


def densenet(channels: int) -> list[nn.Module]:
    """Return the layers before pooling, (B, C, H, W) → (B, 184, H/8, W/8)."""
    growth, layers, blocks = 16, 6, 4
    width = 2 * growth
    parts: list[nn.Module] = [conv(channels, width, 3)]
    for block in range(blocks):
        parts += [DenseLayer(width + layer * growth, growth) for layer in range(layers)]
        width += layers * growth
        if block < blocks - 1:
            parts += [norm_conv(width, width // 2, 1, bias=False), nn.AvgPool2d(2)]
            width //= 2
    return [*parts, nn.BatchNorm2d(width), nn.ReLU()]


NETWORKS: dict[str, tuple[Callable, int, Literal["fan_in", "fan_out"]]] = {
    # name: (layers before pooling, their output channels, side of the Kaiming initialisation)
    "googlenet": (googlenet, 128, "fan_in"),
    "resnet": (resnet, 64, "fan_out"),
    "resnet-preact": (resnet_preact, 64, "fan_out"),
    "densenet": (densenet, 184, "fan_in"),
}


def build(settings: dict, manifest: dict, table: Tensor | None) -> nn.Sequential:
    """Return the network for a prepared set of images, (B, C, H, W) → (B, classes)."""
    layers, width, side = NETWORKS[settings["name"]]
    pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    channels = manifest["shapes"]["train.images"][1]
    network = nn.Sequential(*layers(channels), *pool, nn.Linear(width, manifest["classes"]))
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode=side, nonlinearity="relu")
    return network.to(memory_format=torch.channels_last)
