"""Write the page that shows everything."""

from pathlib import Path

from trainstudy import logs, report, tables

with logs.job(snakemake.log[0], "write_report"):
    template = Path(snakemake.input.template)
    page = report.render(
        template,
        snakemake.params.study,
        snakemake.params.contents,
        captions=template.parent,
        figures=Path(snakemake.input.figures[0]).parent,
        frames=tables.read(
            snakemake.input.runs, snakemake.input.metrics, snakemake.input.published
        ),
    )
    Path(snakemake.output[0]).write_text(page, encoding="utf-8")
