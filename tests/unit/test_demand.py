"""What jobs ask for: against models as they are, against measured runs, and as settings grow."""

import copy
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from trainstudy import config, data, demand, models

ROOT = Path(__file__).parents[2]
RUNS = config.resolve(
    yaml.safe_load((ROOT / "config.yaml").read_text()),
    [ROOT / "config.yaml"],
    ROOT / "workflow/schemas",
)


def settings(experiment: str, **changes) -> dict:
    """Return the settings of a declared experiment, with changes given as model__depth=3."""
    run = copy.deepcopy(RUNS[experiment])
    for path, value in changes.items():
        *section, key = path.split("__")
        (run[section[0]] if section else run)[key] = value
    return run


def built(run: dict):
    """Return the model of a run on data of the right shape, and one example for it."""
    dataset = data.find(run["dataset"])
    if run["family"] == "lstm":
        manifest, example = {"vocabulary": dataset.VOCABULARY + 1}, torch.ones(1, 4, dtype=int)
    else:
        manifest = {"shapes": {"train.images": [1, *dataset.SHAPE]}, "classes": 10}
        example = torch.rand(4, *dataset.SHAPE)
    return models.build(run["family"], run["model"], manifest), example


IMAGES = [
    ("vit-2-adamw", {}),
    ("vit-6-adamw-postnorm", {}),
    ("vit-2-adamw", {"dataset": "digits", "model__patch": 2}),
    ("vit-4-adamw", {"model__patch": 2, "model__dim": 32}),  # mostly attention
    *((f"cnn-{name}", {}) for name in demand.CNN_PIXEL),
    *((f"cnn-{name}", {"dataset": "digits"}) for name in demand.CNN_PIXEL),
]


@pytest.mark.parametrize(("experiment", "changes"), IMAGES)
def test_work_covers_what_image_models_do_without_waste(experiment, changes):
    run = settings(experiment, **changes)
    model, example = built(run)
    kept: dict[int, int] = {}
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def count(tensor):
        if tensor.untyped_storage().data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with (
        sdpa_kernel(SDPBackend.MATH),  # attention written out, as in bf16 on a CPU: it keeps most
        FlopCounterMode(display=False) as counter,
        torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor),
    ):
        model(example).sum().backward()
    work = demand.work(run)
    assert 1 <= work.operations * len(example) / counter.get_total_flops() < 2
    assert 1 <= work.stored * len(example) / (sum(kept.values()) / 4) < 3
    assert 1 <= work.parameters / models.parameter_counts(model)[0] < 1.3


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_work_covers_the_parameters_of_a_language_model(layers):
    run = settings("lstm-1-adamw", dataset="pydocs", model__layers=layers,
                   model__embedding="learned")  # fmt: skip
    model, _ = built(run)
    assert demand.work(run).parameters == models.parameter_counts(model)[0]


@pytest.mark.parametrize(("layers", "counted"), [(1, 583e9), (4, 738e9)])
def test_work_covers_the_operations_counted_for_language_models(layers, counted):
    work = demand.work(settings("lstm-1-adamw", model__layers=layers))
    assert 1 <= work.operations * 16 * 256 / counted < 1.3  # a step, see docs/performance.md


# Peaks of resident memory and seconds of an epoch, of single jobs on one thread of an AMD EPYC,
# 2026-11-21: two runs on the real data, and the hungriest of each family from `make demo`.
MEASURED = [
    ("lstm-1-adamw", {"model__embedding": "learned", "epochs": 1}, 1_900, 3_517),
    ("vit-2-adamw", {"epochs": 1}, 1_613, 104),
    ("cnn-densenet", {"dataset": "digits", "batch_size": 64, "epochs": 1}, 966, 1.5),
    ("vit-6-adamw", {"dataset": "digits", "batch_size": 64, "epochs": 1, "model__patch": 2,
                     "model__dim": 32, "model__heads": 4, "model__mlp": 64}, 794, 0.4),
]  # fmt: skip


@pytest.mark.parametrize(("experiment", "changes", "megabytes", "seconds"), MEASURED)
def test_measured_runs_fit_into_their_estimates(experiment, changes, megabytes, seconds):
    asked = demand.training(settings(experiment, **changes), threads=1, on_gpu=False)
    assert megabytes < asked.mem_mb < 3 * megabytes
    assert seconds < 60 * asked.minutes < 10 * seconds + 1_200


def test_a_gpu_is_asked_for_tens_of_minutes_not_hours():
    """On an H200 ten epochs of either take a minute, 200 of the second about three."""
    for name, changes in (("lstm-1-adamw", {}), ("vit-6-adamw", {"epochs": 200})):
        asked = demand.training(settings(name, **changes), threads=1, on_gpu=True)
        assert 20 <= asked.minutes <= 120
        assert 2_000 < asked.mem_mb < 8_000


GROWING = {
    "lstm-1-adamw": ["model__layers", "model__hidden", "epochs", "batch_size", "sequence_length"],
    "vit-2-adamw": ["model__depth", "model__mlp", "epochs", "batch_size"],
    "cnn-densenet": ["epochs", "batch_size"],
}


@given(
    case=st.sampled_from([(name, key) for name, keys in GROWING.items() for key in keys]),
    small=st.integers(1, 50),
    more=st.integers(1, 50),
)
def test_a_larger_setting_never_asks_for_less_work(case, small, more):
    (name, key), asked = case, []
    for value in (small, small + more):
        run = settings(name, **{key: value})
        asked.append((demand.training(run, 1, False), demand.training(run, 1, True)))
    for before, after in zip(*asked, strict=True):
        assert before.mem_mb <= after.mem_mb
        # Larger batches make fewer steps.
        assert before.minutes <= after.minutes or key in ("batch_size", "sequence_length")


def test_depth_epochs_and_data_decide_what_is_asked_for():
    def asked(name, threads=1, on_gpu=False, **changes):
        return demand.training(settings(name, **changes), threads, on_gpu)

    assert asked("vit-6-adamw").mem_mb > asked("vit-2-adamw").mem_mb + 1_000
    assert asked("vit-6-adamw-50-epochs").minutes > 4 * asked("vit-6-adamw").minutes
    assert asked("cnn-resnet", dataset="digits").minutes < asked("cnn-resnet").minutes / 20
    assert asked("cnn-resnet", threads=8).minutes < asked("cnn-resnet").minutes / 4
    assert asked("cnn-resnet", on_gpu=True).minutes < asked("cnn-resnet").minutes / 4
    assert asked("cnn-resnet", on_gpu=True).mem_mb > asked("cnn-resnet").mem_mb
    learned = asked("lstm-1-adamw", model__embedding="learned")
    assert learned.mem_mb > asked("lstm-1-adamw").mem_mb + 500


def test_no_more_is_asked_for_than_a_step_on_the_whole_text_takes():
    asked = [
        demand.training(settings("lstm-1-adamw", dataset="pydocs", batch_size=size), 1, on_gpu)
        for on_gpu in (False, True)
        for size in (400, 100_000)  # 256 tokens each, of 101,000
    ]
    assert asked[0] == asked[1]
    assert asked[2] == asked[3]


def test_preparing_and_gathering_cover_what_was_measured_and_grow():
    assert demand.preparing("cifar10").mem_mb > 2 * 578
    assert demand.preparing("wikitext2").mem_mb > 2 * 485
    assert demand.preparing("digits").mem_mb < demand.preparing("cifar10").mem_mb
    sizes = [demand.sizing({str(i): RUNS["vit-2-adamw"] for i in range(n)}) for n in (1, 400)]
    assert sizes[0].mem_mb >= 1_500
    assert sizes[1].minutes > 4 * sizes[0].minutes
    wide = copy.deepcopy(RUNS["vit-2-adamw"])
    wide["model"] |= {"dim": 2_048, "mlp": 8_192}  # 101 million parameters
    assert demand.sizing({"wide": wide}).mem_mb > sizes[0].mem_mb + 1_500
    few = demand.gathering({"a": {"epochs": 10}}, [1])
    many = demand.gathering({str(i): {"epochs": 30} for i in range(1000)}, [1, 2, 3, 4, 5])
    assert few.mem_mb > 2 * 240
    assert many.mem_mb > 240 + 0.3e-3 * 4_500_000  # 913,800 rows took 500 MB
    assert many.minutes > few.minutes


@pytest.mark.parametrize("name", data.names())
def test_every_data_set_says_how_large_it_is(name):
    dataset = data.find(name)
    assert dataset.EXAMPLES > 0
    if dataset.KIND == "text":
        assert dataset.VOCABULARY > 0
    if dataset.EMBEDDED:
        arrays, manifest = dataset.prepare({})
        if dataset.KIND == "text":  # that of Python, which grows from release to release
            assert 0.9 < len(arrays["train.tokens"]) / dataset.EXAMPLES < 1.6
        else:
            assert len(arrays["train.images"]) == dataset.EXAMPLES
            held_out = {split: len(arrays[f"{split}.images"]) for split in ("validation", "test")}
            assert held_out == dataset.HELD_OUT
        assert manifest.get("vocabulary", 0) in (0, getattr(dataset, "VOCABULARY", 0) + 1)
