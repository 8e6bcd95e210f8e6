"""report.html: one page with every table and figure, and where the numbers come from."""

import base64
import json
from pathlib import Path

import pandas as pd
from docutils.core import publish_parts
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from trainstudy import tables
from trainstudy.records import SETTINGS
from trainstudy.results import Results

ORIGINS = {
    "embedded": "small data that ship inside software packages, made for trying the pipeline out; "
    "its numbers are not those of the published study",
    "mirrored": "a mirror that differs from the published originals; its numbers are not exactly "
    "comparable with published ones",
}


def render(
    template: Path,
    study: str,
    contents: dict,
    captions: Path,
    figures: Path,
    results: Results,
    missing: dict,
) -> str:
    """Return the page.

    `contents` are the items shown, `captions` the folder of their .rst texts, `figures` that of the
    SVG files and of the texts beside them, `missing` the configured "experiments" that this study
    does not hold and the "command" that adds them.
    """
    runs = results.runs
    items = [
        {
            "name": name,
            "title": item["title"],
            "category": item["category"],
            "caption": _caption(captions / f"{name}.rst"),
            "body": _figure(figures / f"{name}.svg", (figures / f"{name}.txt").read_text().strip())
            if item["kind"] == "figure"
            else Markup(tables.to_html(tables.build(name, results))),
        }
        for name, item in contents.items()
    ]
    loader = FileSystemLoader(template.parent)
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    return environment.get_template(template.name).render(
        study=study,
        sections={
            category: [item for item in items if item["category"] == category]
            for category in dict.fromkeys(item["category"] for item in items)
        },
        banners=banners(runs),
        runs=len(runs),
        missing=missing,
        diverged=sorted(runs[runs.status == "diverged"].experiment.unique()),
        provenance=[(title, Markup(tables.to_html(t))) for title, t in provenance(runs).items()],
    )


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


def provenance(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the tables that say where the numbers come from."""
    made = ["commit", "device", "driver", "threads", "machine", "versions"]
    rows = runs.groupby(made, dropna=False).size().reset_index(name="runs")
    for column in ("machine", "versions"):
        rows[column] = rows[column].map(
            lambda text: ", ".join(f"{key} {value}" for key, value in json.loads(text).items())
        )
    data = ["dataset", "data_origin", "data_description", "data_sha256"]
    settings = runs[["experiment", "seed", "status", "started"]].copy()
    names = [field.name for field in SETTINGS]
    settings["settings"] = [
        ", ".join(f"{name} {_plain(row[name])}" for name in names if _given(row[name]))
        for row in runs.to_dict("records")
    ]
    return {
        "Machine, releases, code": rows.fillna("–"),
        "Data (SHA-256 of the prepared file)": runs[data].drop_duplicates(),
        "Settings of every run": settings,
    }


def _given(value: object) -> bool:
    return value is not None and not (isinstance(value, float) and value != value)


def _plain(value: object) -> str:
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    return str(value.tolist()) if hasattr(value, "tolist") else str(value)


def _caption(file: Path) -> Markup:
    settings = {"file_insertion_enabled": False, "raw_enabled": False}
    parts = publish_parts(file.read_text(), writer="html5", settings_overrides=settings)
    return Markup(parts["fragment"])


def _figure(file: Path, text: str) -> Markup:
    data = base64.b64encode(file.read_bytes()).decode()
    return Markup('<img src="data:image/svg+xml;base64,{}" alt="{}">').format(data, text)
