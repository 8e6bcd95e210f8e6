"""Which experiments a result set lacks, and the commands that add them or repeat a run."""

import re
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

    `config` as Snakemake merged it and resolve accepted it, `runs` the experiments that are there,
    `files` and `typed` what --configfile and --config were given. Each part names its "family"
    (None for all), its "experiments", and the "command" that adds them to those that are there.
    Results in the folder `kept` are reported on without training: there only what is missing is
    trained, and `make keep` adds it, if it made the folder. Otherwise there is no command: they
    are another study's.
    """
    families: dict[str, list[str]] = {}
    for name in sorted({*config["experiments"]} - {*runs}):
        families.setdefault(str(settings_of.setting(config, name, "family")), []).append(name)
    if kept:  # one run of each is enough to begin with
        typed = [f"seeds=[{min(config['seeds'])}]"]
    parts: list[tuple[str | None, list[str]]] = [*families.items()]
    if len(parts) > 1:
        parts.append((None, sorted(name for names in families.values() for name in names)))
    return [
        {"family": family, "experiments": names, "command": _command(select, files, typed, kept)}
        for family, names in parts
        for select in [_selection(config, () if kept else runs, names)]
    ]


def repeating(
    study: str, files: Sequence[str] = (), typed: Sequence[str] = (), kept: Path | None = None
) -> str | None:
    """Return the command that makes one run again, with EXPERIMENT and SEED for it to be filled in.

    `study` as the configuration names it, the others as in `of`; no command where `of` has none.
    """
    call = _call(1, ["EXPERIMENT"], files, typed, kept)
    target = f"results/{kept.name if kept else study}/runs/EXPERIMENT/SEED/run.parquet"
    return f"{call} -- {target}" if call else None


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
    call = _call(4, select, files, typed, kept)
    return f"{call} && make keep KEPT={kept.name}" if call and kept else call


def _call(
    cores: int, select: Sequence[str], files: Sequence[str], typed: Sequence[str], kept: Path | None
) -> str | None:
    """Return a call of Snakemake with the settings of this one, but for passwords in addresses."""
    if kept and kept.parent != KEPT:
        return None
    typed = [f"study={kept.name}", *typed] if kept else typed
    words = ["snakemake", "--cores", str(cores)]
    words += ["--configfile", *files] if files else []
    others = [re.sub("//[^/]*@", "//", word) for word in typed if not word.startswith("select=")]
    return shlex.join([*words, "--config", *others, f"select=[{','.join(select)}]"])
