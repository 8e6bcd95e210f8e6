"""Write the page that shows everything."""

import json
from pathlib import Path

import yaml

from trainstudy import config, logs, report, results

with logs.job(snakemake.log[0], "write_report"):
    claims = config.checked(*map(Path, snakemake.input.claims))["claims"]
    shown = snakemake.params.experiments, snakemake.params.seeds, claims
    page = report.render(
        Path(snakemake.input.page[0]).parent, snakemake.params.study,
        yaml.safe_load(Path(snakemake.input.contents).read_text(encoding="utf-8"))["items"],
        captions=Path("report"), figures=Path(snakemake.output[0]).with_name("figures"),
        results=results.read(snakemake.input, *shown),
        missing=json.loads(snakemake.params.missing),
        repeating=json.loads(snakemake.params.repeating), declared=snakemake.params.declared,
    )  # fmt: skip
    Path(snakemake.output[0]).write_text(page, encoding="utf-8")
