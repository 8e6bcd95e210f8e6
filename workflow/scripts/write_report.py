"""Write the page that shows everything."""

from pathlib import Path

from trainstudy import logs, report, results

with logs.job(snakemake.log[0], "write_report"):
    template = Path(snakemake.input.template)
    page = report.render(
        template,
        snakemake.params.study,
        snakemake.params.contents,
        captions=template.parent,
        figures=Path(snakemake.input.figures[0]).parent,
        results=results.read(snakemake.input, **snakemake.params.reading),
        missing=snakemake.params.missing,
    )
    Path(snakemake.output[0]).write_text(page, encoding="utf-8")
