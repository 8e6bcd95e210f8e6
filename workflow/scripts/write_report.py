"""Write the page that shows everything."""

import json
from pathlib import Path

import yaml

from trainstudy import config, logs, report, results

with logs.job(snakemake.log[0], "write_report"):
    shown = snakemake.params.experiments, snakemake.params.seeds
    claims = config.checked(*map(Path, snakemake.input.claims))["claims"]
    contents = yaml.safe_load(Path(snakemake.input.contents).read_text(encoding="utf-8"))
    page = report.render(
        Path(snakemake.input.page[0]).parent,
        snakemake.params.study,
        contents["items"],
        captions=Path("report"),
        figures=Path(snakemake.output[0]).with_name("figures"),
        results=results.read(snakemake.input, *shown, claims),
        missing=json.loads(snakemake.params.missing),
        declared=snakemake.params.declared,
    )
    Path(snakemake.output[0]).write_text(page, encoding="utf-8")
