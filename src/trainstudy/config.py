"""From the YAML a user edits to the plain settings of every run.

The Snakefile imports this module on machines that have Snakemake alone, so it uses nothing else:
no torch, no numpy.
"""

import difflib
import math
import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import jsonschema
import yaml

from trainstudy import data, grids
from trainstudy.places import ConfigError, Places, read

KIND_OF_FAMILY = {"lstm": "text", "vit": "images", "cnn": "images"}
MODULE = re.compile("[a-z0-9][a-z0-9_]*")
RESULT_FILES = ("metrics", "runs", "predicted", "attention")  # Parquet: what reports are made from
NUMBER_IN_TEXT = re.compile(r"[-+]?(\d+)(\.\d*)?[eE][-+]?\d+")


def resolve(config: dict, files: list[Path], schemas: Path) -> dict[str, dict]:
    """Return the merged settings of every selected experiment, by name.

    `config` is the configuration as Snakemake merged it, grids and all, `files` the YAML files it
    came from (used to say where a mistake stands), `schemas` the folder of config.yaml and
    experiment.yaml.
    Raises ConfigError with every problem found.
    """
    places = Places(files, config)
    shape = _schema(schemas / "config.yaml")
    problems = places.duplicates + _violations(config, shape, lambda p: places.find([p]))
    problems = problems or _impossible_grids(config["experiments"], places)
    if problems:
        raise ConfigError(*dict.fromkeys(problems))
    owners = grids.owners(config["experiments"])
    study = config | {"experiments": grids.expanded(config["experiments"])}
    runs = {name: _merge(study, name, owners[name], places, problems) for name in owners}
    schema = _schema(schemas / "experiment.yaml")
    for name in runs if not problems else ():
        lineage = [("experiments", owners[name]), *_lineage(study, name)[1:]]
        find = _finder(lineage, config["experiments"][owners[name]].get("grid", {}), places)
        problems += _violations(runs[name], schema, find) or [
            f"{find(path)}: {message}" for path, message in _impossible(runs[name])
        ]
    if not problems:
        names = _Validator(shape.schema["$defs"]["name"])
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
    problems = places.duplicates + _violations(loaded, _schema(schema), lambda p: places.find([p]))
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
            known = _known(one, config[section])
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


def _is_whole(checker: object, value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)  # JSON Schema takes 10.0 too


def _is_number(checker: object, value: object) -> bool:
    # Parquet's real numbers take whole ones only where nothing is lost.
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value) == value
    return isinstance(value, float) and math.isfinite(value)


_Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"integer": _is_whole, "number": _is_number}
    ),
)


def _schema(file: Path) -> jsonschema.protocols.Validator:
    return _Validator(yaml.safe_load(file.read_text()))


def _violations(instance: object, schema: jsonschema.protocols.Validator, find) -> list[str]:
    errors = schema.iter_errors(instance)
    ordered = sorted(errors, key=lambda error: [str(part) for part in error.absolute_path])
    return list(dict.fromkeys(line for error in ordered for line in _explain(error, find)))


def _explain(error: jsonschema.ValidationError, find) -> list[str]:
    """Turn one schema error into sentences with place and cure."""
    path, value = tuple(error.absolute_path), error.instance
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        unknown = [key for key in value if key not in known]
        return [f"{find((*path, key))}: unknown key. {_known(str(key), known)}" for key in unknown]
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in value]
        return [f"{find(path)}: the key '{key}' is missing." for key in missing]
    if error.validator == "not" and path[:1] == ("bases",) and path[-1] == "grid":
        return [f"{find(path)}: a grid belongs to an experiment; move it there."]
    if error.validator == "not" and error.validator_value:
        return [f"{find(path)}: Windows reserves the name {value!r}; choose another."]
    if error.validator == "not":
        return [f"{find(path)}: this key has no meaning beside the others; remove it."]
    if error.validator == "enum":
        known = _known(str(value), error.validator_value)
        return [f"{find(path)}: {value!r} is not possible. {known}"]
    if error.validator == "type" and path[2:3] == ("grid",) and len(path) == 4:
        return [
            f"{find(path)}: {value!r} is no list; write the values of one setting, such as "
            "optimizer.lr: [0.01, 0.1]."
        ]
    if error.validator == "type" and path[2:3] == ("grid",) and "null" in error.validator_value:
        return [
            f"{find(path)}: {value!r} has no place in a grid, which takes text, finite numbers, "
            "true, false and null."
        ]
    if error.validator == "maxLength":
        return [
            f"{find(path)}: {value!r} is too long: {len(value)} characters, of "
            f"{error.validator_value} at most. Shorten it."
        ]
    if error.validator == "type" and value in ("true", "false", "True", "False"):
        return [
            f"{find(path)}: {value!r} is text, not true or false. Write it without quotes in a "
            "file, and as True or False after --config."
        ]
    if error.validator == "type" and isinstance(value, str) and value.lstrip("+-").isdigit():
        return [
            f"{find(path)}: {value!r} is text, not a number. Write it without quotes; in a list "
            "given to --config everything is text, so put it into a file for --configfile."
        ]
    if error.validator == "type" and isinstance(value, str) and NUMBER_IN_TEXT.fullmatch(value):
        mantissa, exponent = re.split("[eE]", value)
        cure = f"{mantissa if '.' in mantissa else mantissa + '.0'}e{int(exponent):+d}"
        return [
            f"{find(path)}: {value} is text, not a number: YAML wants a dot and a signed "
            f"exponent. Write {cure}."
        ]
    if error.validator == "type" and _is_whole(None, value) and "number" in error.validator_value:
        return [f"{find(path)}: {value} is not exact as a real number; write {float(value)!r}."]
    if error.validator == "pattern" and path in (("mirror",), ("measured",), ("image",)):
        return [f"{find(path)}: {value!r} holds control characters; remove them."]
    if error.validator == "pattern":
        return [
            f"{find(path)}: {value!r} is no good name. Use lower-case letters and digits, joined "
            "by single hyphens, such as my-vit-2."
        ]
    return [f"{find(path)}: {error.message}."]


def _impossible(run: dict) -> list[tuple[tuple, str]]:
    """Return the (path, message) of settings that are each fine but do not fit together."""
    name, kind = run["dataset"], KIND_OF_FAMILY[run["family"]]
    if name not in data.names():
        return [(("dataset",), f"no data set '{name}'. {_known(name, data.names())}")]
    if not MODULE.fullmatch(name):
        message = f"the file data/{name}.py needs a name of lower-case letters, digits and _."
        return [(("dataset",), message)]
    found: list[tuple[tuple, str]] = []
    if data.find(name).KIND != kind:
        message = f"{run['family']} models learn from {kind}, {name} holds {data.find(name).KIND}."
        found.append((("dataset",), f"{message} Choose another data set or family."))
    elif run["family"] == "vit":
        found += _impossible_vit(run["model"], data.find(name).SHAPE[-1])
    elif run["family"] == "lstm" and run["model"]["embedding"] == "gpt1":
        found += _impossible_embedding(run["model"], name)
    images = data.find(name).EXAMPLES if data.find(name).KIND == kind == "images" else math.inf
    if run["batch_size"] > images:  # no partial batch is trained on
        message = f"a batch of {run['batch_size']:,} is more than the {images:,} training images"
        found.append((("batch_size",), f"{message} of {name}. Choose a smaller one."))
    for key in ("crop_scale", "crop_ratio"):
        low, high = run.get("augmentation", {}).get(key, (0, 0))
        if low > high:
            found.append((("augmentation", key), f"the range [{low}, {high}] is empty; turn it."))
    if run["schedule"]["warmup_epochs"] > run["epochs"]:
        message = f"the warm-up is longer than the training of {run['epochs']} epochs; shorten it."
        found.append((("schedule", "warmup_epochs"), message))
    return found


def _impossible_vit(model: dict, size: int) -> list[tuple[tuple, str]]:
    found: list[tuple[tuple, str]] = []
    if size % model["patch"]:
        message = f"images of {size} pixels cannot be cut into patches of {model['patch']}."
        found.append((("model", "patch"), f"{message} Choose a divisor."))
    if model["dim"] % model["heads"]:
        message = f"{model['heads']} heads cannot share a width (dim) of {model['dim']} equally."
        found.append((("model", "heads"), f"{message} Choose a divisor."))
    return found


def _impossible_embedding(model: dict, dataset: str) -> list[tuple[tuple, str]]:
    found: list[tuple[tuple, str]] = []
    if data.find(dataset).TOKENIZER != "gpt1":
        message = f"gpt1 belongs to GPT-1's vocabulary, and {dataset} has its own."
        found.append((("model", "embedding"), f"{message} Choose learned."))
    if model["embedding_size"] != 768:
        found.append((("model", "embedding_size"), "GPT-1's embeddings have size 768; write that."))
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
        for line in _violations(name, names, lambda _, owner=owner: where[owner])
    ]


def _unknown_selection(config: dict, runs: dict[str, dict], places: Places) -> list[str]:
    known = {*runs, *config["experiments"], *(run["group"] for run in runs.values())}
    where = places.find([("select",)])
    return [
        f"{where}: no experiment or group '{name}'. {_known(name, known)}"
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


def _known(name: str, options) -> str:
    """Return the cure for a name that is not among the options."""
    options = sorted(map(str, options))
    near = difflib.get_close_matches(name, options, n=1)
    if near:
        return f"Did you mean '{near[0]}'?"
    listed = ", ".join(options[:12]) + (", …" if len(options) > 12 else "")
    return f"Possible: {listed or 'none'}."
