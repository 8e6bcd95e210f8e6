"""The settings of every run, from the files a user edits; and what is said about mistakes."""

import copy
import itertools
import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from snakemake.utils import update_config

from trainstudy import data, grids, yamlfiles, yamlschema
from trainstudy.config import ConfigError, resolve, threads, training_settings
from trainstudy.records import flatten

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "workflow/schemas"
CONFIG, DEMO = ROOT / "config.yaml", ROOT / "config/demo.yaml"

# A small study with one key a line, so that mistakes have a line of their own.
STUDY = """\
study: tiny
seeds: [1, 2]
select: [core]
mirror: null
threads: 1
image: null
deterministic: false
checkpoint_seconds: 600
measured: null
bases:
  lstm:
    group: core
    family: lstm
    dataset: wikitext2
    model:
      layers: 1
      hidden: 512
      embedding: gpt1
      embedding_size: 768
      dropout: 0.0
    sequence_length: 256
    carry_state: false
    epochs: 10
    early_stopping: null
    batch_size: 16
    optimizer:
      name: adam
      lr: 1.0e-3
      weight_decay: 0.0
      momentum: 0.9
    schedule: {name: none, warmup_epochs: 0, milestones: [], gamma: 0.1}
    gradient_clipping: null
    label_smoothing: 0.0
    precision: bf16
  vit:
    group: core
    family: vit
    dataset: cifar10
    model:
      depth: 2
      dim: 256
      heads: 8
      mlp: 512
      patch: 4
      norm: pre
      dropout: 0.0
      drop_path: null
    augmentation:
      flip: 0.5
      crop_scale: [0.8, 1.0]
      crop_ratio: [0.9, 1.1]
      mixup: null
      cutmix: null
    epochs: 20
    early_stopping: null
    batch_size: 128
    optimizer: {name: adamw, lr: 3.0e-4, weight_decay: 5.0e-4, momentum: 0.9}
    schedule:
      name: cosine
      warmup_epochs: 5
      milestones: [10]
      gamma: 0.1
    gradient_clipping: 1.0
    label_smoothing: 0.0
    precision: fp32
    compile: false
  deep: {base: vit, model: {depth: 6}}
experiments:
  words: {base: lstm}
  pictures: {base: vit}
  more-pictures: {base: deep, model: {norm: post}}
"""


def merged(*files: Path) -> dict:
    """Lay configuration files over each other as Snakemake does."""
    config: dict = {}
    for file in files:
        update_config(config, yaml.safe_load(file.read_text()))
    return config


def study(*files: Path) -> dict[str, dict]:
    return resolve(merged(*files), list(files), SCHEMAS)


@pytest.fixture(scope="module")
def full() -> dict[str, dict]:
    return study(CONFIG)


@pytest.fixture
def write(tmp_path):
    """Write a configuration file, STUDY with a piece of it replaced unless said otherwise."""

    def write(old: str = "", new: str = "", text: str = STUDY, name: str = "study.yaml") -> Path:
        assert not old or text.count(old) == 1, f"{old!r} must stand in the text once"
        file = tmp_path / name
        file.write_text(text.replace(old, new) if old else text)
        return file

    return write


def line_of(study: str, text: str) -> int:
    """Return the line on which a text ends."""
    assert study.count(text) == 1, f"{text!r} must stand in the study once"
    return 1 + study[: study.index(text) + len(text)].count("\n")


def complaint(*files: Path, **command_line) -> str:
    """Return what is said about a study that cannot be run."""
    with pytest.raises(ConfigError) as caught:
        resolve(merged(*files) | command_line, list(files), SCHEMAS)
    return str(caught.value)


# The study of config.yaml

AUGMENTATION = {
    "flip": 0.5,
    "crop_scale": [0.8, 1.0],
    "crop_ratio": [0.9, 1.1],
    "mixup": None,
    "cutmix": None,
}


def test_the_study_holds_24_experiments_in_three_groups(full):
    groups = {group: {n for n, run in full.items() if run["group"] == group} for group in GROUPS}
    assert groups == GROUPS
    assert len(full) == 24


GROUPS = {
    "core": {
        *(f"lstm-1-{optimizer}" for optimizer in ("adam", "adamw", "sgd", "momentum")),
        *(f"vit-2-{optimizer}" for optimizer in ("adam", "adamw", "sgd", "momentum")),
        "lstm-2-adamw",
        "lstm-4-adamw",
        "vit-4-adamw",
        "vit-6-adamw",
        "vit-6-adamw-postnorm",
    },
    "longer": {
        "vit-6-adamw-25-epochs",
        "vit-6-adamw-postnorm-25-epochs",
        "vit-6-adamw-50-epochs",
    },
    "cnn": {
        f"cnn-{name}{epochs}"
        for name in ("googlenet", "resnet", "resnet-preact", "densenet")
        for epochs in ("", "-10-epochs")
    },
}


def test_seed_42_in_one_job(full):
    assert merged(CONFIG)["seeds"] == [42]


@pytest.mark.parametrize("name", sorted(n for n in GROUPS["core"] if n.startswith("lstm")))
def test_recipe_of_the_language_models(full, name):
    _, layers, optimizer = name.split("-")
    assert training_settings(full[name]) == {
        "family": "lstm",
        "dataset": "wikitext2",
        "model": {
            "layers": int(layers),
            "hidden": 512,
            "embedding": "gpt1",
            "embedding_size": 768,
            "dropout": 0.0,
        },
        "sequence_length": 256,
        "carry_state": False,
        "epochs": 10,
        "batch_size": 16,
        "optimizer": {
            "name": optimizer,
            "lr": 1e-3,
            "weight_decay": 0.0 if optimizer == "adam" else 5e-4,
            "momentum": 0.9,
        },
        "schedule": {"name": "none", "warmup_epochs": 0, "milestones": [], "gamma": 0.1},
        "gradient_clipping": None,
        "label_smoothing": 0.0,
        "early_stopping": None,
        "precision": "auto",
    }


@pytest.mark.parametrize("name", sorted(n for g in GROUPS.values() for n in g if n[:3] == "vit"))
def test_recipe_of_the_vision_transformers(full, name):
    _, depth, optimizer, *rest = name.split("-")
    assert training_settings(full[name]) == {
        "family": "vit",
        "dataset": "cifar10",
        "model": {
            "depth": int(depth),
            "dim": 256,
            "heads": 8,
            "mlp": 512,
            "patch": 4,
            "norm": "post" if "postnorm" in rest else "pre",
            "dropout": 0.0,
            "drop_path": None,
        },
        "augmentation": AUGMENTATION,
        "epochs": next((int(part) for part in rest if part.isdigit()), 10),
        "batch_size": 128,
        "optimizer": {
            "name": optimizer,
            "lr": 3e-4,
            "weight_decay": 0.0 if optimizer == "adam" else 5e-4,
            "momentum": 0.9,
        },
        "schedule": {"name": "none", "warmup_epochs": 0, "milestones": [], "gamma": 0.1},
        "gradient_clipping": None,
        "label_smoothing": 0.0,
        "early_stopping": None,
        "precision": "auto",
        "compile": True,
    }


@pytest.mark.parametrize(
    ("wanted", "runs", "cores", "chosen"),
    [
        ("auto", 24, 2, 1),
        ("auto", 24, 64, 2),
        ("auto", 1, 8, 8),
        ("auto", 3, 8, 2),
        ("auto", 1, None, 1),  # on a cluster
        (4, 24, 2, 4),
        (1, 1, 8, 1),
    ],
)
def test_threads_of_a_training_job(wanted, runs, cores, chosen):
    assert threads(wanted, runs, cores) == chosen


@pytest.mark.parametrize("wanted", ["'2'", "all", "0", "1.5", "null", "true"])
def test_threads_are_a_number_or_auto(write, wanted):
    with pytest.raises(ConfigError, match="threads"):
        study(write("threads: 1", f"threads: {wanted}"))


@pytest.mark.parametrize("name", sorted(GROUPS["cnn"]))
def test_recipe_of_the_cnns(full, name):
    network = name.removeprefix("cnn-").removesuffix("-10-epochs")
    momentum = network in ("resnet", "resnet-preact")
    assert training_settings(full[name]) == {
        "family": "cnn",
        "dataset": "cifar10",
        "model": {"name": network},
        "augmentation": AUGMENTATION,
        "epochs": 10 if name.endswith("-10-epochs") else 180,
        "batch_size": 128,
        "optimizer": {
            "name": "momentum" if momentum else "adamw",
            "lr": 0.1 if momentum else 1e-3,
            "weight_decay": 1e-4,
            "momentum": 0.9,
        },
        "schedule": {"name": "step", "warmup_epochs": 0, "milestones": [100, 150], "gamma": 0.1},
        "gradient_clipping": None,
        "label_smoothing": 0.0,
        "early_stopping": None,
        "precision": "auto",
        "compile": False,
    }


def test_the_demo_is_the_same_study_on_data_that_need_no_download(full):
    demo = study(CONFIG, DEMO)
    assert list(demo) == list(full)
    for name, run in demo.items():
        assert run["group"] == full[name]["group"]
        assert run["optimizer"]["name"] == full[name]["optimizer"]["name"]
        for setting in ("layers", "depth", "norm", "name"):
            assert run["model"].get(setting) == full[name]["model"].get(setting)
        assert data.find(run["dataset"]).SOURCES == {}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  pictures: {base: vit}", "  pictures: {base: vit, group: pictures}"),
        (
            "  pictures: {base: vit}",
            "  pictures: {base: vit, group: pictures, grid: {batch_size: [2, 3]}}",
        ),
        # What the base says anyway, written out.
        ("  pictures: {base: vit}", "  pictures: {base: vit, optimizer: {momentum: 0.9}}"),
        (
            "  pictures: {base: vit}",
            "  pictures: {base: vit, optimizer: {name: adamw, momentum: 0.9}}",
        ),
        # Bases that wait for an experiment, or for another base.
        (
            "experiments:",
            "  defaults: {epochs: 3}\n  vit-soon: {base: defaults, family: vit}\nexperiments:",
        ),
    ],
)
def test_what_only_looks_like_a_mistake_is_taken(write, old, new):
    assert study(write(old, new))


def test_a_typo_beside_another_family_that_fits_is_what_is_named(write):
    file = write("experiments:", "  both: {family: vit, epochs: 3}\nexperiments:")
    config = merged(file)
    own = config["bases"]["vit"] | {"base": "both", "family": "cnn", "model": {"name": "resnet"}}
    config["experiments"]["net"] = own | {"epoch": 3}
    with pytest.raises(ConfigError, match=r"experiments\.net\.epoch: unknown key") as caught:
        resolve(config, [file], SCHEMAS)
    assert "Choose another base" not in str(caught.value)


def test_one_number_in_two_spellings_is_one_setting(write):
    spelt = [
        study(
            write("  pictures: {base: vit}", f"  pictures: {{base: vit, model: {{dropout: {n}}}}}")
        )
        for n in ("0", "0.0")
    ]
    given = [training_settings(runs["pictures"]) for runs in spelt]
    assert repr(given[0]) == repr(given[1])  # what Snakemake compares


def test_training_settings_are_all_but_the_group(full):
    run = full["vit-2-adamw"]
    assert {"group": "core"} | training_settings(run) == run
    assert "group" in run


# Merging


def test_an_experiment_is_laid_over_its_chain_of_bases(write):
    run = study(write())["more-pictures"]
    assert run["model"]["norm"] == "post"  # its own
    assert run["model"]["depth"] == 6  # of deep
    assert run["model"]["heads"] == 8  # of vit, the base of deep
    assert "base" not in run


OTHER_VALUES = {
    "words": {
        "group": "other",
        "dataset": "pydocs",
        "model.layers": 3,
        "model.hidden": 64,
        "model.embedding": "learned",
        "model.embedding_size": 32,
        "model.dropout": 0.5,
        "sequence_length": 32,
        "carry_state": True,
    },
    "pictures": {
        "group": "other",
        "dataset": "digits",
        "model.depth": 3,
        "model.dim": 512,
        "model.heads": 16,
        "model.mlp": 64,
        "model.patch": 8,
        "model.norm": "post",
        "model.dropout": 0.1,
        "model.drop_path": 0.2,
        "augmentation.flip": 0.25,
        "augmentation.crop_scale": [0.5, 0.75],
        "augmentation.crop_ratio": [1.0, 1.0],
        "augmentation.mixup": 0.2,
        "augmentation.cutmix": 1,
        "epochs": 15,
        "early_stopping": 3,
        "batch_size": 1,
        "optimizer.name": "sgd",
        "optimizer.lr": 2,
        "optimizer.weight_decay": 0.5,
        "optimizer.momentum": 0.0,
        "schedule.name": "step",
        "schedule.warmup_epochs": 0.5,
        "schedule.milestones": [],
        "schedule.gamma": 1.0,
        "gradient_clipping": None,
        "label_smoothing": 0.1,
        "precision": "bf16",
        "compile": True,
    },
}


# What makes a setting one that is used.
USED_WITH: dict[str, dict] = {
    "optimizer.momentum": {"optimizer.name": "momentum"},
    "schedule.gamma": {"schedule.name": "step", "schedule.milestones": [1]},
}


def set_at(config: dict, path: str, value: object) -> None:
    *sections, key = path.split(".")
    for section in sections:
        config = config.setdefault(section, {})
    config[key] = value


@pytest.mark.parametrize(
    ("experiment", "key"), [(name, key) for name, keys in OTHER_VALUES.items() for key in keys]
)
def test_an_experiment_overrides_a_key_of_its_base_and_nothing_else(write, experiment, key):
    file = write()
    before = flatten(study(file)[experiment])
    # GPT-1's embedding admits no other vocabulary or size.
    changes = {"model.embedding": "learned"} if experiment == "words" else {}
    changes |= {key: OTHER_VALUES[experiment][key]}
    assert before[key] != changes[key], "the test needs another value than that of the base"
    changes |= USED_WITH.get(key, {})
    config = merged(file) | {"select": [experiment]}
    for path, value in changes.items():
        set_at(config["experiments"][experiment], path, value)
    after = flatten(resolve(config, [file], SCHEMAS)[experiment])
    assert after == before | changes


def test_every_key_of_the_bases_is_tried_above(write):
    runs = study(write())
    keys = {key for name in OTHER_VALUES for key in flatten(runs[name])} - {"family"}
    assert keys == {key for keys in OTHER_VALUES.values() for key in keys}


def test_keys_are_sorted_at_every_level(full):
    def check(level: dict) -> None:
        assert list(level) == sorted(level)
        for value in level.values():
            if isinstance(value, dict):
                check(value)

    check(full)


@given(st.randoms(use_true_random=False))
@settings(max_examples=5)
def test_the_order_of_keys_in_the_files_changes_nothing(full, shuffler: random.Random):
    def shuffled(value):
        if not isinstance(value, dict):
            return value
        keys = shuffler.sample(list(value), len(value))
        return {key: shuffled(value[key]) for key in keys}

    assert repr(resolve(shuffled(merged(CONFIG)), [CONFIG], SCHEMAS)) == repr(full)


def test_the_configuration_is_left_as_it_was():
    config = merged(CONFIG)
    before = copy.deepcopy(config)
    runs = resolve(config, [CONFIG], SCHEMAS)
    runs["vit-2-adamw"]["model"]["depth"] = 99
    runs["cnn-resnet"]["schedule"]["milestones"] = None
    assert config == before


@pytest.mark.parametrize(
    ("selection", "chosen"),
    [
        (["longer"], GROUPS["longer"]),
        (["vit-2-sgd"], {"vit-2-sgd"}),
        (["longer", "vit-2-sgd", "cnn"], GROUPS["longer"] | GROUPS["cnn"] | {"vit-2-sgd"}),
        (["longer", "vit-6-adamw-50-epochs"], GROUPS["longer"]),
    ],
)
def test_select_takes_groups_and_single_experiments(selection, chosen):
    runs = resolve(merged(CONFIG) | {"select": selection}, [CONFIG], SCHEMAS)
    assert list(runs) == sorted(chosen)


def test_resolving_needs_neither_torch_nor_numpy():
    code = f"""
import sys
from pathlib import Path
import yaml
from trainstudy import config, data
file = Path({str(CONFIG)!r})
runs = config.resolve(yaml.safe_load(file.read_text()), [file], Path({str(SCHEMAS)!r}))
assert len(runs) == 24
loaded = {{"torch", "numpy", "pyarrow", "pandas", "matplotlib"}} & set(sys.modules)
assert not loaded, loaded
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


class Mistake(NamedTuple):
    old: str  # what is replaced in STUDY,
    new: str  # and by what
    key: str  # the key that is named
    cure: str  # what is said about it
    at: str = ""  # the text of the line that is named; the last line of `new` unless given


MISTAKES = {
    "misspelt key": Mistake(
        "      lr: 1.0e-3",
        "      lrr: 1.0e-3",
        "bases.lstm.optimizer.lrr",
        "unknown key. Did you mean 'lr'?",
    ),
    "unknown key of its own": Mistake(
        "    precision: fp32",
        "    precision: fp32\n    zebra: 1",
        "bases.vit.zebra",
        "unknown key. Possible: augmentation, batch_size,",
    ),
    "unknown key at the top": Mistake(
        "threads: 1", "threads: 1\nthread: 2", "thread", "'threads'?"
    ),
    "true in quotes": Mistake(
        "deterministic: false",
        "deterministic: 'true'",
        "deterministic",
        "'true' is text, not true or false. Write it without quotes in a file",
    ),
    "exponent without a dot": Mistake(
        "      lr: 1.0e-3",
        "      lr: 1e-3",
        "bases.lstm.optimizer.lr",
        "1e-3 is text, not a number: YAML wants a dot and a signed exponent. Write 1.0e-3.",
    ),
    "exponent without a sign": Mistake(
        "      lr: 1.0e-3",
        "      lr: 2.5e1",
        "bases.lstm.optimizer.lr",
        "Write 2.5e+1.",
    ),
    "text for a number": Mistake(
        "    epochs: 10",
        "    epochs: ten",
        "bases.lstm.epochs",
        "'ten' is no whole number",
    ),
    "number for a name": Mistake(
        "      norm: pre",
        "      norm: 3",
        "bases.vit.model.norm",
        "3 is not possible. Possible: post, pre.",
    ),
    "true for a number": Mistake(
        "    batch_size: 16",
        "    batch_size: yes",
        "bases.lstm.batch_size",
        "True is no whole number",
    ),
    "fraction for a count": Mistake(
        "    batch_size: 16",
        "    batch_size: 16.5",
        "bases.lstm.batch_size",
        "16.5 is no whole number",
    ),
    "zero epochs": Mistake(
        "    epochs: 10", "    epochs: 0", "bases.lstm.epochs", "0 has to be at least 1"
    ),
    "unknown family": Mistake(
        "    family: vit",
        "    family: vti",
        "bases.vit.family",
        "'vti' is not possible. Did you mean 'vit'?",
    ),
    "unknown data set": Mistake(
        "    dataset: wikitext2",
        "    dataset: wikitext3",
        "bases.lstm.dataset",
        "no data set 'wikitext3'. Did you mean 'wikitext2'?",
    ),
    "unknown optimizer": Mistake(
        "      name: adam",
        "      name: lion",
        "bases.lstm.optimizer.name",
        "'lion' is not possible. Possible: adam, adamw, momentum, sgd.",
    ),
    "language model on images": Mistake(
        "    dataset: wikitext2",
        "    dataset: cifar10",
        "bases.lstm.dataset",
        "lstm models learn from text, cifar10 holds images. Choose another data set or family.",
        at="family: lstm\n    dataset: cifar10",
    ),
    "vision transformer on text": Mistake(
        "    dataset: cifar10",
        "    dataset: pydocs",
        "bases.vit.dataset",
        "vit models learn from images, pydocs holds text. Choose another data set or family.",
    ),
    "patch that does not divide": Mistake(
        "      patch: 4",
        "      patch: 5",
        "bases.vit.model.patch",
        "images of 32 pixels cannot be cut into patches of 5. Choose a divisor.",
    ),
    "mistake that overrides a sound base": Mistake(
        "model: {norm: post}}",
        "model: {norm: post, patch: 3}}",
        "experiments.more-pictures.model.patch",
        "cannot be cut into patches of 3.",
    ),
    "heads that do not divide": Mistake(
        "      heads: 8",
        "      heads: 7",
        "bases.vit.model.heads",
        "7 heads cannot share a width (dim) of 256 equally. Choose a divisor.",
    ),
    "stochastic depth of one block": Mistake(
        "  pictures: {base: vit}",
        "  pictures: {base: vit, model: {depth: 1, drop_path: 0.1}}",
        "experiments.pictures.model.drop_path",
        "the first block drops nothing, and with a depth of 1 there is no other. "
        "Choose a larger depth, or write null.",
    ),
    "stochastic depth that leaves nothing": Mistake(
        "      drop_path: null",
        "      drop_path: 1.0",
        "bases.vit.model.drop_path",
        "1.0 has to be less than 1",
    ),
    "mixing of nothing": Mistake(
        "      mixup: null",
        "      mixup: 0.0",
        "bases.vit.augmentation.mixup",
        "0.0 has to be more than 0",
    ),
    "mixing of single images": Mistake(
        "  pictures: {base: vit}",
        "  pictures: {base: vit, batch_size: 1, augmentation: {cutmix: 1.0}}",
        "experiments.pictures.augmentation.cutmix",
        "a batch of one image has no other to mix it with. Choose a larger batch_size, or write "
        "null.",
    ),
    "GPT-1's embedding for another vocabulary": Mistake(
        "    dataset: wikitext2",
        "    dataset: pydocs",
        "bases.lstm.model.embedding",
        "pydocs has its own. Choose learned.",
        at="embedding: gpt1",
    ),
    "GPT-1's embedding in another size": Mistake(
        "      embedding_size: 768",
        "      embedding_size: 512",
        "bases.lstm.model.embedding_size",
        "GPT-1's embeddings have size 768; write that.",
    ),
    "augmentation of text": Mistake(
        "    sequence_length: 256",
        "    sequence_length: 256\n    augmentation: {flip: 0.5}",
        "bases.lstm.augmentation",
        "models of the family lstm have no such setting; remove it.",
    ),
    "sequence length of images": Mistake(
        "    precision: fp32",
        "    precision: fp32\n    sequence_length: 8",
        "bases.vit.sequence_length",
        "models of the family vit have no such setting; remove it.",
    ),
    "text where no value has a meaning": Mistake(
        "    precision: fp32",
        "    precision: fp32\n    sequence_length: con",
        "bases.vit.sequence_length",
        "models of the family vit have no such setting; remove it.",
    ),
    "grid in a base": Mistake(
        "    precision: fp32",
        "    precision: fp32\n    grid: {epochs: [1, 2]}",
        "bases.vit.grid",
        "a grid belongs to an experiment; move it there.",
    ),
    "state carried from image to image": Mistake(
        "    precision: fp32",
        "    precision: fp32\n    carry_state: true",
        "bases.vit.carry_state",
        "models of the family vit have no such setting; remove it.",
    ),
    "duplicate key": Mistake(
        "      patch: 4",
        "      patch: 4\n      depth: 3",
        "bases.vit.model.depth",
        f"this key stands a second time (first on line {line_of(STUDY, 'depth: 2')}). "
        "Rename or remove one.",
    ),
    "duplicate experiment": Mistake(
        "  pictures: {base: vit}",
        "  pictures: {base: vit}\n  words: {base: vit}",
        "experiments.words",
        "this key stands a second time",
    ),
    "missing base": Mistake(
        "  words: {base: lstm}",
        "  words: {base: lstmm}",
        "experiments.words",
        "no base 'lstmm'. Did you mean 'lstm'?",
    ),
    "missing base of a base": Mistake(
        "  deep: {base: vit, model",
        "  deep: {base: vits, model",
        "experiments.more-pictures",
        "no base 'vits'. Did you mean 'vit'?",
        at="more-pictures:",
    ),
    "no base": Mistake(
        "  words: {base: lstm}",
        "  words: {epochs: 3}",
        "experiments.words",
        "the key 'base' is missing. Name one of the bases.",
    ),
    "an experiment for a base": Mistake(
        "  words: {base: lstm}",
        "  words: {base: pictures}",
        "experiments.words",
        "no base 'pictures'. That is an experiment; its base is 'vit'.",
    ),
    "experiment misspelt": Mistake(
        "  words: {base: lstm}",
        "  words: {base: lstm}\n  picture: {epochs: 3}",
        "experiments.picture",
        "the key 'base' is missing. Is 'pictures' meant? A new experiment names one of the bases.",
    ),
    "setting a level too high": Mistake(
        "  pictures: {base: vit}",
        "  pictures: {base: vit, depth: 3}",
        "experiments.pictures.depth",
        "unknown key. Did you mean 'model.depth'?",
    ),
    "setting of several sections": Mistake(
        "  pictures: {base: vit}",
        "  pictures: {base: vit, name: adam}",
        "experiments.pictures.name",
        "unknown key. Did you mean 'optimizer.name' or 'schedule.name' or 'model.name'?",
    ),
    "whole number with a dot": Mistake(
        "  pictures: {base: vit}",
        "  pictures: {base: vit, model: {depth: 3.0}}",
        "experiments.pictures.model.depth",
        "3.0 is no whole number for YAML; write 3.",
    ),
    "circle of bases": Mistake(
        "    family: vit",
        "    family: vit\n    base: deep",
        "bases.vit",
        "its chain of bases ends in a circle at 'deep'.",
        at="  vit:",
    ),
    "unknown selection": Mistake(
        "select: [core]",
        "select: [core, wrods]",
        "select",
        "no experiment or group 'wrods'. Did you mean 'words'?",
    ),
    "empty selection": Mistake(
        "select: [core]", "select: []", "select", "[] is empty; name at least one."
    ),
    "seed twice": Mistake(
        "seeds: [1, 2]", "seeds: [1, 1]", "seeds", "[1, 1] has a value twice; remove one."
    ),
    "negative seed": Mistake(
        "seeds: [1, 2]", "seeds: [1, -2]", "seeds.1", "-2 has to be at least 0"
    ),
    "mapping that is none": Mistake(
        "  pictures: {base: vit}",
        "  pictures: {base: vit, optimizer: sgd}",
        "experiments.pictures.optimizer",
        "'sgd' is no mapping; write {name: sgd}.",
    ),
    "experiment without anything": Mistake(
        "  pictures: {base: vit}",
        "  pictures:",
        "experiments.pictures",
        "nothing stands below this key; write its keys there, or remove it.",
    ),
    "date for a name": Mistake(
        "study: tiny", "study: 2026-11-27", "study", "write it in quotes: '2026-11-27' (in a file: "
    ),
    "truth value for a name": Mistake(
        "  pictures: {base: vit}",
        "  no: {base: vit}",
        "experiments.False",
        "YAML takes no, off, yes, on, false and true for truth values; write it in quotes.",
    ),
    "clipping to nothing": Mistake(
        "  pictures: {base: vit}",
        "  pictures: {base: vit, gradient_clipping: 0}",
        "experiments.pictures.gradient_clipping",
        "0 has to be more than 0, or null for none.",
    ),
    "selection of nothing": Mistake(
        "select: [core]", "select:", "select", "nothing is no list; write its values in brackets"
    ),
    "selection that is not closed": Mistake(
        "select: [core]", "select: '[core'", "select", "'[core' is no list; write its values in"
    ),
    "no seed": Mistake("seeds: [1, 2]", "seeds: []", "seeds", "[] is empty; name at least one."),
    "warm-up longer than the training": Mistake(
        "      warmup_epochs: 5",
        "      warmup_epochs: 21",
        "bases.vit.schedule.warmup_epochs",
        "the warm-up is longer than the training of 20 epochs; shorten it.",
    ),
    "patience without end": Mistake(
        "  pictures: {base: vit}",
        "  pictures: {base: vit, early_stopping: 19}",
        "experiments.pictures.early_stopping",
        "no training of 20 epochs ends early after 19 without improvement. Choose less, or write "
        "null.",
    ),
    "no patience at all": Mistake(
        "  pictures: {base: vit}",
        "  pictures: {base: vit, early_stopping: 0}",
        "experiments.pictures.early_stopping",
        "0 has to be at least 1",
    ),
    "batch larger than the training set": Mistake(
        "    batch_size: 128",
        "    batch_size: 45001",
        "bases.vit.batch_size",
        "a batch of 45,001 is more than the 45,000 training images of cifar10. Choose",
    ),
    "sequence longer than the text": Mistake(
        "    sequence_length: 256",
        "    sequence_length: 2400000",
        "bases.lstm.sequence_length",
        "a sequence of 2,400,000 is longer than the training part of wikitext2, about 2,3",
    ),
    "steps that never come": Mistake(
        "  pictures: {base: vit}",
        "  pictures: {base: vit, schedule: {name: step, milestones: []}}",
        "experiments.pictures.schedule.name",
        "a step schedule without milestones never steps. Add some, such as milestones: [5, 8], or",
    ),
    "one seed instead of a list": Mistake(
        "seeds: [1, 2]",
        "seeds: 42",
        "seeds",
        "42 is no list; write [42].",
    ),
    "one group instead of a list": Mistake(
        "select: [core]", "select: core", "select", "'core' is no list; write [core]."
    ),
    "empty range": Mistake(
        "      crop_ratio: [0.9, 1.1]",
        "      crop_ratio: [1.1, 0.9]",
        "bases.vit.augmentation.crop_ratio",
        "the range [1.1, 0.9] is empty; turn it.",
    ),
    "range with one end": Mistake(
        "      crop_scale: [0.8, 1.0]",
        "      crop_scale: [0.8]",
        "bases.vit.augmentation.crop_scale",
        "[0.8]: 2 values belong here, not 1.",
    ),
    "part of an image above the whole": Mistake(
        "      crop_scale: [0.8, 1.0]",
        "      crop_scale: [0.8, 1.5]",
        "bases.vit.augmentation.crop_scale.1",
        "1.5 has to be at most 1",
    ),
    "missing key": Mistake(
        "      heads: 8",
        "",
        "bases.vit.model",
        "the key 'heads' is missing.",
        at="dataset: cifar10\n    model:",
    ),
    "bad group": Mistake(
        "    group: core\n    family: vit",
        "    group: My Group\n    family: vit",
        "bases.vit.group",
        "'My Group' is no good name. Use lower-case letters and digits, joined by single hyphens",
        at="My Group",
    ),
    "optimizer in another spelling": Mistake(
        "  pictures: {base: vit}",
        "  pictures: {base: vit, optimizer: {name: Adam-W}}",
        "experiments.pictures.optimizer.name",
        "'Adam-W' is not possible. Did you mean 'adamw'?",
    ),
    "base of a wrong name": Mistake(
        "experiments:",
        "  vits: {epochs: 3}\nexperiments:",
        "bases.vits",
        "no experiment has this base. Did you mean 'vit'? Rename or remove it.",
        at="vits: {",
    ),
    "number to the base 60": Mistake(
        "seeds: [1, 2]", "seeds: [1:5]", "seeds.0", "YAML takes 1:5 for 65. Write that, or quotes"
    ),
    "number to the base 8": Mistake(
        "  pictures: {base: vit}",
        "  pictures: {base: vit, epochs: 010}",
        "experiments.pictures.epochs",
        "YAML takes 010 for 8. Write that, or quotes if it is text.",
    ),
    "key to the base 8": Mistake(
        "  pictures: {base: vit}",
        "  pictures: {base: vit}\n  010: {base: vit}",
        "experiments.8",
        "YAML takes 010 for 8. Write that, or quotes if it is text.",
    ),
    "two signs": Mistake(
        "  pictures: {base: vit}",
        "  pictures: {base: vit, epochs: --5}",
        "experiments.pictures.epochs",
        "'--5' is no whole number.",
    ),
    "digit that is none": Mistake(
        "  pictures: {base: vit}",
        "  pictures: {base: vit, epochs: 10²}",
        "experiments.pictures.epochs",
        "'10²' is no whole number.",
    ),
    "list of what stands for the study": Mistake(
        "mirror: null", "mirror: [a, b]", "mirror", "['a', 'b'] is no text or"
    ),
    "number with a leading zero": Mistake(
        "seeds: [1, 2]", "seeds: [08]", "seeds.0", "'08' is text, not a number. Write 8 without"
    ),
    "seed as text that is none": Mistake(
        "seeds: [1, 2]", "seeds: ['-1', 2]", "seeds.0", "'-1' is no seed; seeds are whole numbers"
    ),
    "seed beyond all seeds as text": Mistake(
        "seeds: [1, 2]", "seeds: ['99999999999', 2]", "seeds.0", "'99999999999' is no seed; seeds"
    ),
    "number without a value": Mistake(
        "  pictures: {base: vit}",
        "  pictures: {base: vit, optimizer: {lr: null}}",
        "experiments.pictures.optimizer.lr",
        "nothing stands behind this key; write a value, or remove it.",
    ),
    "list without a grid": Mistake(
        "  pictures: {base: vit}",
        "  pictures: {base: vit, optimizer: {lr: [0.1, 0.01]}}",
        "experiments.pictures.optimizer.lr",
        "[0.1, 0.01] is a list; a grid tries several values: grid: {optimizer.lr: [0.1, 0.01]}.",
    ),
    "none as Python writes it": Mistake(
        "  pictures: {base: vit}",
        "  pictures: {base: vit, early_stopping: None}",
        "experiments.pictures.early_stopping",
        "'None' is text; write null.",
    ),
    "range of one number": Mistake(
        "      crop_scale: [0.8, 1.0]",
        "      crop_scale: 0.8",
        "bases.vit.augmentation.crop_scale",
        "0.8 is no list; write 2 values in brackets.",
    ),
    "range of three numbers": Mistake(
        "      crop_scale: [0.8, 1.0]",
        "      crop_scale: [0.8, 0.9, 1.0]",
        "bases.vit.augmentation.crop_scale",
        "[0.8, 0.9, 1.0]: 2 values belong here, not 3.",
    ),
    "base that is not given": Mistake(
        "  words: {base: lstm}",
        "  words: {base: null}",
        "experiments.words.base",
        "nothing stands behind this key; write a name, or remove it.",
    ),
    "two bases": Mistake(
        "  words: {base: lstm}",
        "  words: {base: [lstm, vit]}",
        "experiments.words.base",
        "['lstm', 'vit'] is no text; write one name.",
    ),
    "another family than that of the base": Mistake(
        "  words: {base: lstm}",
        "  words: {base: lstm, family: cnn, model: {name: resnet}}",
        "experiments.words.family",
        "the settings of base 'lstm' are of family lstm and do not fit cnn. Choose another base.",
    ),
    "name of a group": Mistake(
        "  words: {base: lstm}",
        "  words: {base: lstm}\n  core: {base: lstm}",
        "experiments.core",
        "'core' is the name of a group, too, and `select` could mean either. Rename one.",
    ),
    "milestones without steps": Mistake(
        "  pictures: {base: vit}",
        "  pictures: {base: vit, schedule: {name: none, milestones: [5], warmup_epochs: 0}}",
        "experiments.pictures.schedule.milestones",
        "only a step schedule has milestones, and this one is none. Write name: step, or remove",
    ),
    "empty path": Mistake(
        "mirror: null", "mirror: ''", "mirror", "the text is empty; write one, or null for none."
    ),
    "null that --config made text": Mistake(
        "mirror: null",
        "mirror: 'null'",
        "mirror",
        "'null' is text here; for none write null in a file, and nothing in --config mirror=",
    ),
    "None after --config": Mistake(
        "mirror: null",
        "mirror: None",
        "mirror",
        "'None' is text here; for none write null in a file, and nothing in --config mirror=",
    ),
    "momentum beside plain SGD": Mistake(
        "  pictures: {base: vit}",
        "  pictures: {base: vit, optimizer: {name: sgd, momentum: 0.9}}",
        "experiments.pictures.optimizer.momentum",
        "only the optimizer momentum has one, and this is sgd. Write name: momentum, or remove it.",
    ),
    "threads in quotes": Mistake(
        "threads: 1",
        "threads: '4'",
        "threads",
        "'4' is not possible. Write auto, or a whole number without quotes.",
    ),
    "dots outside a grid": Mistake(
        "  pictures: {base: vit}",
        "  pictures: {base: vit, optimizer.lr: 0.1}",
        "experiments.pictures.optimizer.lr",
        "unknown key. Names with dots are for grids. Write optimizer: {lr: …}.",
    ),
    "whole number with an exponent": Mistake(
        "  pictures: {base: vit}",
        "  pictures: {base: vit, epochs: 1e2}",
        "experiments.pictures.epochs",
        "1e2 is text, not a number. Write 100.",
    ),
    "range of seeds": Mistake(
        "seeds: [1, 2]", "seeds: 0-4", "seeds", "'0-4' is no list; write [42, 43]."
    ),
    "names without brackets": Mistake(
        "select: [core]",
        "select: core, longer",
        "select",
        "'core, longer' is no list; write [core, longer].",
    ),
    "nothing near in select": Mistake(
        "select: [core]",
        "select: [everything]",
        "select",
        "no experiment or group 'everything'. Possible: core, more-pictures, pictures, words.",
    ),
    "bad name of the study": Mistake(
        "study: tiny", "study: ../tiny", "study", "is no good name. Use"
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_named_with_file_line_key_and_cure(write, mistake):
    file = write(mistake.old, mistake.new)
    at = mistake.at or mistake.new.splitlines()[-1]
    place = f"{file}, line {line_of(file.read_text(), at)}, {mistake.key}: "
    said = [line for line in complaint(file).splitlines() if place in line]
    assert said, f"{place} in {complaint(file)}"
    assert any(mistake.cure in line for line in said), said


def test_what_another_base_stands_between_is_not_said_again(write):
    """The nearest base has momentum; that the one above it has Adam-W, too, changes nothing."""
    deep = "deep: {base: vit, model: {depth: 6}"
    text = STUDY.replace(deep, f"{deep}, optimizer: {{name: momentum}}")
    own = "more-pictures: {base: deep, "
    text = text.replace(own, f"{own}optimizer: {{name: adamw, momentum: 0.9}}, ")
    assert "only the optimizer momentum has one, and this is adamw." in complaint(write(text=text))


def test_of_names_that_are_possible_groups_come_first():
    assert yamlschema.known("zzz", ["adam", "core", "vit"], first={"core"}) == (
        "Possible: core, adam, vit."
    )


@pytest.mark.parametrize(
    ("mirror", "said"),
    [
        ("ftp://x/y", "nothing is fetched by ftp. Name a folder, file:// or https://."),
        ("~/data", "'~' stands for no folder here. Write the whole path."),
    ],
)
def test_a_mirror_that_no_download_could_come_from_is_named(write, mirror, said):
    file = write("mirror: null", f"mirror: {mirror}")
    assert f"{file}, line 4, mirror: {said}" in complaint(file)


@pytest.mark.parametrize("mirror", ["/not/there", "file:///a", "http://a", "https://a/b"])
def test_a_mirror_that_need_not_be_asked_need_not_be_there(write, mirror):
    assert study(write("mirror: null", f"mirror: {mirror}"))


def test_of_a_setting_that_another_family_has_nothing_else_is_said(write):
    file = write("  words: {base: lstm}", "  words: {base: lstm, augmentation: {flip: 2}}")
    (line,) = [line for line in complaint(file).splitlines() if "augmentation" in line]
    assert line.endswith("models of the family lstm have no such setting; remove it.")


@pytest.mark.parametrize(
    "name", ["../x", "UPPER", "a--b", "-a", "a-", "a b", "a/b", "a.b", "ä", "", "name\n", "a" * 81]
)
@pytest.mark.parametrize("section", ["bases", "experiments"])
def test_a_bad_name_is_refused_before_it_becomes_a_path(write, section, name):
    owner = {"bases": "  deep: {base", "experiments": "  pictures: {base"}[section]
    colon = owner.index(":")
    file = write(owner, f"  {json.dumps(name)}{owner[colon:]}")
    message = complaint(file)
    assert f"{file}, line " in message
    assert f", {section}" in message
    assert repr(name) in message
    assert "no good name. Use lower-case letters and digits" in message or "too long" in message


@pytest.mark.parametrize("base", [["vit"], {"vit": 1}, None, 3])
@pytest.mark.parametrize("owner", ["  deep:", "  pictures:"])
def test_a_base_that_is_no_name_is_refused(write, owner, base):
    old = {"  deep:": "base: vit, model", "  pictures:": "pictures: {base: vit"}[owner]
    file = write(old, old.replace("base: vit", f"base: {json.dumps(base)}"))
    section = "bases.deep" if owner == "  deep:" else "experiments.pictures"
    message = complaint(file)
    assert f"{file}, line {line_of(file.read_text(), owner)}, {section}.base: " in message
    assert len(message.splitlines()) == 2


@pytest.mark.parametrize("key", ["epochs: 20", "batch_size: 128", "depth: 2", "warmup_epochs: 5"])
@pytest.mark.parametrize("number", [".nan", ".inf"])
def test_a_number_that_is_not_finite_is_refused(write, key, number):
    old = f"  {key}\n"
    file = write(old, f"  {key.split(':')[0]}: {number}\n")
    line = line_of(file.read_text(), number)
    assert f"{file}, line {line}, bases.vit." in complaint(file)


@pytest.mark.parametrize("number", [".nan", ".inf"])
def test_a_learning_rate_that_is_not_finite_is_refused(write, number):
    file = write("      lr: 1.0e-3", f"      lr: {number}")
    line = line_of(file.read_text(), number)
    assert f"{file}, line {line}, bases.lstm.optimizer.lr: " in complaint(file)


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("    epochs: 10", "    epochs: 10.0", "bases.lstm.epochs"),
        ("      depth: 2", "      depth: 2.0", "bases.vit.model.depth"),
        ("seeds: [1, 2]", "seeds: [1, 2.0]", "seeds.1"),
    ],
)
def test_a_count_with_a_decimal_point_is_refused(write, old, new, key):
    # JSON Schema counts 10.0 as an integer; range(10.0) fails only when the job runs.
    file = write(old, new)
    assert f"{file}, line {line_of(file.read_text(), new)}, {key}: " in complaint(file)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"study: a\n\tthreads: 1\n", ", line 2, column 1: this is not YAML: .*not with tabs"),
        (b"a: [1,\nb: 2\n", ", line 3, column 1: this is not YAML: "),
        (b"study: a\nthreads: \xff\n", ", line 2: this is not UTF-8 text .*save the file as"),
        (b"study: a\nthreads: \x07\n", r", line 2: the character U\+0007 cannot stand in YAML"),
        ("a: [\ufffe]\n".encode(), r", line 1: the character U\+FFFE cannot stand in YAML"),
        (b"", ": keys such as .* found nothing; compare config.yaml"),
        (b"- a\n", ": keys such as .* found list"),
        (b"text\n", ": keys such as .* found str"),
        (b"a: " + b"[" * 3000 + b"]" * 3000, ": it is nested deeper than 30 levels"),
        (b"a: " + b"[" * 40 + b"]" * 40, ": it is nested deeper than 30 levels"),
        (b"a: &a {b: *a}\n", ": it is nested .* does an anchor .* contain itself"),
        (b"? &a [*a]\n: 1\n", ": it is nested deeper|unhashable"),
        (b"study: 2026-13-45\n", ", line 1, column 8: .* '2026-13-45' has no such value"),
        (b"study: !!bool maybe\n", ", line 1, column 8: .* 'maybe' has no such value"),
        (b"threads: " + b"9" * 5000, ", line 1, column 10: .* has no such value"),
        (b"threads: 0x" + b"f" * 5000, ": a whole number of 20000 bits is too large"),
        (b"a: !!python/name:os.system\n", ", line 1, column 4: .* could not determine a construc"),
        (b"? [a, b]\n: 1\n", ", line 1, column 3: .* found unhashable key"),
        (b"__use_yte__: true\na: ?1 + 1\n", ", __use_yte__: a template can run any code"),
        (b"pathvars: 3\n", ", pathvars: this study has no such key; remove it"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_place_and_cure(tmp_path, content, said):
    file = tmp_path / "study.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=f"{file}{said}") as caught:
        resolve({}, [file], SCHEMAS)
    assert len(str(caught.value).splitlines()) == 2
    assert all(line.isprintable() for line in str(caught.value).splitlines())


def test_a_file_that_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(ConfigError, match=f"{tmp_path} cannot be read: Is a directory"):
        resolve({}, [tmp_path], SCHEMAS)


def test_anchors_that_stand_for_millions_of_values_are_refused_at_once(write):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    said = complaint_of_text(write(text="\n".join(lines)))
    assert "it stands for more than 100,000 values" in said


def complaint_of_text(file: Path) -> str:
    """Return what is said about a file that Snakemake need not have read."""
    with pytest.raises(ConfigError) as caught:
        resolve({}, [file], SCHEMAS)
    return str(caught.value)


def test_anchors_and_merges_of_measure_are_welcome(write):
    file = write("  words: {base: lstm}", "  words: &w {base: lstm, epochs: 3}\n  more: {<<: *w}")
    runs = study(file)
    assert runs["more"] == runs["words"]
    overridden = write(
        "  words: {base: lstm}", "  words: &w {base: lstm}\n  o: {<<: *w, epochs: 4}"
    )
    assert study(overridden)["o"]["epochs"] == 4


def test_a_key_that_came_by_a_merge_is_found_in_its_file(write):
    file = write("threads: 1", "threads: 1\n<<: {nonsense: 2}")
    assert f"{file}, line 6, nonsense: unknown key" in complaint(file)


@pytest.mark.parametrize(
    ("text", "expected", "places_of_all"),
    [
        pytest.param(
            "one: &one\n  a: 1\n  b: {x: 1}\n"
            "two: &two\n  b: {x: 2, y: 2}\n  c: 2\n"
            "all:\n  <<: [*one, *two]\n  a: 3\n",
            {"a": 3, "b": {"x": 1}, "c": 2},
            {("a",): 9, ("b",): 3, ("b", "x"): 3, ("c",): 6},
            id="the first of several parts wins",
        ),
        pytest.param(
            "one: &one\n  a: {x: 1}\n  b: 1\n"
            "two: &two\n  <<: *one\n  c: 2\n"
            "all:\n  <<: *two\n  a: {y: 3}\n",
            {"a": {"y": 3}, "b": 1, "c": 2},
            {("a",): 9, ("a", "y"): 9, ("b",): 3, ("c",): 6},
            id="a merge in a merge, and an own key that hides all of what it replaces",
        ),
    ],
)
def test_keys_that_came_by_merges_stand_where_their_values_do(
    tmp_path, text, expected, places_of_all
):
    file = tmp_path / "merged.yaml"
    file.write_text(text)
    content, lines, complaints = yamlfiles.read(file)
    assert content["all"] == expected
    own = {path[1:]: line for path, line in lines.items() if path[0] == "all" and path[1:]}
    assert own == places_of_all
    assert complaints == []


def test_a_second_merge_in_one_mapping_is_a_key_that_stands_twice(write):
    file = write("threads: 1", "threads: 1\n<<: {mirror: null}\n<<: {image: null}")
    assert f"{file}, line 7, <<: this key stands a second time (first on line 6)" in complaint(file)


@pytest.mark.parametrize(("key", "named"), [("null", "None"), ("on", "True"), ("3", "3")])
def test_a_key_that_yaml_makes_no_text_of_is_found_in_its_file(write, key, named):
    file = write("threads: 1", f"threads: 1\n{key}: 2")
    assert f"{file}, line 6, {named}: unknown key" in complaint(file)


def test_a_study_in_json_is_read_as_snakemake_reads_it(write):
    config = yaml.safe_load(STUDY)
    config["bases"]["lstm"]["optimizer"]["lr"] = 5e-07  # text in YAML, a number in JSON
    file = write(text=json.dumps(config))
    assert resolve(config, [file], SCHEMAS)["words"]["optimizer"]["lr"] == 5e-07
    config["threads"] = 0
    file = write(text=json.dumps(config))
    assert f"{file}, line 1, threads: " in complaint_of(config, file)


def complaint_of(config: dict, *files: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        resolve(config, list(files), SCHEMAS)
    return str(caught.value)


def test_a_missing_config_file_is_no_problem_where_another_stands_for_it(write, tmp_path):
    file = write()
    runs = resolve(merged(file), [tmp_path / "none.yaml", file], SCHEMAS)
    assert list(runs) == list(study(file))


def test_what_would_steer_the_terminal_is_shown_and_not_sent(write):
    message = complaint(write("threads: 1", 'threads: 1\n"\\e[31m\\ud800\\n": "\\a"'))
    assert r"\x1b[31m\ud800\n: unknown key" in message
    message.encode()  # a lone surrogate could not be printed


def test_a_value_of_a_megabyte_is_cut_in_the_message(write):
    message = complaint(write("    epochs: 10", f"    epochs: {'x' * 10**6}"))
    assert ", bases.lstm.epochs: 'xxx" in message
    assert "is no whole number." in message
    assert len(message) < 1_000


@pytest.mark.parametrize("name", ["con", "nul", "com1", "lpt9"])
@pytest.mark.parametrize("old", ["study: tiny", "  pictures:"])
def test_a_name_that_windows_reserves_is_refused(write, name, old):
    file = write(old, old.replace(old.strip(" :").split(": ")[-1], name))
    assert f"Windows reserves the name '{name}'; choose another." in complaint(file)


def test_names_that_differ_by_case_only_are_refused(write):
    file = write("  pictures:", "  Pictures: {base: vit}\n  pictures:")
    assert "'Pictures' is no good name. Use lower-case letters" in complaint(file)


def test_a_data_set_whose_file_no_rule_can_name_is_refused(write, tmp_path, monkeypatch):
    whole = Path(data.find("cifar10").__file__).read_text()
    (tmp_path / "Birds.py").write_text(whole)
    monkeypatch.setattr(data, "__path__", [*data.__path__, str(tmp_path)])
    file = write("    dataset: cifar10", "    dataset: Birds")
    assert "the file data/Birds.py needs a name of lower-case letters" in complaint(file)


@pytest.mark.parametrize("value", ["my image.sif", "/data\\0"])
def test_an_image_that_snakemake_would_refuse_is_refused(write, value):
    file = write("image: null", f'image: "{value}"')
    assert re.search(rf"{file}, line 6, image: '.*' holds spaces or control", complaint(file))


@pytest.mark.parametrize(("line", "key"), [(4, "mirror"), (9, "measured")])
def test_a_path_with_control_characters_is_refused(write, line, key):
    file = write(f"{key}: null", f'{key}: "/data\\0"')
    assert f"{file}, line {line}, {key}: '/data\\x00' holds control characters" in complaint(file)


@pytest.mark.parametrize("folder", ["nowhere", "a" * 300])
def test_a_folder_without_the_results_to_report_on_is_named(write, folder):
    file = write("measured: null", f"measured: {folder}")
    for name in ("metrics", "runs", "predicted", "attention"):
        said = f"{file}, line 9, measured: there is no {folder}/{name}.parquet. Name a folder that"
        assert said in complaint(file)


def test_results_to_report_on_are_looked_for_and_found(write, tmp_path):
    for name in ("metrics", "runs", "predicted", "attention"):
        (tmp_path / f"{name}.parquet").touch()
    assert study(write("measured: null", f"measured: {tmp_path}"))


@pytest.mark.parametrize("key", ["epochs: 10", "batch_size: 16", "sequence_length: 256"])
def test_a_count_beyond_the_columns_of_parquet_is_refused(write, key):
    name = key.split(":")[0]
    file = write(f"    {key}\n", f"    {name}: {10**19}\n")
    assert f"bases.lstm.{name}: {10**19} has to be at most" in complaint(file)


def test_a_whole_number_that_is_no_real_number_is_refused(write):
    file = write("      lr: 1.0e-3", f"      lr: {2**53 + 1}")  # Parquet refuses it, after training
    assert "is not exact as a real number; write 9007199254740992.0." in complaint(file)


@pytest.mark.parametrize(
    "setting",
    ["      lr: 1.0e-3", "      warmup_epochs: 5", "    gradient_clipping: 1.0"],
)
def test_a_whole_number_beyond_those_of_parquet_is_refused(write, setting):
    file = write(setting, f"{setting.partition(':')[0]}: {2**63}")
    assert f"{2**63} has to be at most 9007199254740992" in complaint(file)


@pytest.mark.parametrize(
    ("old", "new"),
    [("batch_size: 128", "batch_size: 45000"), ("batch_size: 16", "batch_size: 50000")],
)
def test_a_batch_may_be_a_whole_set_of_images_and_more_of_text(write, old, new):
    assert study(write(old, new))


def test_a_mistake_in_an_overlay_names_the_overlay(write):
    file = write()
    overlay = write(text="bases:\n  vit:\n    model:\n      patch: 5\n", name="overlay.yaml")
    message = complaint(file, overlay)
    assert f"{overlay}, line 4, bases.vit.model.patch: " in message
    assert str(file) not in message


def test_a_duplicate_key_in_an_overlay_names_the_overlay(write):
    overlay = write(text="study: a\nthreads: 2\nstudy: b\n", name="overlay.yaml")
    assert f"{overlay}, line 3, study: this key stands a second time (first on line 1)" in (
        complaint(write(), overlay)
    )


def test_the_same_key_in_file_and_overlay_is_no_duplicate(write):
    file, overlay = write(), write(text="threads: 2\n", name="overlay.yaml")
    assert list(study(file, overlay)) == list(study(file))


def test_a_mistake_in_a_new_key_from_the_command_line_names_it(write):
    message = complaint(write(), colour="red")
    assert "command line (--config), colour: unknown key. Possible: bases, " in message


@pytest.mark.parametrize(
    ("typed", "key"), [({"threads": 0}, "threads"), ({"seeds": [-1, 5]}, "seeds.0")]
)
def test_a_mistake_in_a_key_overridden_on_the_command_line_names_it(write, typed, key):
    assert f"command line (--config), {key}: " in complaint(write(), **typed)


def test_a_mistake_in_a_base_is_said_once_however_many_inherit_it(write):
    message = complaint(write("      dim: 256", "      dims: 256"))
    assert message.splitlines()[0].startswith("The configuration cannot be run (")
    problems = message.splitlines()[1:]
    assert len(problems) == len(set(problems))
    assert sum("bases.vit.model.dims: unknown key" in line for line in problems) == 1


def test_fifty_mistakes_fit_one_screen(write):
    experiments = "".join(f"  wrong-{n}: {{base: vit, lrr: {n}}}\n" for n in range(50))
    message = complaint(write(text=STUDY + experiments))
    assert len(message.splitlines()) <= 14
    assert "50 to fix" in message
    assert "… and 40 more." in message


# Grids

TUNED = """\
  tuned:
    base: vit
    optimizer: {name: sgd}
    grid:
      optimizer.lr: [3.0e-3, 3.0e-2, 0.3]
      epochs: [10, 30]
"""


def with_grid(**grid: object) -> dict:
    """Return the configuration of STUDY with a grid `tuned`; two underscores stand for a dot."""
    config = yaml.safe_load(STUDY)
    keys = {key.replace("__", "."): values for key, values in grid.items()}
    config["experiments"]["tuned"] = {"base": "vit", "grid": keys}
    return config | {"select": ["tuned"]}


def test_a_grid_is_the_product_of_its_values_in_the_order_written():
    experiments = grids.expanded(yaml.safe_load(STUDY + TUNED)["experiments"])
    assert list(experiments) == ["words", "pictures", "more-pictures"] + [
        f"tuned-lr-{lr}-epochs-{epochs}" for lr in ("3e-3", "3e-2", "3e-1") for epochs in (10, 30)
    ]
    assert experiments["tuned-lr-3e-2-epochs-30"] == {
        "base": "vit",
        "optimizer": {"name": "sgd", "lr": 0.03},
        "epochs": 30,
    }


def test_a_member_of_a_grid_is_an_experiment_like_one_written_out(write):
    file = write(text=STUDY + TUNED)
    runs = study(file)
    assert "tuned" not in runs
    written = "{base: vit, optimizer: {lr: 0.3, name: sgd}, epochs: 30}"
    by_hand = study(write(text=f"{STUDY}  tuned: {written}", name="by-hand.yaml"))
    assert repr(runs["tuned-lr-3e-1-epochs-30"]) == repr(by_hand["tuned"])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([10, 30], ["10", "30"]),
        ([0.03, 0.0003, 0.015], ["3e-2", "3e-4", "1p5e-2"]),
        ([1.5, 12.5, 1e-10, 1e22], ["1p5e0", "1p25e1", "1e-10", "1e22"]),
        ([0.0, 1.0, 100.0], ["0", "1", "100"]),
        ([-1, -0.5], ["m1", "m5e-1"]),
        (["resnet-preact", "my_data", "FP32"], ["resnet-preact", "my-data", "fp32"]),
        ([True, False, None], ["true", "false", "none"]),
    ],
)  # fmt: skip
def test_names_of_members_tell_key_and_value(values, words):
    found = grids.members("a", {"base": "vit", "grid": {"one.some_key": values}})
    assert [name for name, _ in found] == [f"a-some-key-{word}" for word in words]
    assert [member["one"]["some_key"] for _, member in found] == values


def test_a_grid_may_vary_every_setting_of_one_value():
    for name, keys in OTHER_VALUES.items():
        for key, value in keys.items():
            if isinstance(value, list) or key.startswith(("dataset", "model.embedding")):
                continue
            used = {other: [one] for other, one in USED_WITH.get(key, {}).items()}
            if key == "schedule.gamma":  # its milestones are a list, which no grid varies
                continue
            config = with_grid(**{key: [value]}, **used)
            config["experiments"]["tuned"]["base"] = {"words": "lstm", "pictures": "vit"}[name]
            (run,) = resolve(config, [], SCHEMAS).values()
            assert flatten(run)[key] == value


def test_the_grid_wins_over_the_experiment_and_the_experiment_over_its_base():
    config = with_grid(epochs=[7, 8])
    config["experiments"]["tuned"] |= {"epochs": 9, "batch_size": 9}
    runs = resolve(config, [], SCHEMAS)
    assert [run["epochs"] for run in runs.values()] == [7, 8]
    assert {run["batch_size"] for run in runs.values()} == {9}


def test_a_grid_may_vary_the_base():
    runs = resolve(with_grid(base=["vit", "deep"]), [], SCHEMAS)
    assert {name: run["model"]["depth"] for name, run in runs.items()} == {
        "tuned-base-vit": 2,
        "tuned-base-deep": 6,
    }


@pytest.mark.parametrize(
    ("selection", "chosen"),
    [
        (["tuned"], {"tuned-epochs-7", "tuned-epochs-8"}),
        (["tuned-epochs-8", "words"], {"tuned-epochs-8", "words"}),
        (["core"], {"tuned-epochs-7", "tuned-epochs-8", "words", "pictures", "more-pictures"}),
    ],
)
def test_select_takes_a_grid_its_group_and_a_single_member(selection, chosen):
    runs = resolve(with_grid(epochs=[7, 8]) | {"select": selection}, [], SCHEMAS)
    assert {*runs} == chosen


def test_a_misspelt_grid_in_the_selection_is_named(write):
    file = write("select: [core]", "select: [tuend]", text=STUDY + TUNED)
    assert f"{file}, line 3, select: no experiment or group 'tuend'. Did you mean 'tuned'?" in (
        complaint(file)
    )


def test_an_overlay_changes_every_member_and_replaces_lists(write):
    file = write(text=STUDY + TUNED)
    changes = "experiments: {tuned: {batch_size: 3, grid: {epochs: [6]}}}"
    runs = study(file, write(text=changes, name="overlay.yaml"))
    tuned = {name: run for name, run in runs.items() if name.startswith("tuned")}
    assert [*tuned] == [f"tuned-lr-{lr}-epochs-6" for lr in ("3e-1", "3e-2", "3e-3")]
    assert {run["batch_size"] for run in tuned.values()} == {3}


def test_expanding_twice_is_expanding_once():
    config = with_grid(epochs=[7, 8], model__depth=[1, 2])
    before = copy.deepcopy(config)
    once = grids.expanded(config["experiments"])
    assert grids.expanded(once) == once
    assert resolve(config | {"experiments": once, "select": ["core"]}, [], SCHEMAS) == resolve(
        config | {"select": ["core"]}, [], SCHEMAS
    )
    assert config == before


GRID_MISTAKES = {
    "empty grid": ("{}", "", "{} is empty; name at least one."),
    "no grid": ("3", "", "3 is no mapping; write keys and values"),
    "no list": ("optimizer.lr: 0.1", "optimizer.lr", "0.1 is no list; write the values of one"),
    "a section": (
        "optimizer: {lr: [0.1, 1.0]}",
        "optimizer",
        "{'lr': [0.1, 1.0]} is no list; write the values of one setting, such as optimizer.lr: [",
    ),
    "empty list": ("epochs: []", "epochs", "[] is empty; name at least one."),
    "value twice": ("epochs: [6, 7, 6]", "epochs", "[6, 7, 6] has a value twice; remove one."),
    "number twice": ("optimizer.lr: [1, 1.0]", "optimizer.lr", "[1, 1.0] has a value twice"),
    "misspelt key": ("optimizer.lrr: [1, 2]", "optimizer.lrr", "unknown key. Did you mean 'lr'?"),
    "unknown key": ("zebra: [1, 2]", "zebra", "unknown key. Possible: augmentation, batch_size,"),
    "key without a section": ("lr: [0.1]", "lr", "unknown key. Did you mean 'optimizer.lr'?"),
    "key that ends in a dot": ("optimizer.: [1]", "optimizer.", "unknown key. Possible: lr, "),
    "key inside a value": ("epochs.few: [1]", "epochs.few", "{'few': 1} is no whole number"),
    "key that is no text": ("1: [1]", "1", "1 is no text for YAML; write it in quotes: '1'."),
    "key without end": (f"? {'a.' * 50_000}\n      : [1]", "", "100000 characters, of 80 at most."),
    "grid in the grid": ("grid: [1]", "grid", "unknown key. Possible: "),
    "key inside the base": ("base.of: [vit]", "base.of", "unknown key. Did you mean 'base'?"),
    "missing base": ("base: [vit, vti]", "base", "no base 'vti'. Did you mean 'vit'?"),
    "base that is no name": ("base: [3]", "base.0", "3 is no text for YAML"),
    "wrong type": ("optimizer.lr: [0.1, fast]", "optimizer.lr", "'fast' is no number."),
    "exponent without a dot": ("optimizer.lr: [1.0e-2, 1e-3]", "optimizer.lr", "Write 1.0e-3."),
    "number that is no count": ("epochs: [10, 20.5]", "epochs", "20.5 is no whole number"),
    "out of range": ("epochs: [10, -1]", "epochs", "-1 has to be at least 1."),
    "not a number": ("optimizer.lr: [.nan]", "optimizer.lr.0", "nan has no place in a grid, which"),
    "list of lists": (
        "augmentation.crop_scale: [[0.5, 1.0]]",
        "augmentation.crop_scale.0",
        "[0.5, 1.0] has no place in a grid, which takes text, finite numbers, true, false and",
    ),
    "mapping": ("model: [{depth: 3}]", "model.0", "{'depth': 3} has no place in a grid"),
    "date": ("epochs: [2026-11-22]", "epochs.0", "has no place in a grid"),
    "no such name": ("dataset: [cifar10, cifar11]", "dataset", "no data set 'cifar11'. Did you"),
    "patch that does not divide": ("model.patch: [4, 5]", "model.patch", "into patches of 5."),
    "sequence length of images": ("sequence_length: [8]", "sequence_length", "no such setting"),
    "keys that overlap": (
        "optimizer: [x]\n      optimizer.lr: [1.0]",
        "optimizer.lr",
        "the grid sets all of 'optimizer' too; remove one of both.",
    ),
    "long name": (
        f"group: [{'g' * 70}]",
        "",
        f"'tuned-group-{'g' * 70}' is too long: 82 characters, of 80 at most. Shorten it.",
    ),
    "too many members": (
        f"epochs: {[*range(6, 52)]}\n      batch_size: {[*range(1, 23)]}",
        "",
        "1,012 combinations are too many, 1,000 are the most. Leave out values, or make it several",
    ),
    "too many keys": (
        "\n      ".join(f"key-{number}: [1]" for number in range(21)),
        "",
        "has too many properties",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "key", "cure"), GRID_MISTAKES.values(), ids=GRID_MISTAKES)
def test_a_mistake_in_a_grid_is_named_with_file_line_key_and_cure(write, text, key, cure):
    head = STUDY + "  tuned:\n    base: vit\n    grid:\n      "
    file = write(text=head + text)
    before = head + text[: text.index(key.removesuffix(".0"))] if key else head.rstrip()
    place = (
        f"{file}, line {1 + before.count(chr(10))}, experiments.tuned.grid{'.' * bool(key)}{key}: "
    )
    said = [line for line in complaint(file).splitlines() if place in line]
    assert len(said) == 1, complaint(file)
    assert cure in said[0]


@pytest.mark.parametrize(
    ("values", "other"),
    [
        ("[6, 7]", "{base: vit}"),
        ("[6, 7]", "{base: vit, grid: {precision: [fp32, bf16]}}"),
        ("[7, '7']", "{base: vit}"),
    ],
)
def test_a_name_that_two_experiments_would_have_is_refused(write, values, other):
    text = f"  tuned: {{base: vit, grid: {{epochs: {values}}}}}\n  tuned-epochs-7: {other}\n"
    file = write(text=STUDY + text)
    cure = "'tuned-epochs-7' would be the name of two experiments. Rename one, or leave out a value"
    line = line_of(file.read_text(), "  tuned:")
    assert f"{file}, line {line}, experiments.tuned: {cure}" in complaint(file)


def test_grids_that_stand_for_millions_are_refused_before_they_are_expanded():
    config = with_grid(**{f"model.key{n}": [*range(100)] for n in range(10)})  # 10**20
    assert "100,000,000,000,000,000,000 combinations are too many" in complaint_of(config)
    config = with_grid(epochs=[*range(6, 1_006)])
    config["experiments"] |= {
        f"tuned-{number}": config["experiments"]["tuned"] for number in range(10)
    }
    assert "experiments: grids of 11,000 experiments, 10,000 are the most." in complaint_of(config)


def test_a_mistake_that_all_members_share_is_said_once(write):
    lines = "    grid: {optimizer.lr: [1, 2, 3], epochs: [6, 7]}\n    modle: {depth: 1}\n"
    file = write(text=f"{STUDY}  tuned:\n    base: vit\n{lines}")
    (said,) = complaint(file).splitlines()[1:]
    line = line_of(file.read_text(), "    modle:")
    said_of_key = f"{file}, line {line}, experiments.tuned.modle: unknown key."
    assert f"{said_of_key} Did you mean 'model'?" in said


def test_a_mistake_in_a_grid_of_an_overlay_names_the_overlay(write):
    text = "experiments:\n  tuned:\n    grid:\n      epochs: [many]\n"
    overlay = write(text=text, name="overlay.yaml")
    message = complaint(write(text=STUDY + TUNED), overlay)
    assert f"{overlay}, line 4, experiments.tuned.grid.epochs: 'many' is no whole number" in message


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5),
    st.sampled_from(["1", "true", "None", "1e-3", "a_b", "a-b", "A", "", "-"]),
)  # fmt: skip
SETTINGS = [key for keys in OTHER_VALUES.values() for key in keys]
GRIDS = st.dictionaries(
    st.one_of(st.sampled_from([*SETTINGS, "base", "base.x", "grid", "model"]), st.text(max_size=5)),
    st.lists(SCALARS, max_size=4),
    max_size=3,
)


@given(GRIDS)
def test_any_grid_gives_distinct_names_or_a_clean_message(grid):
    try:
        runs = resolve(with_grid(**grid), [], SCHEMAS)
    except ConfigError as error:
        lines = str(error).splitlines()
        assert all("command line (--config), " in line for line in lines[1:] if "…" not in line)
        return
    check_members(runs, grid)


@given(
    st.lists(st.floats(0, 2.0**53, exclude_min=True), min_size=1, unique=True),
    st.lists(st.integers(6, 2**31 - 1), min_size=1, unique=True),
    st.lists(st.sampled_from([None, 0.5, 1.5, 20]), min_size=1, unique=True),
)
@settings(max_examples=30)
def test_any_grid_of_possible_values_is_that_many_runs(rates, epochs, clipping):
    grid = {"optimizer.lr": rates, "epochs": epochs, "gradient_clipping": clipping}
    assume(len(rates) * len(epochs) * len(clipping) <= 50)
    check_members(resolve(with_grid(**grid), [], SCHEMAS), grid)


def check_members(runs: dict[str, dict], grid: dict[str, list]) -> None:
    """There is one run for each combination, under a name that may become a folder."""
    names = [name for name, _ in grids.members("tuned", {"base": "vit", "grid": grid})]
    assert sorted(names) == list(runs)
    assert all(re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", name) and len(name) <= 80 for name in names)
    for name, values in zip(names, itertools.product(*grid.values()), strict=True):
        flat = flatten(runs[name])
        assert all(
            flat[key] == value for key, value in zip(grid, values, strict=True) if key != "base"
        )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("label_smoothing: 1.0", "less than 1"),
        ("optimizer: {lr: 0.0}", "more than 0"),
        ("optimizer: {weight_decay: -0.1}", "at least 0"),
        ("optimizer: {name: momentum, momentum: 1.0}", "less than 1"),
        ("model: {dropout: 1.0}", "less than 1"),
        ("augmentation: {flip: 1.5}", "at most 1"),
        ("schedule: {name: step, gamma: 0.0}", "more than 0"),
        ("schedule: {warmup_epochs: -1}", "at least 0"),
    ],
)
def test_a_setting_beyond_its_bound_is_refused(write, change, said):
    with pytest.raises(ConfigError, match=f"has to be {said}"):
        study(write("  pictures: {base: vit}", f"  pictures: {{base: vit, {change}}}"))
