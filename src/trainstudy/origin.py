"""Where the numbers of the page come from: banners above it, tables at its end."""

import json

import pandas as pd

from trainstudy.records import SETTINGS

ORIGINS = {
    "embedded": "small data that ship inside software packages, made for trying the pipeline out; "
    "its numbers are not those of the published study",
    "mirrored": "a mirror that differs from the published originals; its numbers are not exactly "
    "comparable with published ones",
}


def banners(runs: pd.DataFrame) -> list[str]:
    """Return a sentence for every data set that is not the published original."""
    rows = runs[["dataset", "data_origin", "data_description"]].drop_duplicates()
    texts = [
        f"{row.dataset}: {ORIGINS[row.data_origin]} ({row.data_description})."
        for row in rows.itertuples()
        if row.data_origin in ORIGINS
    ]
    own = runs[(runs.dataset == "wikitext2") & (runs["model.embedding"] == "learned")]
    if len(own):
        texts.append(
            "wikitext2: trained with a learned embedding where the reports used GPT-1's, frozen: "
            + ", ".join(sorted(own.experiment.unique()))
            + "."
        )
    return texts


def tables(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the tables that say where the numbers come from, by their titles.

    Runs made by equal code on equal machines share a "setup", to which the table of runs refers.
    """
    made = ["commit", "device", "driver", "threads", "machine", "versions"]
    setups = runs.groupby(made, dropna=False).size().reset_index(name="runs")
    setups.insert(0, "setup", [*range(1, len(setups) + 1)])
    setup_of = runs.merge(setups, on=made, how="left").setup.to_list()
    for column in ("machine", "versions"):
        setups[column] = setups[column].map(
            lambda text: ", ".join(f"{key} {value}" for key, value in json.loads(text).items())
        )
    data = ["dataset", "data_origin", "data_description", "data_sha256"]
    return {
        "Machine, releases, code": setups.fillna("–"),
        "Data (SHA-256 of the prepared file)": runs[data].drop_duplicates(),
        "Settings that all runs of a family share": _shared(runs),
        "Every run": _every_run(runs, setup_of),
    }


def _shared(runs: pd.DataFrame) -> pd.DataFrame:
    rows = [
        {"family": family, "runs": len(own), "settings": _line(own.iloc[0], _common(own))}
        for family, own in runs.groupby("family", sort=False)
    ]
    return pd.DataFrame(rows)


def _every_run(runs: pd.DataFrame, setups: list[int]) -> pd.DataFrame:
    """Return a row for each run, with the settings in which it differs from its family."""
    resumes = ["resumes"] if runs.resumes.any() else []
    table = runs[["experiment", "seed", "status", "started", *resumes]].copy()
    table.insert(3, "setup", setups)
    table.insert(4, "data", runs.data_sha256.str[:12])
    table.insert(5, "mode", runs.deterministic.map({True: "deterministic", False: "default"}))
    names = {field.name for field in SETTINGS}
    own = {family: names - _common(rows) for family, rows in runs.groupby("family")}
    table["own settings"] = [_line(row, own[row.family]) for _, row in runs.iterrows()]
    return table


def _common(runs: pd.DataFrame) -> set[str]:
    """Return the settings that have one value in all these runs."""
    names = [field.name for field in SETTINGS]
    return {name for name in names if runs[name].map(_plain).nunique() == 1}


def _line(run: pd.Series, names: set[str]) -> str:
    shown = [field.name for field in SETTINGS if field.name in names and _given(run[field.name])]
    return ", ".join(f"{name} {_plain(run[name])}" for name in shown)


def _given(value: object) -> bool:
    return value is not None and not (isinstance(value, float) and value != value)


def _plain(value: object) -> str:
    if isinstance(value, float):
        return repr(float(value)).removesuffix(".0")
    return str(value.tolist()) if hasattr(value, "tolist") else str(value)
