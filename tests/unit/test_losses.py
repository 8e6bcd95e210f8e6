"""The fused output layer and cross-entropy against F.cross_entropy on all logits."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from trainstudy import losses
from trainstudy.losses import linear_cross_entropy

ROWS, SIZE, VOCABULARY = 12, 5, 9
MANY_PADDED = [3, 0, 8, 1, 0, 0, 4, 4, 7, 2, 5, 0]
NONE_PADDED = [3, 6, 8, 1, 8, 2, 4, 4, 7, 2, 5, 1]
ONE_LEFT = [0] * 7 + [6] + [0] * 4


def inputs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(ROWS, SIZE, generator=generator, requires_grad=True)
    weight = torch.randn(VOCABULARY, SIZE, generator=generator, requires_grad=True)
    return features, weight


def reference(
    features: Tensor, weight: Tensor, targets: Tensor, smoothing: float
) -> tuple[Tensor, Tensor]:
    logits = features @ weight.T
    mean = F.cross_entropy(logits, targets, ignore_index=0, label_smoothing=smoothing)
    return mean, F.cross_entropy(logits, targets, ignore_index=0, reduction="none")


@pytest.mark.parametrize("rows", [1, 5, 6, ROWS, 1024])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(
    "targets", [MANY_PADDED, NONE_PADDED, ONE_LEFT], ids=["many padded", "none padded", "one left"]
)
def test_agrees_with_cross_entropy_on_all_logits(monkeypatch, targets, smoothing, rows):
    monkeypatch.setattr(losses, "ROWS", rows)
    targets = torch.tensor(targets)
    (features, weight), (other_features, other_weight) = inputs(), inputs()

    mean, each = linear_cross_entropy(features, weight, targets, smoothing, torch.float32)
    expected_mean, expected_each = reference(other_features, other_weight, targets, smoothing)
    (2.5 * mean).backward()
    (2.5 * expected_mean).backward()

    torch.testing.assert_close(mean, expected_mean)
    torch.testing.assert_close(each, expected_each)
    torch.testing.assert_close(features.grad, other_features.grad)
    torch.testing.assert_close(weight.grad, other_weight.grad)
    assert not each.requires_grad


def test_padding_gets_no_loss_and_no_gradient():
    (features, weight), targets = inputs(), torch.tensor(MANY_PADDED)
    mean, each = linear_cross_entropy(features, weight, targets, 0.1, torch.float32)
    mean.backward()
    assert torch.equal(each == 0, targets == 0)
    assert torch.equal((features.grad == 0).all(dim=1), targets == 0)


def test_smoothing_enters_the_mean_only():
    (features, weight), targets = inputs(), torch.tensor(MANY_PADDED)
    plain, each = linear_cross_entropy(features, weight, targets, 0.0, torch.float32)
    smooth, same = linear_cross_entropy(features, weight, targets, 0.1, torch.float32)
    assert torch.equal(each, same)
    assert plain != smooth
    torch.testing.assert_close(plain, each.sum() / (targets > 0).sum())


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_gradient_is_the_slope_of_the_loss(smoothing):
    (features, weight), targets = inputs(), torch.tensor(MANY_PADDED)

    def loss(features: Tensor, weight: Tensor) -> float:
        return linear_cross_entropy(features, weight, targets, smoothing, torch.float32)[0].item()

    linear_cross_entropy(features, weight, targets, smoothing, torch.float32)[0].backward()
    generator, step = torch.Generator().manual_seed(1), 1e-2
    for _ in range(5):
        a = torch.randn(features.shape, generator=generator)
        b = torch.randn(weight.shape, generator=generator)
        a, b = a / a.norm(), b / b.norm()
        ahead = loss(features.detach() + step * a, weight.detach() + step * b)
        behind = loss(features.detach() - step * a, weight.detach() - step * b)
        slope = (features.grad * a).sum() + (weight.grad * b).sum()
        assert (ahead - behind) / (2 * step) == pytest.approx(slope.item(), abs=1e-4)


def test_frozen_weight_gets_no_gradient_and_leaves_that_of_the_features_as_it_is():
    (features, weight), (other_features, other_weight) = inputs(), inputs()
    targets = torch.tensor(MANY_PADDED)
    weight.requires_grad_(False)
    linear_cross_entropy(features, weight, targets, 0.1, torch.float32)[0].backward()
    reference(other_features, other_weight, targets, 0.1)[0].backward()
    assert weight.grad is None
    torch.testing.assert_close(features.grad, other_features.grad)


def test_without_gradients_the_losses_are_the_same():
    (features, weight), targets = inputs(), torch.tensor(MANY_PADDED)
    mean, each = linear_cross_entropy(features, weight, targets, 0.1, torch.float32)
    with torch.no_grad():
        silent_mean, silent_each = linear_cross_entropy(
            features.detach(), weight, targets, 0.1, torch.float32
        )
    assert not silent_mean.requires_grad
    assert torch.equal(mean, silent_mean)
    assert torch.equal(each, silent_each)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_bf16_agrees_to_its_precision_and_returns_float32(monkeypatch, smoothing):
    monkeypatch.setattr(losses, "ROWS", 5)
    (features, weight), (other_features, other_weight) = inputs(), inputs()
    targets = torch.tensor(MANY_PADDED)

    mean, each = linear_cross_entropy(
        features.bfloat16(), weight, targets, smoothing, torch.bfloat16
    )
    expected_mean, expected_each = reference(other_features, other_weight, targets, smoothing)
    mean.backward()
    expected_mean.backward()

    assert mean.dtype == each.dtype == features.grad.dtype == weight.grad.dtype == torch.float32
    assert not torch.equal(each, expected_each)
    # bf16 has 8 significant bits: a relative error of 0.4 % in every logit, of up to about 5.
    torch.testing.assert_close(mean, expected_mean, rtol=0.02, atol=0.02)
    torch.testing.assert_close(each, expected_each, rtol=0.02, atol=0.05)
    torch.testing.assert_close(features.grad, other_features.grad, rtol=0.05, atol=0.01)
    torch.testing.assert_close(weight.grad, other_weight.grad, rtol=0.05, atol=0.01)


def test_softmax_of_bf16_logits_is_computed_in_float32():
    features, weight = (part.detach().bfloat16() for part in inputs())
    targets = torch.tensor(MANY_PADDED)
    mean, each = linear_cross_entropy(features, weight, targets, 0.1, torch.bfloat16)
    logits = (features @ weight.T).float()
    expected = F.cross_entropy(logits, targets, ignore_index=0, reduction="none")
    torch.testing.assert_close(each, expected)
    expected = F.cross_entropy(logits, targets, ignore_index=0, label_smoothing=0.1)
    torch.testing.assert_close(mean, expected)


def test_huge_logits_stay_finite():
    features = torch.tensor([[1000.0], [-1000.0]], requires_grad=True)
    weight = torch.tensor([[0.0], [1.0], [-1.0]], requires_grad=True)
    mean, each = linear_cross_entropy(features, weight, torch.tensor([1, 1]), 0.0, torch.float32)
    mean.backward()
    assert each.tolist() == [0.0, 2000.0]
    assert features.grad.isfinite().all()
    assert weight.grad.isfinite().all()


def test_the_softmax_is_cut_for_the_caches_of_a_cpu(monkeypatch):
    softmax, sizes = torch.log_softmax, []

    def counted(logits: Tensor, **options) -> Tensor:
        sizes.append(len(logits))
        return softmax(logits, **options)

    monkeypatch.setattr(losses, "SOFTMAX_ROWS", ROWS // 4)
    monkeypatch.setattr(torch, "log_softmax", counted)
    (features, weight), targets = inputs(), torch.tensor(MANY_PADDED)
    linear_cross_entropy(features, weight, targets, 0.0, torch.float32)
    assert sizes == [ROWS // 4] * 4


@pytest.fixture
def no_choice():
    """Forget which softmax was chosen, before and after."""
    losses._softmax_of.cache_clear()
    yield
    losses._softmax_of.cache_clear()


@pytest.mark.usefixtures("no_choice")
def test_where_the_loss_cannot_be_compiled_it_is_not_and_that_is_said(monkeypatch, caplog):
    def broken(*arguments) -> None:
        raise RuntimeError("no C compiler\nand more")

    zeros = torch.zeros
    monkeypatch.setattr(torch, "zeros", lambda *size, device: zeros(*size))
    for compiled, expected in ((broken, losses._softmax_at_once), (print, print)):
        monkeypatch.setattr(torch, "compile", lambda function, dynamic, one=compiled: one)
        losses._softmax_of.cache_clear()
        assert losses._softmax_of("cuda", compiles=True) is expected
    (record,) = caplog.records
    assert record.getMessage().endswith("time and memory: no C compiler")


@pytest.mark.parametrize("compiled", [False, True])
def test_of_a_compiled_softmax_more_tokens_go_at_a_time(monkeypatch, compiled):
    sizes, plain = [], losses._softmax_in_pieces

    def counted(logits: Tensor, *arguments) -> None:
        sizes.append(len(logits))
        plain(logits, *arguments)

    monkeypatch.setattr(losses, "ROWS", ROWS // 4)
    monkeypatch.setattr(losses, "ROWS_COMPILED", ROWS // 2)
    monkeypatch.setattr(losses, "_softmax_of", lambda device, compiles: counted)
    if not compiled:
        monkeypatch.setattr(losses, "_softmax_at_once", counted)
    (features, weight), targets = inputs(), torch.tensor(MANY_PADDED)
    linear_cross_entropy(features, weight, targets, 0.0, torch.float32)
    assert sizes == ([ROWS // 2] * 2 if compiled else [ROWS // 4] * 4)


@pytest.mark.usefixtures("no_choice")
@pytest.mark.parametrize("deterministic", [True, False])
def test_the_deterministic_mode_compiles_no_loss(monkeypatch, deterministic):
    chosen = {}

    def softmax_of(device: str, compiles: bool):
        chosen["compiles"] = compiles
        return losses._softmax_in_pieces

    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: deterministic)
    with monkeypatch.context() as patched:
        patched.setattr(losses, "_softmax_of", softmax_of)
        (features, weight), targets = inputs(), torch.tensor(MANY_PADDED)
        linear_cross_entropy(features, weight, targets, 0.0, torch.float32)
    assert chosen == {"compiles": not deterministic}
    monkeypatch.setattr(torch, "compile", lambda *_, **__: pytest.fail("compiled"))
    assert losses._softmax_of("cuda", compiles=False) is losses._softmax_at_once


@pytest.mark.parametrize("gradient", [True, False])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_softmax_that_a_gpu_compiles_is_the_same(smoothing, gradient):
    found = {}
    for softmax in (losses._softmax_in_pieces, losses._softmax_at_once):
        features, weight = (part.detach() for part in inputs())
        logits, targets = features @ weight.T, torch.tensor(MANY_PADDED)
        each, smooth = torch.zeros(2, ROWS)
        softmax(logits, targets, each, smooth, smoothing, gradient)
        found[softmax] = logits, each, smooth
    for one, other in zip(*found.values(), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_words_that_align_the_products_of_a_gpu_change_nothing(monkeypatch, smoothing):
    plain, aligned = ((*inputs(), torch.tensor(MANY_PADDED)) for _ in range(2))
    shapes, mm = [], torch.mm

    def seen(rows: Tensor, table: Tensor, out: Tensor) -> Tensor:
        shapes.append(out.shape)
        return mm(rows, table, out=out)

    monkeypatch.setattr(torch, "mm", seen)
    expected = linear_cross_entropy(*plain, smoothing, torch.float32)
    expected[0].backward()
    monkeypatch.setattr(Tensor, "is_cuda", True)
    found = linear_cross_entropy(*aligned, smoothing, torch.float32)
    found[0].backward()
    assert shapes == [(ROWS, VOCABULARY), (ROWS, losses.ALIGNMENT)]
    for mine, its in zip(
        [*found, *(part.grad for part in aligned[:2])],
        [*expected, *(part.grad for part in plain[:2])],
        strict=True,
    ):
        torch.testing.assert_close(mine, its)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_gpu_computes_the_same_loss_and_gradient(smoothing):
    plain, (features, weight) = inputs(), inputs()
    expected = reference(*plain, torch.tensor(MANY_PADDED), smoothing)
    expected[0].backward()
    features, weight = (part.detach().cuda().requires_grad_() for part in (features, weight))
    targets = torch.tensor(MANY_PADDED).cuda()
    found = linear_cross_entropy(features, weight, targets, smoothing, torch.float32)
    found[0].backward()
    for mine, its in zip(
        [*found, features.grad, weight.grad],
        [*expected, *(part.grad for part in plain)],
        strict=True,
    ):
        torch.testing.assert_close(mine.cpu(), its)
