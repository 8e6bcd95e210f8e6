"""Where runs were made and by which code: what their times and memory depend on."""

import json
import re

import pandas as pd

from trainstudy.quantities import counted


def machines(runs: pd.DataFrame) -> pd.Series:
    """Return on what every run was computed: the GPU, or else processor and its cores.

    A run that went on elsewhere names its earlier places, too.
    """
    return pd.Series([*map(_machine, runs.device, runs.machine)], index=runs.index, dtype=object)


def places(runs: pd.DataFrame) -> pd.Series:
    """Return machine and, without a GPU, threads of every run: times compare only where equal."""
    threads = [counted(count, "thread") for count in runs.threads]
    pairs = zip(machines(runs), runs.device, threads, strict=True)
    named = [name if device != "CPU" else f"{name}, {count}" for name, device, count in pairs]
    return pd.Series(named, index=runs.index, dtype=object)


def usual_places(runs: pd.DataFrame, main: str | None = None) -> pd.Series:
    """Return where most runs of each experiment were made; it is `main` if any were made there.

    Of equals it is where most experiments of all were, then the first by name.
    """
    made = places(runs)
    common = runs.groupby(made).experiment.nunique()
    counts = runs.groupby([runs.experiment, made]).size().rename_axis(["experiment", "place"])
    ranked = counts.reset_index(name="runs")
    ranked["main"], ranked["experiments"] = ranked.place == main, ranked.place.map(common)
    order = ["main", "runs", "experiments", "place"]
    ranked = ranked.sort_values(order, ascending=[False, False, False, True])
    return ranked.drop_duplicates("experiment").set_index("experiment").place


def code_versions(runs: pd.DataFrame) -> pd.Series:
    """Return by how many versions of the code runs were made, by family and data set.

    Versions differ in the digest of the code or, where a run recorded none, in the commit.
    """
    return runs.code.fillna(runs.commit).groupby([runs.family, runs.dataset]).nunique()


def of_several_codes(runs: pd.DataFrame) -> bool:
    """Say whether runs that should be of one code, as family and data set are, are of several."""
    return bool((code_versions(runs) > 1).any())


def in_words(machine: str) -> str:
    """Return what an early release wrote of a machine, with one thread in the singular."""
    return re.sub(r"\b1 threads\b", "1 thread", machine)


def _machine(device: str, machine: str) -> str:
    facts = json.loads(machine)
    own = f"{facts['processor']}, {counted(int(facts['cores']), 'core')}"
    name = own if device == "CPU" else device
    began = in_words(facts.get("earlier parts", "")).replace("; ", " and ")
    return f"{name} (began on {began})" if began else name
