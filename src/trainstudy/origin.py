"""Where the numbers of the page come from: banners above it, tables at its end."""

import json

import pandas as pd

from trainstudy import places, results
from trainstudy.records import SETTINGS

ORIGINS = {
    "embedded": "small data that ship inside software packages, made for trying the pipeline out; "
    "its numbers are not those of the published study",
    "mirrored": "a mirror that differs from the published originals; its numbers are not exactly "
    "comparable with published ones",
}
DATA = {"data_origin": "origin", "data_description": "description", "data_sha256": "SHA-256"}
NOT_PUBLISHED = "Not the published data"
HASH = 12  # digits shown


def banners(runs: pd.DataFrame) -> list[tuple[str, str]]:
    """Return what has to be known before any number is read, as (heading, sentence)."""
    return [(NOT_PUBLISHED, text) for text in other_data(runs)] + mixed(runs)


def mixed(runs: pd.DataFrame) -> list[tuple[str, str]]:
    """Return in what runs differ that should be alike but for their settings, as in banners."""
    found = []
    if len(names := sorted({*places.places(runs)})) > 1:
        text = (
            f"The runs were made on {len(names)} combinations of machine and threads: "
            f"{'; '.join(names)}. Seconds, throughput and curves over seconds compare only within "
            "one of them."
        )
        found.append(("Several machines or numbers of threads", text))
    if several := _code_of_several(runs):
        text = (
            f"{several}, told apart by a digest of the code or, where a run recorded none, by "
            "commit. Their seconds and memory may differ for that reason alone."
        )
        found.append(("Several versions of the code", text))
    # What follows a + is the build for a kind of machine.
    releases = (json.loads(text).get("torch", "unknown") for text in runs.versions)
    torches = sorted({release.partition("+")[0] for release in releases})
    if len(torches) > 1:
        text = (
            f"The runs were made with torch {' and '.join(torches)}, as a new release alone does "
            "not train finished runs again. Scores, seconds and memory may differ for that reason."
        )
        found.append(("Several releases of torch", text))
    return found


def _code_of_several(runs: pd.DataFrame) -> str:
    """Name the families whose runs on one data set were made by several versions of the code."""
    counts = places.code_versions(runs)
    several = counts[counts > 1].sort_index(level="family", key=results.by_family)
    return "; ".join(
        f"{results.FAMILIES[family]} on {dataset}: {count} versions"
        for (family, dataset), count in several.items()
    )


def other_data(runs: pd.DataFrame) -> list[str]:
    """Return a sentence for every data set that is not the published original."""
    rows = runs[["dataset", "data_origin", "data_description"]].drop_duplicates()
    texts = [
        f"{row.dataset}: {ORIGINS[row.data_origin]} ({row.data_description})."
        for row in rows.itertuples()
        if row.data_origin in ORIGINS
    ]
    own = runs[results.learned_instead(runs)]
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
    setups["machine"] = setups.machine.map(places.in_words)
    data = runs[["dataset", *DATA]].drop_duplicates().rename(columns=DATA)
    data["SHA-256"] = data["SHA-256"].str[:HASH]
    return {
        "Machine, releases, code": setups.fillna("–").rename(columns={"versions": "releases"}),
        "Data (first digits of the prepared file's SHA-256)": data,
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
    table = runs[["experiment", "seed", "status"]].copy()
    table["setup"] = setups
    table["data"] = runs.data_sha256.str[:HASH]
    table["mode"] = runs.deterministic.map({True: "deterministic", False: "default"})
    table["started (UTC)"] = pd.to_datetime(runs.started, utc=True).dt.strftime("%Y-%m-%d %H:%M")
    if runs.resumes.any():
        table["times resumed"] = runs.resumes
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
