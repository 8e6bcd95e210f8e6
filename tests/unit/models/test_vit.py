"""The vision transformer against one written as in the textbook, and its published sizes."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainstudy import models
from trainstudy.models.vit import Attention, VisionTransformer, attend

PUBLISHED = {"dim": 256, "heads": 8, "mlp": 512, "patch": 4, "norm": "pre", "dropout": 0.0}
SMALL = {"patch": 2, "dim": 12, "depth": 3, "heads": 3, "mlp": 20, "dropout": 0.0}
SHAPE, CLASSES = (3, 4, 6), 5  # channels, height, width; 2 × 3 patches
TOLERANCES = {
    torch.float32: {"rtol": 1e-5, "atol": 1e-5},
    torch.float64: {"rtol": 1e-10, "atol": 1e-12},
}


def manifest(channels: int, height: int, width: int, classes: int) -> dict:
    return {"shapes": {"train.images": [90, channels, height, width]}, "classes": classes}


def small_model(norm: str, dtype: torch.dtype) -> VisionTransformer:
    """Return a small model none of whose weights, not even a norm's, is 0 or 1."""
    model = models.build("vit", SMALL | {"norm": norm}, manifest(*SHAPE, CLASSES)).to(dtype)
    generator = torch.Generator().manual_seed(1)
    for weight in model.parameters():
        nn.init.normal_(weight, mean=0.1, std=0.3, generator=generator)
    return model


def textbook_weights(model: VisionTransformer) -> dict[str, Tensor]:
    """Return a copy of the weights in which keys and values are two projections."""
    weights = {}
    for name, weight in model.named_parameters():
        if "key_value" in name:
            key, value = weight.detach().clone().chunk(2)
            weights[name.replace("key_value", "key")] = key.requires_grad_()
            weights[name.replace("key_value", "value")] = value.requires_grad_()
        else:
            weights[name] = weight.detach().clone().requires_grad_()
    return weights


def patches(image: Tensor, size: int) -> Tensor:
    """Cut an image (C, H, W) into flat patches (T, C·size²), row by row."""
    channels, height, width = image.shape
    rows = []
    for top in range(0, height, size):
        for left in range(0, width, size):
            pixels = [
                image[channel, top + y, left + x]
                for channel in range(channels)
                for y in range(size)
                for x in range(size)
            ]
            rows.append(torch.stack(pixels))
    return torch.stack(rows)


def linear(x: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def layer_norm(x: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    centred = x - x.mean(dim=-1, keepdim=True)
    variance = (centred**2).mean(dim=-1, keepdim=True)
    normed = centred / (variance + 1e-5).sqrt()
    return normed * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def attention(x: Tensor, weights: dict[str, Tensor], name: str, heads: int) -> Tensor:
    """Let the tokens (T, D) of one image look at one another."""
    q, k, v = (linear(x, weights, f"{name}.{part}") for part in ("query", "key", "value"))
    size = x.shape[1] // heads
    outputs = []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        scores = q[:, part] @ k[:, part].T / math.sqrt(size)
        powers = (scores - scores.max(dim=1, keepdim=True).values).exp()
        outputs.append(powers / powers.sum(dim=1, keepdim=True) @ v[:, part])
    return linear(torch.cat(outputs, dim=1), weights, f"{name}.output")


def mlp(x: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    hidden = linear(x, weights, f"{name}.0")
    gelu = hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2
    return linear(gelu, weights, f"{name}.3")


def textbook(images: Tensor, weights: dict[str, Tensor], norm: str) -> Tensor:
    """Return the logits; every token passes through every block."""
    logits = []
    for image in images:
        x = linear(patches(image, SMALL["patch"]), weights, "embed")
        x = torch.cat([weights["class_token"][0], x]) + weights["positions"][0]
        for block in range(SMALL["depth"]):
            name = f"blocks.{block}"
            for norm_name, residual in (
                ("norm_attention", lambda x, n: attention(x, weights, f"{n}.attention", 3)),
                ("norm_mlp", lambda x, n: mlp(x, weights, f"{n}.mlp")),
            ):
                if norm == "pre":
                    x = x + residual(layer_norm(x, weights, f"{name}.{norm_name}"), name)
                else:
                    x = layer_norm(x + residual(x, name), weights, f"{name}.{norm_name}")
        logits.append(linear(layer_norm(x, weights, "head.0"), weights, "head.1")[0])
    return torch.stack(logits)


def images(dtype: torch.dtype) -> Tensor:
    return torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(2), dtype=dtype)


@pytest.mark.parametrize(
    ("depth", "norm", "parameters"),
    [(2, "pre", 1_086_730), (6, "pre", 3_195_146), (6, "post", 3_195_146)],
)
def test_published_models_have_exactly_the_published_number_of_parameters(depth, norm, parameters):
    settings = PUBLISHED | {"depth": depth, "norm": norm}
    model = models.build("vit", settings, manifest(3, 32, 32, 10))
    assert models.parameter_counts(model) == (parameters, parameters)


@pytest.mark.parametrize(("heads", "head_size"), [(1, 4), (2, 8), (8, 32), (12, 64)])
def test_attention_has_four_projections_with_bias(heads, head_size):
    dim = heads * head_size
    parameters = sum(p.numel() for p in Attention(dim, heads).parameters())
    assert parameters == 4 * (dim**2 + dim)


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 8, 8)])
def test_gives_one_row_of_logits_per_image(shape, norm):
    model = models.build("vit", PUBLISHED | {"depth": 1, "norm": norm}, manifest(*shape, 7))
    assert model(torch.rand(2, *shape)).shape == (2, 7)


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_training_agrees_with_the_textbook_forward_and_backward(norm, dtype):
    model, x = small_model(norm, dtype).train(), images(dtype)
    weights = textbook_weights(model)
    direction = torch.randn(
        len(x), CLASSES, generator=torch.Generator().manual_seed(3), dtype=dtype
    )

    logits, expected = model(x), textbook(x, weights, norm)
    (logits * direction).sum().backward()
    (expected * direction).sum().backward()

    torch.testing.assert_close(logits, expected, **TOLERANCES[dtype])
    for name, weight in model.named_parameters():
        if "key_value" in name:
            parts = [weights[name.replace("key_value", part)].grad for part in ("key", "value")]
            gradient = torch.cat(parts)
        else:
            gradient = weights[name].grad
        torch.testing.assert_close(
            weight.grad,
            gradient,
            rtol=TOLERANCES[dtype]["rtol"],
            atol=TOLERANCES[dtype]["atol"] * max(1.0, gradient.abs().max().item()),
            msg=lambda text, name=name: f"{name}: {text}",
        )


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
def test_attention_is_written_out_only_to_train_in_bf16_on_a_cpu(monkeypatch, dtype, training):
    fused = []
    monkeypatch.setattr(F, "scaled_dot_product_attention", lambda q, k, v: fused.append(q) or v)
    q = torch.randn(1, 2, 3, 4, dtype=dtype)
    with torch.set_grad_enabled(training):
        attend(q, q, q)
    assert (not fused) == (training and dtype == torch.bfloat16)


def test_written_out_attention_agrees_with_the_fused_one():
    generator = torch.Generator().manual_seed(5)
    *inputs, direction = torch.randn(4, 3, 2, 7, 8, generator=generator).bfloat16()
    found, expected = [], []
    for dtype, function, results in (
        (torch.bfloat16, attend, found),
        (torch.float64, F.scaled_dot_product_attention, expected),
    ):
        leaves = [part.detach().to(dtype).requires_grad_() for part in inputs]
        output = function(*leaves)
        output.backward(direction.to(dtype))
        results += [output.detach(), *(leaf.grad for leaf in leaves)]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == torch.bfloat16
        torch.testing.assert_close(ours.double(), theirs, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_evaluation_agrees_with_the_textbook(norm, dtype):
    model, x = small_model(norm, dtype).eval(), images(dtype)
    with torch.no_grad():
        logits, expected = model(x), textbook(x, textbook_weights(model), norm)
    torch.testing.assert_close(logits, expected, **TOLERANCES[dtype])


def test_post_norm_is_another_function_than_pre_norm_with_the_same_weights():
    pre, post = (small_model(norm, torch.float32).eval() for norm in ("pre", "post"))
    assert all(torch.equal(a, b) for a, b in zip(pre.parameters(), post.parameters(), strict=True))
    x = images(torch.float32)
    assert (pre(x) - post(x)).abs().max() > 0.1


def test_class_token_and_positions_start_as_standard_normal_numbers():
    torch.manual_seed(0)
    model = models.build("vit", PUBLISHED | {"depth": 1}, manifest(3, 32, 32, 10))
    assert model.positions.shape == (1, 65, 256)
    assert model.class_token.shape == (1, 1, 256)
    # 16,640 and 256 numbers: 5 standard errors of mean and standard deviation.
    for weight in (model.positions, model.class_token):
        error = 5 / math.sqrt(weight.numel())
        assert abs(weight.mean()) < error
        assert abs(weight.std() - 1) < error


def test_dropout_acts_in_training_and_not_in_evaluation():
    torch.manual_seed(0)
    settings = SMALL | {"norm": "pre", "dropout": 0.5}
    model, x = models.build("vit", settings, manifest(*SHAPE, CLASSES)), images(torch.float32)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


# Stochastic depth


def thinned(norm: str, drop_path: float | None, depth: int = 3, dropout: float = 0.0):
    torch.manual_seed(0)
    settings = SMALL | {"norm": norm, "depth": depth, "dropout": dropout, "drop_path": drop_path}
    return models.build("vit", settings, manifest(*SHAPE, CLASSES))


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_the_probability_of_a_drop_rises_linearly_to_the_last_block(depth):
    found = [block.drop_path for block in thinned("pre", 0.4, depth).blocks]
    assert found == pytest.approx({1: [0], 2: [0, 0.4], 5: [0, 0.1, 0.2, 0.3, 0.4]}[depth])
    assert [block.drop_path for block in thinned("pre", None, depth).blocks] == [0] * depth


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("keep", [None, 1])
def test_whole_branches_of_an_example_are_dropped_and_the_others_scaled(norm, keep):
    torch.manual_seed(0)
    block = thinned(norm, 0.4).blocks[-1]
    nn.init.zeros_(block.mlp[3].weight)  # a branch that adds nothing, dropped or not
    nn.init.zeros_(block.mlp[3].bias)
    block.norm_mlp = nn.Identity()  # post-norm applies it last
    x = torch.randn(1, 7, 12).expand(4000, -1, -1)
    context = block.norm_attention(x) if norm == "pre" else x
    with torch.no_grad():
        branch = block.attention(context[:, :keep], context)
        after = nn.Identity() if norm == "pre" else block.norm_attention
        dropped, kept = after(x[:, :keep]), after(x[:, :keep] + branch / 0.6)
        found = block(x, keep)
    assert (kept - dropped).abs().amax() > 0.01
    near = [
        torch.isclose(found, one, rtol=1e-4, atol=1e-5).flatten(1).all(dim=1)
        for one in (dropped, kept)
    ]
    assert torch.equal(near[0], ~near[1])  # every example is one of the two, as a whole
    share = near[0].double().mean().item()
    assert abs(share - 0.4) < 5 * math.sqrt(0.4 * 0.6 / 4000)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_stochastic_depth_follows_the_global_generator_and_rests_in_evaluation(norm):
    model, x = thinned(norm, 0.5), images(torch.float32)
    plain = thinned(norm, None)
    results = []
    for number in (1, 1, 2):
        torch.manual_seed(number)
        results.append(model(x))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    assert torch.equal(model.eval()(x), plain.eval()(x))


def test_without_stochastic_depth_nothing_is_drawn():
    model, before = thinned("pre", None).train(), torch.get_rng_state()
    model(images(torch.float32))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_attention_and_mlp_are_dropped_independently(norm):
    block, x = thinned(norm, 0.5).blocks[-1], torch.randn(1, 7, 12).expand(400, -1, -1)
    with torch.no_grad():
        found = (block(x, keep=1).flatten(1) * 1e3).round()
    assert len(found.unique(dim=0)) == 4


def test_dropout_acts_on_patches_with_their_positions_too():
    model = small_model("pre", torch.float32).train()
    model.dropout.p = 1.0
    one, other = model(torch.randn(2, *SHAPE))
    torch.testing.assert_close(one, other)
