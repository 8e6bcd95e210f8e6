"""Write the page that shows everything."""

import json
from pathlib import Path

from trainstudy import logs, report, results

with logs.job(snakemake.log[0], "write_report"):
    page = report.render(
        Path(snakemake.input.page[0]).parent,
        snakemake.params.study,
        snakemake.params.contents,
        captions=Path("report"),
        figures=Path(snakemake.output[0]).with_name("figures"),
        results=results.read(snakemake.input, **json.loads(snakemake.params.reading)),
        missing=json.loads(snakemake.params.missing),
        planned=snakemake.params.planned,
    )
    Path(snakemake.output[0]).write_text(page, encoding="utf-8")
