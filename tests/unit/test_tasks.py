"""What tasks feed to a model and how they score it."""

import math
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from trainstudy.arrays import Dataset
from trainstudy.models.lstm import LanguageModel
from trainstudy.tasks import Classification, LanguageModelling, Task, stream, text

CPU = torch.device("cpu")
VOCABULARY = 50
PUBLISHED = {
    "flip": 0.5, "crop_scale": [0.8, 1.0], "crop_ratio": [0.9, 1.1], "mixup": None, "cutmix": None,
}  # fmt: skip


def text_task(
    tokens: int = 100,
    length: int = 8,
    batch_size: int = 4,
    seed: int = 1,
    precision: str = "fp32",
    smoothing: float = 0.0,
    carry_state: bool = False,
) -> LanguageModelling:
    """Return the task of a random text whose three splits are equally long."""
    drawn = np.random.default_rng(0).integers(1, VOCABULARY, size=(3, tokens)).astype("uint16")
    names = ("train", "validation", "test")
    return LanguageModelling(
        Dataset(
            {f"{name}.tokens": part for name, part in zip(names, drawn, strict=True)},
            {"vocabulary": VOCABULARY, "bytes": dict.fromkeys(names, 1000)},
        ),
        {
            "sequence_length": length,
            "carry_state": carry_state,
            "model": {"layers": 2, "hidden": 5},
            "batch_size": batch_size,
            "precision": precision,
            "label_smoothing": smoothing,
        },
        seed,
        CPU,
    )


def image_task(
    count: int = 22,
    batch_size: int = 4,
    seed: int = 1,
    precision: str = "fp32",
    smoothing: float = 0.0,
    **augmentation: float,
) -> Classification:
    """Return the task of random images, each with its number as its label."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, images in (("train", count), ("validation", 7), ("test", 7)):
        arrays[f"{split}.images"] = rng.integers(0, 256, (images, 3, 8, 8), dtype=np.uint8)
        arrays[f"{split}.labels"] = np.arange(images, dtype=np.uint8)
    return Classification(
        Dataset(arrays, {"classes": 256, "mean": [0.5, 0.4, 0.3], "deviation": [0.2, 0.25, 0.5]}),
        {
            "augmentation": PUBLISHED | augmentation,
            "batch_size": batch_size,
            "precision": precision,
            "label_smoothing": smoothing,
        },
        seed,
        CPU,
    )


def language_model(dropout: float = 0.0) -> LanguageModel:
    torch.manual_seed(0)
    return LanguageModel(VOCABULARY, 6, 5, layers=2, dropout=dropout)


def classifier(dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Dropout(dropout), nn.Linear(3 * 8 * 8, 256))


CASES = {"text": (text_task, language_model), "images": (image_task, classifier)}


def equal(a: list[tuple[Tensor, Tensor]], b: list[tuple[Tensor, Tensor]]) -> bool:
    return len(a) == len(b) and all(
        torch.equal(x, y) for p, q in zip(a, b, strict=True) for x, y in zip(p, q, strict=True)
    )


@given(tokens=st.integers(2, 200), length=st.integers(1, 40))
def test_text_is_cut_so_that_every_token_but_the_first_is_predicted_once_in_order(tokens, length):
    task = text_task(tokens, length)
    text = torch.arange(1, tokens + 1)
    sources, targets = task.cut(text)
    assert sources.shape == targets.shape == (-(-tokens // length), length)
    assert torch.equal(sources[sources > 0], text)
    assert torch.equal(targets[targets > 0], text[1:])
    seen = targets > 0
    assert torch.equal(targets[seen], sources[seen] + 1)
    assert task.units == tokens - 1


@given(tokens=st.integers(2, 200), length=st.integers(1, 40), batch_size=st.integers(1, 9))
def test_an_epoch_of_text_holds_every_sequence_once_and_keeps_the_last_partial_batch(
    tokens, length, batch_size
):
    task = text_task(tokens, length, batch_size)
    batches = list(task.batches(epoch=1))
    sizes = [len(sources) for sources, _ in batches]
    count = -(-tokens // length)
    assert len(batches) == task.steps == -(-count // batch_size)
    assert sizes[:-1] == [batch_size] * (task.steps - 1)
    assert sum(sizes) == task.examples == count
    for part, whole in zip(zip(*batches, strict=True), task.data["train"], strict=True):
        assert sorted(torch.cat(part).tolist()) == sorted(whole.tolist())


@given(tokens=st.integers(2, 200), length=st.integers(1, 40), batch_size=st.integers(1, 9))
def test_streams_hold_every_sequence_once_and_each_step_the_next_of_each_stream(
    tokens, length, batch_size
):
    task = text_task(tokens, length, batch_size, carry_state=True)
    batches = list(task.batches(epoch=1))
    sizes = [len(sources) for sources, _ in batches]
    assert len(batches) == task.steps
    assert sizes[:-1] == [batch_size] * (task.steps - 1)
    assert sum(sizes) == task.examples == len(task.data["train"][0])
    assert sum(int((targets > 0).sum()) for _, targets in batches) == task.units
    for part, whole in zip(zip(*batches, strict=True), task.data["train"], strict=True):
        read = [[batch[n] for batch in part if n < len(batch)] for n in range(batch_size)]
        assert torch.equal(torch.cat([torch.stack(stream) for stream in read if stream]), whole)
    assert equal(list(task.batches(epoch=2)), batches)


def test_the_streams_of_seven_sequences():
    assert text.streams(7, 3).tolist() == [0, 3, 5, 1, 4, 6, 2]
    assert text.streams(2, 5).tolist() == [0, 1]


def test_training_goes_on_from_the_state_of_the_sequence_before():
    # 11 sequences of 8 tokens in 3 streams of 4, 4 and 3.
    task, model = text_task(88, 8, batch_size=3, carry_state=True), language_model()
    scores = torch.cat([task.loss(model, batch)[1][0] for batch in task.batches(1)])
    sources, targets = task.data["train"]
    losses = torch.cat([whole_losses(model, sources[part], targets[part]) for part in
                        (slice(0, 4), slice(4, 8), slice(8, 11))])  # fmt: skip
    torch.testing.assert_close(scores, losses[text.streams(11, 3)])
    assert not torch.allclose(scores, text_scores(task, model)[text.streams(11, 3)])


def whole_losses(model: LanguageModel, sources: Tensor, targets: Tensor) -> Tensor:
    """Return the summed loss of each sequence (S,) where they are read as one text."""
    logits = model(sources.reshape(1, -1))[0]
    return F.cross_entropy(
        logits, targets.flatten(), ignore_index=0, reduction="none"
    ).view_as(targets).sum(dim=1).detach()  # fmt: skip


def text_scores(task: LanguageModelling, model: LanguageModel) -> Tensor:
    """Return the summed loss of each sequence (S,) where each begins at zero."""
    pairs = zip(*task.data["train"], strict=True)
    return torch.cat([whole_losses(model, source[None], target[None]) for source, target in pairs])


def test_no_gradient_flows_into_the_step_before():
    task, model = text_task(88, 8, batch_size=3, carry_state=True), language_model()
    batches = task.batches(1)
    task.loss(model, next(batches))[0].backward()
    before, batch = task.carried.clone(), next(batches)
    assert before.abs().min() > 0
    model.zero_grad()
    objective, _ = task.loss(model, batch)
    objective.backward()
    assert not task.carried.requires_grad
    assert not torch.equal(task.carried, before)
    found = [weight.grad.clone() for weight in model.parameters()]
    model.zero_grad()
    other = text_task(88, 8, batch_size=3, carry_state=True)
    other.carried.copy_(before)  # without any history
    other.loss(model, batch)[0].backward()
    assert all(map(torch.equal, found, (weight.grad for weight in model.parameters())))


@pytest.mark.parametrize("batch_size", [1, 3, 50])
def test_evaluation_reads_the_text_as_one_whatever_the_batches(batch_size):
    task, model = text_task(90, 8, batch_size, carry_state=True), language_model()
    task.carried += 1  # the state of training is none of its business
    before = task.carried.clone()
    loss = whole_losses(model, *task.data["test"]).sum().item()
    scores = [task.evaluate(model, "test")["loss"] for _ in range(2)]
    assert scores == [pytest.approx(loss / 89, rel=1e-5)] * 2
    assert torch.equal(task.carried, before)
    assert scores[0] != text_task(90, 8, batch_size).evaluate(model, "test")["loss"]


@given(count=st.integers(1, 60), batch_size=st.integers(1, 20))
def test_an_epoch_of_images_repeats_none_and_drops_the_last_partial_batch(count, batch_size):
    if batch_size > count:
        with pytest.raises(ValueError, match="batch_size"):
            image_task(count, batch_size)
        return
    task = image_task(count, batch_size)
    labels = [labels.tolist() for _, labels in task.batches(epoch=1)]
    assert [len(batch) for batch in labels] == [batch_size] * (count // batch_size)
    assert len(labels) == task.steps
    assert task.units == task.examples == task.steps * batch_size
    assert len({label for batch in labels for label in batch}) == task.units


def test_batch_larger_than_the_training_set_is_refused_with_both_numbers():
    with pytest.raises(ValueError, match=r"batch_size 23 .* 22 images"):
        image_task(count=22, batch_size=23)


def test_a_sequence_without_anything_to_predict_leaves_the_loss_finite():
    # Of 17 tokens in sequences of 8, the last stands alone: a third source without a target.
    task = text_task(tokens=17, length=8, batch_size=1)
    model = language_model()
    losses = [task.loss(model, batch)[0] for batch in task.batches(epoch=1)]
    assert torch.stack(losses).isfinite().all()


def test_order_is_a_permutation_that_follows_from_seed_and_epoch_alone():
    orders = {
        (seed, epoch): tuple(text_task(seed=seed).order(50, epoch).tolist())
        for seed in (1, 2)
        for epoch in (1, 2, 12)
    }
    assert all(sorted(order) == list(range(50)) for order in orders.values())
    assert len(set(orders.values())) == len(orders)
    task = image_task(seed=2)  # another kind of task, in another global state, in another sequence
    torch.rand(7)
    for epoch in (12, 1, 2, 1):
        assert tuple(task.order(50, epoch).tolist()) == orders[2, epoch]


def test_streams_of_seed_epoch_and_purpose_differ():
    keys = [(1, 1, "order"), (1, 1, "dropout"), (1, 2, "order"), (2, 1, "order"), (1, 11, "order")]
    keys.append((11, 1, "order"))
    drawn = [torch.rand(4, generator=stream(*key)) for key in keys]
    assert len(torch.stack(drawn).unique(dim=0)) == len(keys)
    assert torch.equal(torch.rand(4, generator=stream(1, 1, "order")), drawn[0])


@pytest.mark.parametrize("make", [text_task, image_task])
def test_an_epoch_repeats_alone_and_differs_from_other_epochs_and_seeds(make):
    task = make()
    first, second = list(task.batches(1)), list(task.batches(2))
    assert equal(list(make().batches(2)), second)
    assert equal(list(task.batches(1)), first)
    assert not equal(second, first)
    assert not equal(list(make(seed=2).batches(1)), first)


def test_augmentation_follows_from_seed_and_epoch(monkeypatch):
    monkeypatch.setattr(Task, "order", lambda self, count, epoch: torch.arange(count))

    def augmented(seed: int, epoch: int) -> Tensor:
        return torch.cat([images for images, _ in image_task(seed=seed).batches(epoch)])

    keys = [(1, 1), (1, 2), (2, 1), (2, 2)]
    results = [augmented(*key) for key in keys]
    for result, key in zip(results, keys, strict=True):
        assert torch.equal(augmented(*key), result)
        other = [r for r in results if r is not result]
        assert all(not torch.equal(result, r) for r in other)


def test_normalising_subtracts_the_mean_and_divides_by_the_deviation_of_each_channel():
    image = torch.tensor([0.7, 0.4, 0.8]).view(1, 3, 1, 1).expand(2, 3, 4, 4)
    expected = torch.tensor([1.0, 0.0, 1.0]).view(1, 3, 1, 1).expand(2, 3, 4, 4)
    torch.testing.assert_close(image_task().normalise(image), expected)


@pytest.mark.parametrize(("size", "images"), [(8, 500), (32, 500), (64, 125), (1_000, 1)])
def test_larger_images_are_evaluated_fewer_at_a_time(size, images):
    pixels = np.zeros((4, 1, size, size), np.uint8)
    arrays = {"train.images": pixels, "train.labels": pixels[:, 0, 0, 0]}
    manifest = {"kind": "images", "classes": 2, "mean": [0.5], "deviation": [0.3]}
    chosen = {"batch_size": 2, "precision": "fp32", "label_smoothing": 0.0}
    task = Classification(Dataset(arrays, manifest), chosen, 1, torch.device("cpu"))
    assert task.evaluation_batch == images


def test_evaluation_sees_every_image_once_in_order_normalised_and_not_augmented(monkeypatch):
    monkeypatch.setattr("trainstudy.tasks.images.EVALUATION_BATCH", 3)
    task, model, seen = image_task(), classifier(), []
    model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    task.evaluate(model, "validation")
    raw = task.data["validation.images"].float() / 255
    torch.testing.assert_close(torch.cat(seen), task.normalise(raw))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_scores_of_images_are_plain_cross_entropy_and_hits(monkeypatch, smoothing):
    monkeypatch.setattr("trainstudy.tasks.images.EVALUATION_BATCH", 3)
    task, model = image_task(batch_size=4, smoothing=smoothing), classifier()
    images = task.normalise(task.data["test.images"].float() / 255)
    logits, labels = model(images), task.data["test.labels"].long()
    with torch.no_grad():
        model[2].bias[2] += 5  # so that some images are hit
        logits = model(images)
    loss = F.cross_entropy(logits, labels, reduction="none").double()
    hits = (logits.argmax(dim=1) == labels).double()
    assert 0 < hits.sum() < 7
    scores = task.evaluate(model, "test")
    assert scores["loss"] == pytest.approx(loss.mean().item(), rel=1e-5)
    assert scores["accuracy"] == pytest.approx(hits.mean().item())
    # Averaged over batches of 4 and 3, whatever the batches of the evaluation.
    published = (loss[:4].mean() + loss[4:].mean()) / 2
    assert scores["loss_published"] == pytest.approx(published.item(), rel=1e-5)
    published = (hits[:4].mean() + hits[4:].mean()) / 2
    assert scores["accuracy_published"] == pytest.approx(published.item())

    objective, _ = task.loss(model, (images, labels))
    smooth = F.cross_entropy(logits, labels, label_smoothing=smoothing)
    torch.testing.assert_close(objective, smooth)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_scores_of_mixed_images_are_soft_cross_entropy_and_hits_of_the_larger_share(smoothing):
    task, model = image_task(batch_size=20, smoothing=smoothing, mixup=1.0), classifier()
    images, shares = next(task.batches(1))
    assert shares.shape == (20, 256)
    with torch.no_grad():
        model[2].bias[shares[3].argmax()] += 50  # so that some images are hit
        log_p = model(images).log_softmax(dim=1)
    objective, (loss, hits) = task.loss(model, (images, shares))
    torch.testing.assert_close(loss, -(shares * log_p).sum(dim=1))
    assert torch.equal(hits, (log_p.argmax(1) == shares.argmax(1)).float())
    assert 0 < hits.sum() < 20
    smooth = shares * (1 - smoothing) + smoothing / 256
    torch.testing.assert_close(objective.detach(), -(smooth * log_p).sum(dim=1).mean())


@pytest.mark.parametrize("kinds", [{"mixup": 0.5}, {"cutmix": 0.5}, {"mixup": 0.5, "cutmix": 1.0}])
def test_mixing_follows_from_seed_and_epoch_and_goes_on_in_the_middle(kinds):
    def batches(seed: int = 1, epoch: int = 1) -> list[tuple[Tensor, Tensor]]:
        return list(image_task(seed=seed, **kinds).batches(epoch))

    first = batches()
    assert equal(batches(), first)
    assert not equal(batches(epoch=2), first)
    assert not equal(batches(seed=2), first)
    task, generator = image_task(**kinds), stream(1, 1, "augmentation")
    states, found = [], []
    for rows in task.rows(1):
        states.append(generator.get_state())
        found.append(task.batch(rows, generator))
    assert equal(found, first)
    generator.set_state(states[2])
    assert equal([task.batch(rows, generator) for rows in task.rows(1)[2:]], first[2:])


def test_mixing_leaves_evaluation_as_it_is():
    mixed, plain = image_task(mixup=1.0, cutmix=1.0), image_task()
    assert mixed.evaluate(classifier(), "test") == plain.evaluate(classifier(), "test")


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_scores_of_text_are_plain_cross_entropy_of_the_targets(smoothing):
    # 21 tokens in sequences of 8 make 3 sequences, in batches of 2.
    task, model = text_task(21, 8, batch_size=2, smoothing=smoothing), language_model()
    sources, targets = task.data["test"]
    with torch.no_grad():
        logits = model(sources).flatten(0, 1)
    loss = F.cross_entropy(logits, targets.flatten(), ignore_index=0, reduction="none").double()
    scores = task.evaluate(model, "test")
    mean, published = loss.sum() / 20, (loss[:16].sum() / 16 + loss[16:].sum() / 16) / 2
    assert scores["loss"] == pytest.approx(mean.item(), rel=1e-5)
    assert scores["loss_published"] == pytest.approx(published.item(), rel=1e-5)
    assert scores["perplexity"] == pytest.approx(mean.exp().item(), rel=1e-4)
    bits = loss.sum().item() / np.log(2) / 1000
    assert scores["bits_per_byte"] == pytest.approx(bits, rel=1e-5)

    objective, _ = task.loss(model, (sources, targets))
    smooth = F.cross_entropy(logits, targets.flatten(), ignore_index=0, label_smoothing=smoothing)
    torch.testing.assert_close(objective.detach(), smooth)


def test_larger_batches_of_evaluation_give_the_same_scores():
    task, model = text_task(90, 8, batch_size=2), language_model()
    expected = task.evaluate(model, "test")
    assert task.evaluation_batch == 2
    task.evaluation_batch = 5
    assert task.evaluate(model, "test") == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("kind", CASES)
def test_evaluation_switches_dropout_off(kind):
    make, build = CASES[kind]
    model = build(dropout=0.9).train()
    assert make().evaluate(model, "test") == make().evaluate(build(dropout=0.0), "test")
    assert not model.training


@pytest.mark.parametrize("kind", CASES)
def test_evaluation_draws_nothing_and_leaves_training_as_it_was(kind):
    make, build = CASES[kind]
    task, model = make(), build(dropout=0.5)
    expected = list(task.batches(1))
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()

    seen = []
    for batch in task.batches(1):
        seen.append(batch)
        task.evaluate(model, "validation")

    assert equal(seen, expected)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])
    assert random.getstate() == states[2]


@pytest.mark.parametrize("kind", CASES)
def test_bf16_computes_in_bf16_and_scores_in_float32(kind):
    make, build = CASES[kind]
    exact, rounded = make(), make(precision="bf16")
    batch = next(exact.batches(1))
    objective, scores = exact.loss(build(), batch)
    rounded_objective, rounded_scores = rounded.loss(build(), batch)
    assert rounded_objective.dtype == rounded_scores.dtype == torch.float32
    assert not torch.equal(rounded_scores, scores)
    torch.testing.assert_close(rounded_objective, objective, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("kind", CASES)
def test_scores_carry_no_gradient_and_the_objective_does(kind):
    make, build = CASES[kind]
    task: Task = make()
    batch = next(task.batches(1))
    objective, scores = task.loss(build(), batch)
    assert objective.shape == ()
    assert objective.requires_grad
    assert scores.shape == (2, len(batch[0]))
    assert not scores.requires_grad


def test_images_are_seen_in_another_order_in_every_epoch():
    task = image_task()
    orders = [torch.cat([*task.rows(epoch)]).tolist() for epoch in (1, 2)]
    assert orders[0] != orders[1]


def test_bits_per_byte_are_those_of_the_split():
    task = text_task()
    task.manifest["bytes"] |= {"train": 500, "validation": 1000, "test": 2000}
    _, build = CASES["text"]
    model = build(dropout=0.0)
    for split, size in (("validation", 1000), ("test", 2000)):
        found = task.evaluate(model, split)
        assert found["bits_per_byte"] == pytest.approx(found["loss"] * 99 / math.log(2) / size)


def test_training_images_are_normalised_as_those_of_evaluation():
    task = image_task(flip=0.0, crop_scale=[1.0, 1.0], crop_ratio=[1.0, 1.0])
    rows = task.rows(1)[0]
    images, _ = task.batch(rows, stream(1, 1, "augmentation"))
    whole = task.normalise(task.data["train.images"][rows].float() / 255)
    torch.testing.assert_close(images, whole, rtol=0, atol=1e-3)


@pytest.mark.parametrize("kind", CASES)
def test_evaluation_computes_no_gradient(kind):
    make, build = CASES[kind]
    model, seen = build(), []
    last = [*model.children()][-1]
    last.register_forward_hook(lambda *_: seen.append(torch.is_grad_enabled()))
    make().evaluate(model, "test")
    assert {*seen} == {False}


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_the_output_layer_computes_in_the_precision(monkeypatch, precision, dtype):
    seen, real = [], text.linear_cross_entropy

    def noted(*arguments):
        seen.append(arguments[-1])
        return real(*arguments)

    monkeypatch.setattr(text, "linear_cross_entropy", noted)
    task = text_task(precision=precision)
    task.loss(CASES["text"][1](), next(task.batches(1)))
    assert seen == [dtype]


def test_what_a_seed_stands_for_stays():
    """Of kept runs, which are to be repeated from their seed."""
    assert stream(42, 1, "order").initial_seed() == 1_739_124_386_921_719_517
    task = image_task()
    drawn = torch.randperm(task.examples, generator=stream(task.seed, 3, "order"))
    assert torch.equal(task.order(task.examples, 3), drawn)
