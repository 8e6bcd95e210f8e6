"""Which experiments of the configuration a result set does not hold, and how to add them."""

import shlex
from collections.abc import Collection, Sequence
from pathlib import Path

from trainstudy import config as settings_of

KEPT = Path("reference")  # the folder of what `make keep` keeps


def of(
    config: dict,
    runs: Collection[str],
    files: Sequence[str] = (),
    typed: Sequence[str] = (),
    kept: Path | None = None,
) -> list[dict]:
    """Return what is missing, family by family, and last all of it where that is more.

    `config` as Snakemake merged it and resolve accepted it, `runs` the experiments that are run,
    `files` and `typed` what --configfile and --config were given. Each part names its "family"
    (None for all), its "experiments", and the "command" that adds them to those that are there.
    Results in the folder `kept` are reported on without training: there only what is missing is
    trained, and `make keep` adds it, if it made the folder. Otherwise there is no command: they
    are another study's.
    """
    families: dict[str, list[str]] = {}
    for name in sorted({*config["experiments"]} - {*runs}):
        families.setdefault(str(settings_of.setting(config, name, "family")), []).append(name)
    parts: list[tuple[str | None, list[str]]] = [*families.items()]
    if len(parts) > 1:
        parts.append((None, sorted(name for names in families.values() for name in names)))
    return [
        {"family": family, "experiments": names, "command": _command(select, files, typed, kept)}
        for family, names in parts
        for select in [_selection(config, () if kept else runs, names)]
    ]


def _selection(config: dict, runs: Collection[str], added: Collection[str]) -> list[str]:
    """Return what selects `runs` and `added`: whole groups where possible, else single names."""
    wanted = {*runs, *added}
    group_of = {n: str(settings_of.setting(config, n, "group")) for n in config["experiments"]}
    parted = {group for name, group in group_of.items() if name not in wanted}
    chosen = [n if group_of[n] in parted else group_of[n] for n in group_of if n in wanted]
    return list(dict.fromkeys(chosen))


def _command(
    select: Sequence[str], files: Sequence[str], typed: Sequence[str], kept: Path | None
) -> str | None:
    if kept and kept.parent != KEPT:
        return None
    typed = [f"study={kept.name}"] if kept else typed
    words = ["snakemake", "--cores", "4"]
    words += ["--configfile", *files] if files else []
    others = [word for word in typed if not word.startswith("select=")]
    command = shlex.join([*words, "--config", *others, f"select=[{','.join(select)}]"])
    return f"{command} && make keep KEPT={kept.name}" if kept else command
