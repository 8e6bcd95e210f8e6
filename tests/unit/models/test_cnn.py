"""The four convolutional networks against plainly written ones, and their published sizes."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainstudy import models

PARAMETERS = {
    "googlenet": 260_650,
    "resnet": 272_378,
    "resnet-preact": 272_250,
    "densenet": 239_146,
}


def build(name: str, shape: tuple[int, int, int] = (3, 32, 32), classes: int = 10) -> nn.Module:
    torch.manual_seed(0)
    manifest = {"shapes": {"train.images": [90, *shape]}, "classes": classes}
    return models.build("cnn", {"name": name}, manifest)


def convolutions(network: nn.Module) -> list[nn.Conv2d]:
    return [module for module in network.modules() if isinstance(module, nn.Conv2d)]


class Weights:
    """Hands out the weights of a network one after the other, in the order they are declared."""

    def __init__(self, network: nn.Module) -> None:
        self.copies = [p.detach().clone().requires_grad_() for p in network.parameters()]
        self.left = iter(self.copies)

    def conv(self, x: Tensor, stride: int = 1, bias: bool = True) -> Tensor:
        weight = next(self.left)
        offset = next(self.left) if bias else None
        return F.conv2d(x, weight, offset, stride, padding=(weight.shape[-1] - 1) // 2)

    def norm(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=(0, 2, 3), keepdim=True)
        variance = ((x - mean) ** 2).mean(dim=(0, 2, 3), keepdim=True)
        scale, shift = next(self.left), next(self.left)
        normed = (x - mean) / torch.sqrt(variance + 1e-5)
        return normed * scale[:, None, None] + shift[:, None, None]

    def head(self, x: Tensor) -> Tensor:
        return F.linear(x.mean(dim=(2, 3)), next(self.left), next(self.left))


def textbook_resnet(x: Tensor, w: Weights) -> Tensor:
    x = F.relu(w.norm(w.conv(x, bias=False)))
    for stage in range(3):
        for block in range(3):
            halve = stage > 0 and block == 0
            y = F.relu(w.norm(w.conv(x, 2 if halve else 1, bias=False)))
            y = w.norm(w.conv(y, bias=False))
            x = F.relu(y + (w.conv(x, 2) if halve else x))
    return w.head(x)


def textbook_resnet_preact(x: Tensor, w: Weights) -> Tensor:
    x = w.conv(x, bias=False)
    for stage in range(3):
        for block in range(3):
            halve = stage > 0 and block == 0
            y = w.conv(F.relu(w.norm(x)), 2 if halve else 1, bias=False)
            y = w.conv(F.relu(w.norm(y)), bias=False)
            x = y + (w.conv(F.relu(w.norm(x)), 2, bias=False) if halve else x)
    return w.head(x)


def textbook_googlenet(x: Tensor, w: Weights) -> Tensor:
    def layer(x: Tensor) -> Tensor:
        return F.relu(w.norm(w.conv(x)))

    def inception(x: Tensor) -> Tensor:
        one, three, five = layer(x), layer(layer(x)), layer(layer(x))
        return torch.cat([one, three, five, layer(F.max_pool2d(x, 3, 1, padding=1))], dim=1)

    x = layer(x)
    for stage, blocks in enumerate((2, 4, 2)):
        if stage > 0:
            x = F.max_pool2d(x, 3, 2, padding=1)
        for _ in range(blocks):
            x = inception(x)
    return w.head(x)


def textbook_densenet(x: Tensor, w: Weights) -> Tensor:
    x = w.conv(x)
    for block in range(4):
        for _ in range(6):
            y = w.conv(F.relu(w.norm(x)), bias=False)
            x = torch.cat([w.conv(F.relu(w.norm(y)), bias=False), x], dim=1)
        if block < 3:
            x = F.avg_pool2d(w.conv(F.relu(w.norm(x)), bias=False), 2)
    return w.head(F.relu(w.norm(x)))


TEXTBOOK = {
    "googlenet": textbook_googlenet,
    "resnet": textbook_resnet,
    "resnet-preact": textbook_resnet_preact,
    "densenet": textbook_densenet,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_has_exactly_the_published_number_of_parameters(name):
    assert models.parameter_counts(build(name)) == (PARAMETERS[name], PARAMETERS[name])


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 8, 8)])
@pytest.mark.parametrize("name", PARAMETERS)
def test_gives_one_row_of_logits_per_image(name, shape):
    assert build(name, shape, classes=7)(torch.rand(2, *shape)).shape == (2, 7)


@pytest.mark.parametrize("name", PARAMETERS)
def test_agrees_with_the_textbook_forward_and_backward(name):
    network = build(name, classes=5).double().train()
    generator = torch.Generator().manual_seed(1)
    for weight in network.parameters():
        if weight.ndim == 1:  # biases, and the scales and shifts of norms: none left at 0 or 1
            nn.init.uniform_(weight, 0.5, 1.5, generator=generator)
    images = torch.randn(3, 3, 16, 16, generator=generator, dtype=torch.float64)
    direction = torch.randn(3, 5, generator=generator, dtype=torch.float64)
    weights = Weights(network)

    logits, expected = network(images), TEXTBOOK[name](images, weights)
    (logits * direction).sum().backward()
    (expected * direction).sum().backward()

    assert next(weights.left, None) is None
    torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-10)
    for (weight_name, weight), copy in zip(network.named_parameters(), weights.copies, strict=True):
        torch.testing.assert_close(
            weight.grad,
            copy.grad,
            rtol=1e-8,
            atol=1e-10 * max(1.0, copy.grad.abs().max().item()),
            msg=lambda text, weight_name=weight_name: f"{weight_name}: {text}",
        )


@pytest.mark.parametrize("name", PARAMETERS)
def test_evaluation_judges_every_image_on_its_own(name):
    network = build(name).eval()
    images = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        one_by_one = torch.cat([network(image[None]) for image in images])
        torch.testing.assert_close(network(images), one_by_one, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "fan"),
    [
        ("googlenet", "fan_in"),
        ("resnet", "fan_out"),
        ("resnet-preact", "fan_out"),
        ("densenet", "fan_in"),
    ],
)
def test_convolutions_start_as_kaiming_normal(name, fan):
    for conv in convolutions(build(name)):
        channels = conv.in_channels if fan == "fan_in" else conv.out_channels
        expected = math.sqrt(2 / (channels * conv.kernel_size[0] * conv.kernel_size[1]))
        # The standard deviation of n normal numbers has a relative standard error of 1 / √(2n).
        error = 5 / math.sqrt(2 * conv.weight.numel())
        assert conv.weight.std().item() == pytest.approx(expected, rel=error), conv
        # No uniform distribution of that deviation reaches beyond √3 ≈ 1.73 deviations.
        assert conv.weight.abs().max() > 2 * expected


@pytest.mark.parametrize(("name", "bias"), [("resnet", True), ("resnet-preact", False)])
def test_downsampling_convolutions_have_a_bias_only_without_pre_activation(name, bias):
    shortcuts = [conv for conv in convolutions(build(name)) if conv.kernel_size == (1, 1)]
    assert [conv.out_channels for conv in shortcuts] == [32, 64]
    assert [conv.stride for conv in shortcuts] == [(2, 2), (2, 2)]
    assert [conv.bias is not None for conv in shortcuts] == [bias, bias]
