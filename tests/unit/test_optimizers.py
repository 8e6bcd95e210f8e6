"""Optimizers against their formulas, and learning-rate schedules against values by hand."""

import math

import pytest
import torch
from torch import Tensor, nn

from trainstudy import optimizers

LR, DECAY, MOMENTUM, STEPS = 0.1, 0.05, 0.9, 3
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


def settings(name: str) -> dict:
    return {"name": name, "lr": LR, "weight_decay": DECAY, "momentum": MOMENTUM}


def adam(w: Tensor, gradients: list[Tensor]) -> Tensor:
    """Kingma & Ba (2015), algorithm 1; the decay is part of the gradient."""
    m = v = torch.zeros_like(w)
    for t, g in enumerate(gradients, start=1):
        g = g + DECAY * w
        m, v = BETA1 * m + (1 - BETA1) * g, BETA2 * v + (1 - BETA2) * g**2
        w = w - LR * m / (1 - BETA1**t) / (torch.sqrt(v / (1 - BETA2**t)) + EPSILON)
    return w


def adamw(w: Tensor, gradients: list[Tensor]) -> Tensor:
    """Loshchilov & Hutter (2019): the decay stays out of the moments."""
    m = v = torch.zeros_like(w)
    for t, g in enumerate(gradients, start=1):
        m, v = BETA1 * m + (1 - BETA1) * g, BETA2 * v + (1 - BETA2) * g**2
        step = m / (1 - BETA1**t) / (torch.sqrt(v / (1 - BETA2**t)) + EPSILON)
        w = w - LR * step - LR * DECAY * w
    return w


def sgd(w: Tensor, gradients: list[Tensor]) -> Tensor:
    """Gradient descent on the loss plus DECAY / 2 · |w|²."""
    for g in gradients:
        w = w - LR * (g + DECAY * w)
    return w


def momentum(w: Tensor, gradients: list[Tensor]) -> Tensor:
    """The heavy ball: the velocity keeps a share of itself and gains the gradient."""
    velocity = torch.zeros_like(w)
    for g in gradients:
        velocity = MOMENTUM * velocity + g + DECAY * w
        w = w - LR * velocity
    return w


@pytest.mark.parametrize("formula", [adam, adamw, sgd, momentum], ids=lambda f: f.__name__)
def test_steps_follow_the_formula(formula):
    generator = torch.Generator().manual_seed(0)
    model = nn.Linear(4, 3, bias=False).double()
    start = model.weight.detach().clone()
    gradients = [torch.randn(3, 4, generator=generator, dtype=torch.float64) for _ in range(STEPS)]
    optimizer = optimizers.build(settings(formula.__name__), model)
    for count, gradient in enumerate(gradients, start=1):
        model.weight.grad = gradient.clone()
        optimizer.step()
        expected = formula(start, gradients[:count])
        torch.testing.assert_close(model.weight.detach(), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "kind", "special"),
    [
        ("adam", torch.optim.Adam, {"betas": (0.9, 0.999), "eps": 1e-8, "amsgrad": False}),
        ("adamw", torch.optim.AdamW, {"betas": (0.9, 0.999), "eps": 1e-8, "amsgrad": False}),
        ("sgd", torch.optim.SGD, {"momentum": 0, "nesterov": False, "dampening": 0}),
        ("momentum", torch.optim.SGD, {"momentum": 0.9, "nesterov": False, "dampening": 0}),
    ],
)
def test_name_gives_that_optimizer_with_the_settings(name, kind, special):
    optimizer = optimizers.build(settings(name), nn.Linear(4, 3))
    assert isinstance(optimizer, kind)
    (group,) = optimizer.param_groups
    expected = {"lr": LR, "weight_decay": DECAY, "fused": True, **special}
    assert {key: group[key] for key in expected} == expected


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "momentum"])
@pytest.mark.parametrize("rate", [1, 0.5])
def test_the_rate_of_a_gpu_stays_where_a_recorded_step_reads_it(monkeypatch, name, rate):
    monkeypatch.setattr(torch.Tensor, "is_cuda", True)
    optimizer = optimizers.build(settings(name) | {"lr": rate}, nn.Linear(4, 3))
    (group,) = optimizer.param_groups
    place = group["lr"]
    assert (place.dtype, place.item()) == (torch.float32, rate)
    optimizers.set_learning_rate(optimizer, 0.25)
    assert group["lr"] is place
    assert place.item() == 0.25


def test_frozen_parameters_are_left_out():
    model = nn.Linear(4, 3)
    model.bias.requires_grad_(False)
    (group,) = optimizers.build(settings("adamw"), model).param_groups
    assert [id(weight) for weight in group["params"]] == [id(model.weight)]


def test_unknown_optimizer_is_refused_by_name():
    with pytest.raises(ValueError, match="adagrad"):
        optimizers.build(settings("adagrad"), nn.Linear(4, 3))


def factor(progress: float, epochs: int = 180, **changed) -> float:
    schedule = {"name": "none", "warmup_epochs": 0, "milestones": [], "gamma": 0.1}
    return optimizers.learning_rate_factor(schedule | changed, progress, epochs)


@pytest.mark.parametrize("progress", [0.001, 1.0, 99.5, 180.0])
def test_no_schedule_leaves_the_learning_rate_alone(progress):
    assert factor(progress) == 1


@pytest.mark.parametrize(
    ("progress", "expected"),
    [(0.5, 1), (99.99, 1), (100.0, 0.1), (149.99, 0.1), (150.0, 0.01), (179.99, 0.01)],
)
def test_step_schedule_cuts_after_every_milestone(progress, expected):
    assert factor(progress, name="step", milestones=[100, 150]) == pytest.approx(expected)


def test_milestones_count_in_whatever_order():
    assert factor(120.0, name="step", milestones=[150, 100]) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        (0.0, 0.0),
        (5.0, 0.5),
        (10.0, 1.0),
        (35.0, 0.5 + math.sqrt(2) / 4),  # a quarter of the way: (1 + cos 45°) / 2
        (60.0, 0.5),
        (85.0, 0.5 - math.sqrt(2) / 4),
        (110.0, 0.0),
    ],
)
def test_cosine_schedule_falls_to_zero_after_the_warm_up(progress, expected):
    value = factor(progress, epochs=110, name="cosine", warmup_epochs=10)
    assert value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("progress", "expected"), [(0.0, 1.0), (25.0, 0.5 + math.sqrt(2) / 4), (50.0, 0.5)]
)
def test_cosine_schedule_without_warm_up_starts_at_the_full_rate(progress, expected):
    assert factor(progress, epochs=100, name="cosine") == pytest.approx(expected)


@pytest.mark.parametrize(("progress", "expected"), [(0.5, 0.125), (2.0, 0.5), (4.0, 1.0), (9, 1)])
def test_warm_up_rises_in_a_straight_line_with_any_schedule(progress, expected):
    assert factor(progress, warmup_epochs=4) == pytest.approx(expected)
    step = factor(progress, name="step", milestones=[100], warmup_epochs=4)
    assert step == pytest.approx(expected)


def test_momentum_is_that_of_the_settings():
    built = optimizers.build(settings("momentum") | {"momentum": 0.5}, nn.Linear(2, 2))
    assert built.param_groups[0]["momentum"] == 0.5
    assert optimizers.build(settings("sgd"), nn.Linear(2, 2)).param_groups[0]["momentum"] == 0
