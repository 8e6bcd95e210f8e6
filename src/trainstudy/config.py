"""From the YAML a user edits to the plain settings of every run.

The Snakefile imports this module on machines that have Snakemake alone, so it uses nothing else:
no torch, no numpy.
"""

import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import jsonschema

from trainstudy import data, grids, shapes
from trainstudy.places import ConfigError, Places, read

KIND_OF_FAMILY = {"lstm": "text", "vit": "images", "cnn": "images"}
MODULE = re.compile("[a-z0-9][a-z0-9_]*")
RESULT_FILES = ("metrics", "runs", "predicted", "attention")  # Parquet: what reports are made from


def resolve(config: dict, files: list[Path], schemas: Path) -> dict[str, dict]:
    """Return the merged settings of every selected experiment, by name.

    `config` is the configuration as Snakemake merged it, grids and all, `files` the YAML files it
    came from (used to say where a mistake stands), `schemas` the folder of config.yaml and
    experiment.yaml.
    Raises ConfigError with every problem found.
    """
    places = Places(files, config)
    shape = shapes.read(schemas / "config.yaml")
    problems = data.problems() + places.duplicates
    problems += shapes.violations(config, shape, lambda p: places.find([p]))
    problems = problems or _impossible_grids(config["experiments"], places)
    if problems:
        raise ConfigError(*dict.fromkeys(problems))
    owners = grids.owners(config["experiments"])
    study = config | {"experiments": grids.expanded(config["experiments"])}
    runs = {name: _merge(study, name, owners[name], places, problems) for name in owners}
    schema = shapes.read(schemas / "experiment.yaml")
    for name in runs if not problems else ():
        lineage = [("experiments", owners[name]), *_lineage(study, name)[1:]]
        find = _finder(lineage, config["experiments"][owners[name]].get("grid", {}), places)
        problems += shapes.violations(runs[name], schema, find) or [
            f"{find(path)}: {message}" for path, message in _impossible(runs[name])
        ]
    if not problems:
        names = shapes.Validator(shape.schema["$defs"]["name"])
        problems += _misnamed(owners, names, places) + _unknown_selection(config, runs, places)
        problems += _no_results(config, places)
    if problems:
        raise ConfigError(*dict.fromkeys(problems))
    chosen = set(config["select"])
    return {n: run for n, run in sorted(runs.items()) if chosen & {n, owners[n], run["group"]}}


def checked(file: Path, schema: Path) -> dict:
    """Return what a YAML file holds. Raises ConfigError where it does not obey its schema."""
    loaded, _, _ = read(file)
    places = Places([file], loaded)
    found = shapes.violations(loaded, shapes.read(schema), lambda path: places.find([path]))
    problems = places.duplicates + found
    if problems:
        raise ConfigError(*problems)
    return loaded


def threads(wanted: int | str, runs: int, cores: int | None) -> int:
    """Return the CPU threads of one training job.

    "auto" is one job a core, since jobs side by side do more in total than one with all cores
    (docs/performance.md); fewer runs than cores divide the cores among them.
    """
    return max(1, (cores or 1) // runs) if isinstance(wanted, str) else wanted


def training_settings(run: dict) -> dict:
    """Return what decides the outcome of a run: everything but the group it is listed under."""
    return {key: value for key, value in run.items() if key != "group"}


def setting(config: dict, name: str, key: str) -> object:
    """Return a setting of an experiment, selected or not: its own or that of its nearest base."""
    owners = (config[section][owner] for section, owner in _lineage(config, name))
    return next(owner[key] for owner in owners if key in owner)


def _lineage(config: dict, name: str) -> list[tuple[str, str]]:
    """Return where the settings of an experiment may stand, the strongest first."""
    owners, base = [("experiments", name)], config["experiments"][name].get("base")
    while base is not None and ("bases", base) not in owners:
        owners.append(("bases", base))
        base = config["bases"].get(base, {}).get("base")
    return owners


def _finder(lineage: list[tuple[str, str]], grid: dict, places: Places) -> Callable[[tuple], str]:
    """Return what says where a setting stands: in the grid, or else in the nearest owner."""

    def find(path: tuple) -> str:
        varied = [key for key in grid if path and _meet(key.split("."), path)]
        paths = [(*lineage[0], "grid", key) for key in varied]
        return places.find(paths + [(*owner, *path) for owner in lineage])

    return find


def _meet(one: list[str], other: tuple) -> bool:
    """Return whether two paths are the same, or one lies inside the other."""
    return all(a == b for a, b in zip(one, other, strict=False))


def _merge(config: dict, name: str, owner: str, places: Places, problems: list[str]) -> dict:
    """Lay an experiment over its chain of bases; keys come out sorted, as change tracking needs.

    `owner` is where the experiment stands in the files: it may be a member of that one's grid.
    """
    merged: dict = {}
    lineage = _lineage(config, name)
    for section, one in reversed(lineage):
        if one not in config[section]:
            known = shapes.known(one, config[section])
            where = places.find([("experiments", owner, "grid", "base"), ("experiments", owner)])
            problems.append(f"{where}: no base '{one}'. {known}")
            return {}
        layer = {key: value for key, value in config[section][one].items() if key != "base"}
        merged = _overlay(merged, layer)
    section, last = lineage[-1]
    if "base" in config[section][last]:
        closes = config[section][last]["base"]
        where = places.find([(section, last)])
        problems.append(f"{where}: its chain of bases ends in a circle at '{closes}'.")
    return merged


def _overlay(lower: dict, upper: dict) -> dict:
    keys = sorted({*lower, *upper}, key=str)
    return {key: _overlay_value(key, lower, upper) for key in keys}


def _overlay_value(key: str, lower: dict, upper: dict) -> object:
    value = upper.get(key, lower.get(key))
    if isinstance(value, dict):
        below = lower.get(key)
        return _overlay(below if isinstance(below, dict) else {}, value)
    return value


def _impossible(run: dict) -> list[tuple[tuple, str]]:
    """Return the (path, message) of settings that are each fine but do not fit together."""
    name, kind = run["dataset"], KIND_OF_FAMILY[run["family"]]
    if name not in data.names():
        return [(("dataset",), f"no data set '{name}'. {shapes.known(name, data.names())}")]
    if not MODULE.fullmatch(name):
        message = f"the file data/{name}.py needs a name of lower-case letters, digits and _."
        return [(("dataset",), message)]
    found: list[tuple[tuple, str]] = []
    dataset = data.find(name)
    if dataset.KIND != kind:
        message = f"{run['family']} models learn from {kind}, {name} holds {dataset.KIND}."
        found.append((("dataset",), f"{message} Choose another data set or family."))
    elif kind == "images":
        found += _impossible_images(run, dataset)
    else:
        found += _impossible_text(run, dataset)
    for key in ("crop_scale", "crop_ratio"):
        low, high = run.get("augmentation", {}).get(key, (0, 0))
        if low > high:
            found.append((("augmentation", key), f"the range [{low}, {high}] is empty; turn it."))
    for key in ("mixup", "cutmix"):
        if run.get("augmentation", {}).get(key) and run["batch_size"] == 1:
            message = "a batch of one image has no other to mix it with."
            message = f"{message} Choose a larger batch_size, or write null."
            found.append((("augmentation", key), message))
    if run["schedule"]["name"] == "step" and not run["schedule"]["milestones"]:
        message = "a step schedule without milestones never steps. Name epochs, or choose none."
        found.append((("schedule", "milestones"), message))
    if run["schedule"]["warmup_epochs"] > run["epochs"]:
        message = f"the warm-up is longer than the training of {run['epochs']} epochs; shorten it."
        found.append((("schedule", "warmup_epochs"), message))
    if (run["early_stopping"] or 0) >= run["epochs"]:
        message = f"no training of {run['epochs']} epochs ends early after {run['early_stopping']} "
        message += "without improvement. Choose less, or write null."
        found.append((("early_stopping",), message))
    return found


def _impossible_images(run: dict, dataset: ModuleType) -> list[tuple[tuple, str]]:
    found: list[tuple[tuple, str]] = []
    _, height, width = dataset.SHAPE
    if height != width:
        message = f"its images of {height} × {width} pixels are not square, as augmentation and "
        found.append((("dataset",), f"{message}models want them. Let its module cut or pad them."))
    if run["batch_size"] > dataset.EXAMPLES:  # no partial batch is trained on
        message = f"a batch of {run['batch_size']:,} is more than the {dataset.EXAMPLES:,} training"
        message = f"{message} images of {run['dataset']}. Choose a smaller one."
        found.append((("batch_size",), message))
    if run["family"] == "vit":
        found += _impossible_vit(run["model"], width)
    elif run["model"]["name"] == "densenet":
        found += _impossible_densenet(run["batch_size"], width)
    return found


def _impossible_densenet(batch_size: int, size: int) -> list[tuple[tuple, str]]:
    """It halves the image three times; batch norm wants more than one pixel in a batch."""
    if size < 8:
        message = f"densenet halves images three times, and these have {size} pixels. Choose "
        return [(("model", "name"), f"{message}another network.")]
    if size < 16 and batch_size == 1:
        message = "densenet leaves one pixel of these images, of which batch norm needs several."
        return [(("batch_size",), f"{message} Choose a larger one.")]
    return []


def _impossible_vit(model: dict, size: int) -> list[tuple[tuple, str]]:
    found: list[tuple[tuple, str]] = []
    if size % model["patch"]:
        message = f"images of {size} pixels cannot be cut into patches of {model['patch']}."
        found.append((("model", "patch"), f"{message} Choose a divisor."))
    if model["dim"] % model["heads"]:
        message = f"{model['heads']} heads cannot share a width (dim) of {model['dim']} equally."
        found.append((("model", "heads"), f"{message} Choose a divisor."))
    if model["drop_path"] and model["depth"] == 1:
        message = "the first block drops nothing, and with a depth of 1 there is no other."
        found.append((("model", "drop_path"), f"{message} Choose a larger depth, or write null."))
    return found


def _impossible_text(run: dict, dataset: ModuleType) -> list[tuple[tuple, str]]:
    found: list[tuple[tuple, str]] = []
    frozen = run["model"]["embedding"] == "gpt1"
    if frozen and dataset.TOKENIZER != "gpt1":
        message = f"gpt1 belongs to GPT-1's vocabulary, and {run['dataset']} has its own."
        found.append((("model", "embedding"), f"{message} Choose learned."))
    if frozen and run["model"]["embedding_size"] != 768:
        found.append((("model", "embedding_size"), "GPT-1's embeddings have size 768; write that."))
    if run["sequence_length"] > dataset.EXAMPLES:
        message = f"a sequence of {run['sequence_length']:,} is longer than the training part of "
        message += f"{run['dataset']}, about {dataset.EXAMPLES:,} tokens. Choose a shorter one."
        found.append((("sequence_length",), message))
    return found


def _impossible_grids(experiments: dict[str, dict], places: Places) -> list[str]:
    """Return what is wrong with grids of the right shape, before any of them is expanded."""
    own = {name: one["grid"] for name, one in experiments.items() if "grid" in one}
    problems = [
        f"{places.find([('experiments', name, 'grid', *path)])}: {message}"
        for name, grid in own.items()
        for path, message in grids.misfits(grid)
    ]
    total = sum(grids.count(experiments[name]) for name in own)
    if not problems and total > grids.TOTAL:
        most = f"{grids.TOTAL:,} are the most"
        where = places.find([("experiments",)])
        problems.append(f"{where}: grids of {total:,} experiments, {most}. Leave out values.")
    return problems or _named_twice(experiments, places)


def _named_twice(experiments: dict[str, dict], places: Places) -> list[str]:
    """Return the names that several experiments would have; one with a grid keeps its own."""
    names = [
        (n, owner) for owner in experiments for n, _ in grids.members(owner, experiments[owner])
    ]
    kept = [owner for owner in experiments if "grid" in experiments[owner]]
    count = Counter([*kept, *(name for name, _ in names)])
    return [
        f"{places.find([('experiments', owner)])}: '{name}' would be the name of two experiments. "
        "Rename one, or leave out a value of the grid."
        for name, owner in names
        if count[name] > 1
    ]


def _misnamed(
    owners: dict[str, str], names: jsonschema.protocols.Validator, places: Places
) -> list[str]:
    """Return the members of grids whose names are none."""
    where = {owner: places.find([("experiments", owner, "grid")]) for owner in owners.values()}
    return [
        line
        for name, owner in owners.items()
        for line in shapes.violations(name, names, {(): where[owner]}.__getitem__)
    ]


def _unknown_selection(config: dict, runs: dict[str, dict], places: Places) -> list[str]:
    known = {*runs, *config["experiments"], *(run["group"] for run in runs.values())}
    where = places.find([("select",)])
    return [
        f"{where}: no experiment or group '{name}'. {shapes.known(name, known)}"
        for name in config["select"]
        if name not in known
    ]


def _no_results(config: dict, places: Places) -> list[str]:
    """Say which files are not in the folder of an earlier study that the configuration names."""
    if config["measured"] is None:
        return []
    files = [os.path.join(config["measured"], f"{name}.parquet") for name in RESULT_FILES]
    where = places.find([("measured",)])
    return [
        f"{where}: there is no {file}. Name a folder that `make keep` wrote, or null."
        for file in files
        if not os.path.isfile(file)  # False, where pathlib raises, for a name that is too long
    ]
