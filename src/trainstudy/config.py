"""From the YAML a user edits to the plain settings of every run.

The Snakefile imports this module on machines that have Snakemake alone, so it uses nothing else:
no torch, no numpy.
"""

import difflib
import math
import re
from pathlib import Path

import jsonschema
import yaml

from trainstudy import data
from trainstudy.places import ConfigError, Places, read

KIND_OF_FAMILY = {"lstm": "text", "vit": "images", "cnn": "images"}
MODULE = re.compile("[a-z0-9][a-z0-9_]*")
NUMBER_IN_TEXT = re.compile(r"[-+]?(\d+)(\.\d*)?[eE][-+]?\d+")


def resolve(config: dict, files: list[Path], schemas: Path) -> dict[str, dict]:
    """Return the merged settings of every selected experiment, by name.

    `config` is the configuration as Snakemake merged it, `files` the YAML files it came from (used
    to say where a mistake stands), `schemas` the folder of config.yaml and experiment.yaml.
    Raises ConfigError with every problem found.
    """
    places = Places(files, config)
    problems = list(places.duplicates)
    problems += _violations(config, _schema(schemas / "config.yaml"), lambda p: places.find([p]))
    if not problems:
        runs = {name: _merge(config, name, places, problems) for name in config["experiments"]}
        schema = _schema(schemas / "experiment.yaml")
        for name in runs if not problems else ():
            lineage = _lineage(config, name)

            def find(path: tuple, lineage: list[tuple[str, str]] = lineage) -> str:
                return places.find([(*owner, *path) for owner in lineage])

            found = _violations(runs[name], schema, find)
            problems += found or [
                f"{find(path)}: {message}" for path, message in _impossible(runs[name])
            ]
    if not problems:
        problems += _unknown_selection(config, runs, places)
    if problems:
        raise ConfigError(*dict.fromkeys(problems))
    chosen = set(config["select"])
    return {n: run for n, run in sorted(runs.items()) if n in chosen or run["group"] in chosen}


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


def _merge(config: dict, name: str, places: Places, problems: list[str]) -> dict:
    """Lay an experiment over its chain of bases; keys come out sorted, as change tracking needs."""
    merged: dict = {}
    lineage = _lineage(config, name)
    for section, owner in reversed(lineage):
        if owner not in config[section]:
            known = _known(owner, config[section])
            problems.append(f"{places.find([('experiments', name)])}: no base '{owner}'. {known}")
            return {}
        layer = {key: value for key, value in config[section][owner].items() if key != "base"}
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
    if error.validator == "not" and isinstance(value, str):
        return [f"{find(path)}: Windows reserves the name {value!r}; choose another."]
    if error.validator == "not":
        return [f"{find(path)}: this key has no meaning beside the others; remove it."]
    if error.validator == "enum":
        known = _known(str(value), error.validator_value)
        return [f"{find(path)}: {value!r} is not possible. {known}"]
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
    if error.validator == "pattern" and path == ("mirror",):
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
    for key in ("crop_scale", "crop_ratio"):
        low, high = run.get("augmentation", {}).get(key, (0, 0))
        if low > high:
            found.append((("augmentation", key), f"the range [{low}, {high}] is empty; turn it."))
    for key in ("mixup", "cutmix"):
        if run.get("augmentation", {}).get(key) and run["batch_size"] == 1:
            message = "a batch of one image has no other to mix it with."
            message = f"{message} Choose a larger batch_size, or write null."
            found.append((("augmentation", key), message))
    if run["schedule"]["warmup_epochs"] > run["epochs"]:
        message = f"the warm-up is longer than the training of {run['epochs']} epochs; shorten it."
        found.append((("schedule", "warmup_epochs"), message))
    if (run["early_stopping"] or 0) >= run["epochs"]:
        message = f"no training of {run['epochs']} epochs ends early after {run['early_stopping']} "
        message += "without improvement. Choose less, or write null."
        found.append((("early_stopping",), message))
    return found


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


def _impossible_embedding(model: dict, dataset: str) -> list[tuple[tuple, str]]:
    found: list[tuple[tuple, str]] = []
    if data.find(dataset).TOKENIZER != "gpt1":
        message = f"gpt1 belongs to GPT-1's vocabulary, and {dataset} has its own."
        found.append((("model", "embedding"), f"{message} Choose learned."))
    if model["embedding_size"] != 768:
        found.append((("model", "embedding_size"), "GPT-1's embeddings have size 768; write that."))
    return found


def _unknown_selection(config: dict, runs: dict[str, dict], places: Places) -> list[str]:
    known = {*runs, *(run["group"] for run in runs.values())}
    where = places.find([("select",)])
    return [
        f"{where}: no experiment or group '{name}'. {_known(name, known)}"
        for name in config["select"]
        if name not in known
    ]


def _known(name: str, options) -> str:
    """Return the cure for a name that is not among the options."""
    options = sorted(map(str, options))
    near = difflib.get_close_matches(name, options, n=1)
    if near:
        return f"Did you mean '{near[0]}'?"
    listed = ", ".join(options[:12]) + (", …" if len(options) > 12 else "")
    return f"Possible: {listed or 'none'}."
