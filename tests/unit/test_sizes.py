"""Predicted memory and counted attention, for models small enough to count by hand."""

import functools
import itertools
import json
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from trainstudy import config, losses, models, optimizers, sizes
from trainstudy.models import vit

IMAGES = {
    "kind": "images", "classes": 10, "mean": [0.5, 0.5, 0.5], "deviation": [0.2, 0.2, 0.2],
    "shapes": {
        f"{split}.{kind}": [200, 3, 32, 32] if kind == "images" else [200]
        for split in ("train", "validation", "test")
        for kind in ("images", "labels")
    },
}  # fmt: skip
TEXT = {
    "kind": "text", "vocabulary": 50, "bytes": dict.fromkeys(("train", "validation", "test"), 400),
    "shapes": {f"{split}.tokens": [400] for split in ("train", "validation", "test")},
}  # fmt: skip
COMMON = {
    "precision": "bf16", "label_smoothing": 0.0, "batch_size": 8,
    "augmentation": {
        "flip": 0.5, "crop_scale": [0.8, 1.0], "crop_ratio": [0.9, 1.1],
        "mixup": None, "cutmix": None,
    },
}  # fmt: skip
VIT = COMMON | {
    "family": "vit",
    "dataset": "images",
    "model": {
        "depth": 2, "dim": 32, "heads": 4, "mlp": 64, "patch": 8, "norm": "pre", "dropout": 0.0
    },
}  # fmt: skip
CNN = COMMON | {"family": "cnn", "dataset": "images", "model": {"name": "resnet"}}
LSTM = COMMON | {
    "family": "lstm",
    "dataset": "text",
    "sequence_length": 16,
    "carry_state": False,
    "model": {
        "layers": 2, "hidden": 12, "embedding": "learned", "embedding_size": 6, "dropout": 0.0
    },
}  # fmt: skip
ATTEND, ALIGNED, LOGIT_ROWS = vit.attend, losses._aligned, losses.ROWS
MANIFESTS = {"images": IMAGES, "text": TEXT}


def optimizer(name: str) -> dict:
    return {"optimizer": {"name": name, "lr": 0.001, "weight_decay": 0.0, "momentum": 0.9}}


def predict(settings: dict, name: str = "adamw") -> dict:
    return dict(_predict(json.dumps(settings), name))  # each once: they take a while


@functools.cache
def _predict(settings: str, name: str) -> dict:
    (row,) = sizes.predict({"mine": json.loads(settings) | optimizer(name)}, MANIFESTS)
    return row


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        *((VIT, name) for name in ("adam", "adamw", "sgd", "momentum")),
        (CNN, "adamw"),
        (LSTM, "adamw"),
        (LSTM, "momentum"),
    ],
    ids=lambda value: value if isinstance(value, str) else value["family"],
)
def test_parameters_gradients_and_optimizer_are_counted_exactly(settings, name):
    model = models.build(
        settings["family"], settings["model"], MANIFESTS[settings["dataset"]], None
    )
    weights = list(model.parameters())
    real = optimizers.build(optimizer(name)["optimizer"], model)
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    real.step()
    state = sum(
        value.nbytes
        for one in real.state.values()
        for value in one.values()
        if isinstance(value, torch.Tensor)
    )
    row = predict(settings, name)
    counted = sum(weight.numel() for weight in weights)
    assert row["parameters"] == row["gradients"] == 4 * counted
    assert row["optimizer"] == state
    # By hand: two moments and a step counter for Adam, one buffer for momentum, nothing for SGD.
    adam = 8 * counted + 4 * len(weights)
    assert state == {"adam": adam, "adamw": adam, "sgd": 0, "momentum": 4 * counted}[name]


@pytest.mark.parametrize("settings", [VIT, CNN, LSTM], ids=["vit", "cnn", "lstm"])
def test_the_parts_add_up_to_the_peak(settings):
    row = predict(settings)
    parts = [value for name, value in row.items() if name not in ("experiment", "total")]
    assert sum(parts) == row["total"]
    assert all(part >= 0 for part in parts)
    assert row["activations"] > 0


def test_the_data_lie_on_the_gpu():
    # 600 images of 3,072 bytes and a label each; text as source and target, int64.
    assert predict(VIT)["constants"] == 600 * (3072 + 1)
    assert predict(LSTM)["constants"] == 3 * 2 * 25 * 16 * 8


def test_a_carried_state_is_two_numbers_of_every_layer_and_stream_and_a_copy_for_the_way_back():
    more = predict(LSTM | {"carry_state": True})["total"] - predict(LSTM)["total"]
    state = 2 * 2 * 8 * 12 * 4
    assert state <= more <= 3 * state


def test_mixed_labels_are_probabilities():
    mixed = VIT | {"augmentation": VIT["augmentation"] | {"mixup": 1.0}}
    rows = list(
        sizes.predict(
            {name: run | optimizer("adamw") for name, run in (("a", VIT), ("b", mixed))}, MANIFESTS
        )
    )
    assert rows[0]["total"] < rows[1]["total"] < rows[0]["total"] + 10 * 8 * 10 * 4


def test_a_frozen_embedding_is_constant_and_not_trained():
    frozen = LSTM | {"model": LSTM["model"] | {"embedding": "gpt1"}}
    table = 50 * 6 * 4
    assert predict(frozen)["constants"] == predict(LSTM)["constants"] + table
    assert predict(frozen)["parameters"] == predict(LSTM)["parameters"] - table


def test_the_copy_of_the_table_that_a_gpu_pads_counts_in_float32_too(monkeypatch):
    exact = LSTM | {"precision": "fp32"}
    padded = predict(exact)["total"]
    monkeypatch.setattr(losses, "padded", lambda weight, dtype: weight.to(dtype))
    (row,) = sizes.predict({"mine": exact | optimizer("adamw")}, MANIFESTS)
    table, logits, gradient = 64 * 6, 8 * 16 * (64 - 50), (64 - 50) * 6
    assert padded - row["total"] == 4 * (table + logits + gradient)


def test_activations_grow_with_the_batch_and_with_depth():
    small = predict(VIT)
    twice = predict(VIT | {"batch_size": 16})
    # At the peak, where the way back begins, activations are in the place of gradients.
    taken = [row["activations"] + row["gradients"] for row in (small, twice)]
    assert 1.8 < taken[1] / taken[0] < 2.1
    deeper = predict(VIT | {"model": VIT["model"] | {"depth": 4}})
    assert deeper["activations"] > 1.3 * small["activations"]
    assert twice["parameters"] == small["parameters"]


def test_attention_is_that_of_a_gpu_which_keeps_no_matrix_of_scores():
    # 17 tokens, 8 images, 4 heads: a float32 matrix of scores would be 8·4·17² numbers.
    many = VIT | {"model": VIT["model"] | {"patch": 2, "depth": 1}}  # 257 tokens
    scores = 8 * 4 * 257**2 * 2
    deeper = predict(many | {"model": many["model"] | {"depth": 2}})
    assert deeper["activations"] - predict(many)["activations"] < scores


def test_what_an_lstm_keeps_for_the_way_back_is_added_by_the_stated_rule():
    # Tokens · layers · (four gates and the cell) · hidden, two or four bytes each.
    for precision, size in (("bf16", 2), ("fp32", 4)):
        reserve = sizes._lstm_reserve(LSTM | {"precision": precision}, 8 * 16)
        assert reserve == 8 * 16 * 2 * 5 * 12 * size
    assert sizes._lstm_reserve(VIT, 8) == 0


def test_a_batch_that_the_text_cannot_fill_is_predicted_as_it_is():
    whole, larger = (predict(LSTM | {"batch_size": size})["total"] for size in (10_000, 100_000))
    assert larger == whole


def test_what_an_lstm_keeps_is_part_of_its_activations(monkeypatch):
    expected = predict(LSTM)["activations"] - sizes._lstm_reserve(LSTM, 8 * 16)
    monkeypatch.setattr(sizes, "_lstm_reserve", lambda settings, tokens: 0)
    (row,) = sizes.predict({"mine": LSTM | optimizer("adamw")}, MANIFESTS)
    assert row["activations"] == expected


def test_gradients_are_whole_even_where_the_peak_lies_halfway_back():
    model = {"dim": 256, "heads": 8, "mlp": 512, "patch": 4}
    row = predict(VIT | {"batch_size": 128, "model": VIT["model"] | model})
    assert row["gradients"] == row["parameters"] == 4 * 1_086_730


def test_runs_that_differ_in_what_does_not_matter_share_a_prediction(monkeypatch):
    asked = []
    real = sizes._predict
    monkeypatch.setattr(sizes, "_predict", lambda *a: asked.append(a) or real(*a))
    runs = {
        "short": VIT | optimizer("sgd") | {"epochs": 1},
        "long": VIT | optimizer("sgd") | {"epochs": 9},
        "adam": VIT | optimizer("adam") | {"epochs": 1},
    }
    rows = list(sizes.predict(runs, MANIFESTS))
    assert [row["experiment"] for row in rows] == ["short", "long", "adam"]
    assert len(asked) == 2
    assert rows[0]["total"] == rows[1]["total"] < rows[2]["total"]


def test_float32_takes_more_than_bfloat16():
    sgd = optimizer("sgd")
    runs = {name: VIT | sgd | {"precision": name} for name in ("bf16", "fp32")}
    half, full = sizes.predict(runs, MANIFESTS)
    assert half["activations"] < full["activations"]
    assert half["parameters"] == full["parameters"]


def test_without_momentum_that_optimizer_keeps_nothing():
    plain = optimizer("momentum")["optimizer"]
    runs = {
        f"momentum-{value}": VIT | {"optimizer": plain | {"momentum": value}}
        for value in (0.0, 0.9)
    }
    without, with_it = sizes.predict(runs, MANIFESTS)
    assert without["optimizer"] == 0
    assert with_it["optimizer"] == with_it["parameters"]


def test_attention_follows_its_formula_for_every_number_of_heads():
    rows = list(sizes.attention())
    assert len(rows) >= 12
    assert len({row["heads"] for row in rows}) >= 4
    assert len({row["head_size"] for row in rows}) >= 3
    for row in rows:
        d = row["heads"] * row["head_size"]
        assert row["width"] == d
        assert row["module"] == row["formula"] == 4 * (d**2 + d)
        other = nn.MultiheadAttention(d, row["heads"], device="meta")
        assert row["module"] == sum(weight.numel() for weight in other.parameters())


def test_left_to_the_machine_the_precision_is_that_of_a_current_gpu():
    by_precision = {name: predict(VIT | {"precision": name}) for name in ("auto", "bf16", "fp32")}
    assert by_precision["auto"] == by_precision["bf16"] != by_precision["fp32"]


def test_the_prediction_leaves_attention_and_loss_as_they_were():
    assert list(sizes.predict({"mine": VIT | optimizer("adamw")}, MANIFESTS))
    assert (vit.attend, losses._aligned, losses.ROWS) == (ATTEND, ALIGNED, LOGIT_ROWS)


def test_so_many_logits_count_as_a_gpu_makes_at_a_time(monkeypatch):
    totals = []
    for rows in (16, 128):  # of the 128 tokens of a batch
        monkeypatch.setattr(losses, "ROWS_COMPILED", rows)
        (row,) = sizes.predict({"mine": LSTM | optimizer("sgd")}, MANIFESTS)
        totals.append(row["activations"])
    assert totals[0] < totals[1]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", ["vit-2-adamw", "vit-6-adamw", "cnn-resnet"])
def test_the_prediction_is_within_15_percent_of_what_a_gpu_allocates(name):
    root = Path(__file__).parents[2]
    runs = config.resolve(
        yaml.safe_load((root / "config.yaml").read_text()), [root / "config.yaml"],
        root / "workflow/schemas",
    )  # fmt: skip
    counts = {"train": 45_000, "validation": 5_000, "test": 10_000}
    shapes = {f"{split}.images": [count, 3, 32, 32] for split, count in counts.items()}
    shapes |= {f"{split}.labels": [count] for split, count in counts.items()}
    manifest, gpu = IMAGES | {"shapes": shapes}, torch.device("cuda")
    runs[name]["precision"] = "bf16"
    task, model = sizes.prepared(runs[name], manifest, gpu)
    optimizer = optimizers.build(runs[name]["optimizer"], model)
    for step, batch in enumerate(itertools.islice(task.batches(1), 6)):
        if step == 3:
            torch.cuda.reset_peak_memory_stats(gpu)
        task.loss(model, batch)[0].backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    (row,) = sizes.predict({name: runs[name]}, {runs[name]["dataset"]: manifest})
    peak, now = torch.cuda.max_memory_allocated(gpu), torch.cuda.memory_allocated(gpu)
    torch._C._cuda_clearCublasWorkspaces()  # no tensors: the prediction leaves them out
    peak -= now - torch.cuda.memory_allocated(gpu)
    assert row["total"] == pytest.approx(peak, rel=0.15)
