"""From the YAML a user edits to the plain settings of every run.

The Snakefile imports this module on machines that have Snakemake alone, so it uses nothing else:
no torch, no numpy.
"""

import itertools
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import jsonschema

from trainstudy import data, grids, misfits, yamlschema
from trainstudy.yamlfiles import ConfigError, Places, read
from trainstudy.yamlschema import Find

RESULT_FILES = ("metrics", "runs", "predicted", "attention")  # Parquet: what reports are made from


def resolve(config: dict, files: list[Path], schemas: Path) -> dict[str, dict]:
    """Return the merged settings of every selected experiment, by name.

    `config` is the configuration as Snakemake merged it, grids and all, `files` the YAML files it
    came from (used to say where a mistake stands), `schemas` the folder of config.yaml and
    experiment.yaml.
    Raises ConfigError with every problem found.
    """
    places = Places(files, config)
    shape = yamlschema.read(schemas / "config.yaml")
    problems = data.problems() + places.duplicates
    problems += yamlschema.violations(config, shape, lambda p: places.find([p]))
    problems = problems or _impossible_grids(config["experiments"], places)
    if problems:
        raise ConfigError(*dict.fromkeys(problems))
    owners = grids.owners(config["experiments"])
    study = config | {"experiments": grids.expanded(config["experiments"])}
    runs = {name: _merge(study, name, owners[name], places, problems) for name in owners}
    schema = yamlschema.read(schemas / "experiment.yaml")
    for name in runs if not problems else ():
        lineage = [("experiments", owners[name]), *_lineage(study, name)[1:]]
        find = _finder(lineage, config["experiments"][owners[name]].get("grid", {}), places)
        violated = yamlschema.violations(runs[name], schema, find)
        if violated:
            problems += (
                _of_two_families(study, name, schema.iter_errors(runs[name]), find) or violated
            )
        else:
            problems += [f"{find(path)}: {message}" for path, message in misfits.of(runs[name])]
    if not problems:
        names = yamlschema.Validator(shape.schema["$defs"]["name"])
        problems += _misnamed(owners, names, places) + _unknown_selection(config, runs, places)
        problems += _named_as_groups(owners, runs, places) + _lost_bases(study, places)
        problems += _idle(study, owners, runs, places) + _no_results(config, places)
        problems += _odd_mirror(config["mirror"] or "", places)
    if problems:
        raise ConfigError(*dict.fromkeys(problems))
    chosen = set(config["select"])
    return {n: run for n, run in sorted(runs.items()) if chosen & {n, owners[n], run["group"]}}


def checked(file: Path, schema: Path) -> dict:
    """Return what a YAML file holds. Raises ConfigError where it does not obey its schema."""
    loaded, _, _ = read(file)
    places = Places([file], loaded)
    found = yamlschema.violations(loaded, yamlschema.read(schema), lambda path: places.find([path]))
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
    """Return what decides the outcome of a run: everything but the group it is listed under.

    0.0 and 0 are one setting, written as the latter, lest another spelling train a run again.
    """
    return {key: _spelt(value) for key, value in run.items() if key != "group"}


def _spelt(value: object) -> object:
    if isinstance(value, dict):
        return {key: _spelt(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_spelt(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


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


def _finder(lineage: list[tuple[str, str]], grid: dict, places: Places) -> Find:
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
            known = yamlschema.known(one, config[section])
            if one in config["experiments"]:
                known = (
                    f"That is an experiment; its base is '{config['experiments'][one]['base']}'."
                )
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
        for line in yamlschema.violations(name, names, {(): where[owner]}.__getitem__)
    ]


def _of_two_families(
    study: dict, name: str, errors: Iterable[jsonschema.ValidationError], find: Find
) -> list[str]:
    """Say that an experiment names another family than its base, if its model does not fit it."""
    if not any(list(error.absolute_path)[:1] == ["model"] for error in errors):
        return []
    lineage = [(owner, study[section][owner]) for section, owner in _lineage(study, name)]
    named = [(owner, own["family"]) for owner, own in lineage if "family" in own]
    return [
        f"{find(('family',))}: the settings of base '{base}' are of family {theirs} and do not fit "
        f"{family}. Choose another base."
        for (_, family), (base, theirs) in itertools.pairwise(named)
        if family != theirs
    ]


def _lost_bases(study: dict, places: Places) -> list[str]:
    """Return the bases that look like others of a wrong name: nothing would have their settings."""
    used = {base for name in study["experiments"] for _, base in _lineage(study, name)[1:]}
    used |= {own["base"] for own in study["bases"].values() if "base" in own}
    return [
        f"{places.find([('bases', base)])}: no experiment has this base. Did you mean '{near}'? "
        "Rename or remove it."
        for base, own in study["bases"].items()
        if base not in used and not {"base", "family"} & {*own}
        if (near := yamlschema.nearest(base, used))
    ]


def _idle(study: dict, owners: dict[str, str], runs: dict, places: Places) -> list[str]:
    """Return what experiments themselves set to no effect; in a grid, in none of its members."""
    found: dict[tuple, list[str]] = {}
    for name, run in runs.items():
        own, *above = [study[section][owner] for section, owner in _lineage(study, name)]
        for path, message in misfits.idle(own, run):
            # What is above, too, is only said again, but not beside a new name: {name: sgd,
            # momentum: 0.9} means the other optimizer.
            kind = (path[0], "name")
            if not (_as_above(own, above, path) and _as_above(own, above, kind)):
                found.setdefault((owners[name], path), []).append(message)
    members = Counter(owners.values())
    problems = []
    for (owner, path), messages in found.items():
        if len(messages) == members[owner]:
            varied = ("experiments", owner, "grid", ".".join(path))
            where = places.find([varied, ("experiments", owner, *path)])
            problems.append(f"{where}: {messages[0]}")
    return problems


def _as_above(own: dict, above: list[dict], path: tuple) -> bool:
    """Say whether what stands at a path of keys is nothing new: what the nearest base says."""
    said = [value for owner in (own, *above) if (value := _at(owner, path)) is not None]
    return _at(own, path) is None or said[0] in said[1:2]


def _at(settings: object, path: tuple) -> object:
    """Return what stands at a path of keys, or None."""
    for key in path:
        settings = settings.get(key) if isinstance(settings, dict) else None
    return settings


def _named_as_groups(owners: dict[str, str], runs: dict, places: Places) -> list[str]:
    """Return the experiments with the name of a group of others: `select` could mean either."""
    groups: dict[str, set[str]] = {}
    for name, run in runs.items():
        groups.setdefault(run["group"], set()).add(name)
    meant = {name: {name} for name in owners}
    for name, owner in owners.items():  # `select` takes a grid by it
        meant.setdefault(owner, set()).add(name)
    return [
        f"{places.find([('experiments', owners.get(name, name))])}: '{name}' is the name of a "
        "group, too, and `select` could mean either. Rename one."
        for name in meant
        if name in groups and groups[name] != meant[name]
    ]


def _unknown_selection(config: dict, runs: dict[str, dict], places: Places) -> list[str]:
    groups = {run["group"] for run in runs.values()}
    known = {*runs, *config["experiments"], *groups}
    where = places.find([("select",)])
    return [
        f"{where}: no experiment or group '{name}'. {yamlschema.known(name, known, first=groups)}"
        for name in config["select"]
        if name not in known
    ]


def _odd_mirror(mirror: str, places: Places) -> list[str]:
    """Say where no download could come from; whether a folder is there only a download asks."""
    scheme, separator, _ = mirror.partition("://")
    where = places.find([("mirror",)])
    if separator and scheme not in ("file", "http", "https"):
        return [f"{where}: nothing is fetched by {scheme}. Name a folder, file:// or https://."]
    if mirror.startswith("~"):
        return [f"{where}: '~' stands for no folder here. Write the whole path."]
    return []


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
