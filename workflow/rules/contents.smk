"""What the report shows, what it lacks, and what is said when all is done."""

import json
import os
import time

import yaml
from trainstudy import missing, timing

STARTED = time.time()

CONTENTS = yaml.safe_load(
    Path(workflow.basedir, "report/contents.yaml").read_text(encoding="utf-8")
)
DATASETS = sorted({run["dataset"] for run in RUNS.values()})
MODELS = sorted({f"models/{run['family']}" for run in RUNS.values()})
FAMILIES = {run["family"] for run in RUNS.values()}
ITEMS = {name: item for name, item in CONTENTS["items"].items() if FAMILIES & {*item["families"]}}
FIGURES = [name for name, item in ITEMS.items() if item["kind"] == "figure"]
TABLES = [name for name, item in ITEMS.items() if item["kind"] == "table"]
GIVEN = {  # on the command line
    "files": [os.path.relpath(file) for file in workflow.overwrite_configfiles or []],
    "typed": workflow.config_settings.config_args or [],
}
THERE = [*RUNS]
if config["measured"]:
    GIVEN = {"kept": Path(config["measured"])}
    # What is kept and not selected is not missing, nor is there all that is selected.
    overlay = Path(config["measured"], "config.yaml")
    if overlay.exists():
        kept = {*yaml.safe_load(overlay.read_text(encoding="utf-8")).get("select", RUNS)}
        THERE = [
            name
            for name in config["experiments"]
            if kept & {name, settings_of.setting(config, name, "group")}
        ]
MISSING = missing.of(config, THERE, **GIVEN)
REPEATING = missing.repeating(config["study"], **GIVEN)


def as_text(value):
    """Return a parameter as JSON: Snakemake's report holds it in a script, which </script> would end."""
    return json.dumps(value).replace("<", r"\u003c")


def in_report(name):
    """Return the arguments of Snakemake's report flag for a figure or a table."""
    shown = {key: ITEMS[name][key] for key in ("category", "labels")}
    return {"caption": f"../../report/{name}.rst", **shown}


def closing_words():
    """Return where the time of this call went, and where the report is, if there is one."""
    spent = timing.where_time_went(
        [Path(RESULTS, "benchmarks"), Path("data/benchmarks")],
        runs=[*Path(RESULTS).glob("runs/*/*/run.parquet")],
        since=STARTED,
    )
    page = Path(RESULTS, "report.html")
    written = page.exists() and page.stat().st_mtime >= STARTED
    return f"{spent}\nThe report: {page}".strip() if written else spent
