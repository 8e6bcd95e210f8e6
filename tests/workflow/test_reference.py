"""Reports on results that were kept: real Snakemake, no training."""

import importlib
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT, Study

from trainstudy import keep

REPORTING = {"make_tables": 1, "plot_figures": 1, "write_report": 1}
KEPT = sorted(file.parent for file in (ROOT / "reference").glob("*/config.yaml"))


def test_kept_results_are_reported_on_without_training(
    finished: Study, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(finished.folder)
    before = finished.result("tables/vit-results.csv").read_bytes()
    for name in ("metrics", "runs"):
        file = f"results/tiny/{name}.parquet"
        rows = pd.read_parquet(file)
        rows[rows.experiment != "lstm-a"].to_parquet(file, index=False)
    keep.keep(Path("results/tiny"), Path("reference/tiny"))
    shutil.rmtree("results")
    shutil.rmtree("data")
    assert finished.run("--configfile", "reference/tiny/config.yaml") == REPORTING
    made = Path("results/reference-tiny")
    assert (made / "tables/vit-results.csv").read_bytes() == before
    page = (made / "report.html").read_text()
    assert "<strong>4 of 5 declared experiments</strong>" in page
    assert _adding(page) == ["lstm-a"]
    # What is kept and not selected is not missing.
    part = ["study=part", "measured=reference/tiny", "select=[lstm-a,vit-a]"]
    assert finished.run("--config", *part) == REPORTING
    page = finished.folder.joinpath("results/part/report.html").read_text()
    assert "<strong>1 of 5 declared experiments</strong>" in page
    assert _adding(page) == ["lstm-a"]


def _adding(page: str) -> list[str]:
    """Return what the commands on a page would train, and keep."""
    missing = page.partition('id="missing"')[2].partition("</section>")[0]
    command = (
        r"snakemake --cores 4 --config study=tiny &#39;seeds=\[42\]&#39; "
        r"&#39;select=\[(.*?)\]&#39; &amp;&amp; make keep KEPT=tiny"
    )
    return re.findall(command, missing)


def test_a_folder_without_results_is_named(fresh: Study):
    output = fresh.snakemake("--dry-run", "--config", "measured=nowhere", check=False)
    assert "measured: there is no nowhere/metrics.parquet" in output
    assert "Traceback" not in output


@pytest.mark.parametrize("kept", KEPT, ids=lambda kept: kept.name)
def test_the_reference_is_what_its_parquet_files_make(kept: Path, fresh: Study):
    shutil.copy(ROOT / "config.yaml", fresh.folder)
    shutil.copytree(kept, fresh.folder / "reference" / kept.name)
    fresh.config["study"] = f"reference-{kept.name}"
    overlay = f"reference/{kept.name}/config.yaml"
    assert fresh.run("--configfile", overlay) == REPORTING
    made = fresh.result("tables")
    assert {file.name: file.read_text() for file in made.glob("*.csv")} == {
        file.name: file.read_text() for file in (kept / "tables").glob("*.csv")
    }
    made, stored = (
        re.sub(r"base64,[\w+/=]+", "", page.read_text())  # pictures hang on fonts
        for page in (fresh.result("report.html"), kept / "report.html")
    )
    assert made == stored, "make reference"


def test_the_readme_shows_what_is_kept(monkeypatch: pytest.MonkeyPatch):
    kept = ROOT / "reference/full"
    monkeypatch.syspath_prepend(str(ROOT / "reference"))
    readme = importlib.import_module("readme")
    text = readme.README.read_text(encoding="utf-8")
    assert readme.filled(text, readme.made(readme.read(kept))) == text
    assert "| `vit-2-adamw` |" in text
