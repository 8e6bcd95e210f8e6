"""Write every table as CSV and as an HTML page."""

import json
from pathlib import Path

from trainstudy import logs, results, tables

with logs.job(snakemake.log[0], "make_tables"):
    found = results.read(snakemake.input, **json.loads(snakemake.params.reading))
    titles = snakemake.params.titles
    for csv, page in zip(snakemake.output.csv, snakemake.output.html, strict=True):
        name = Path(csv).stem
        table = tables.build(name, found)
        table.to_csv(csv, index=False)
        Path(page).write_text(tables.to_page(table, titles[name]), encoding="utf-8")
