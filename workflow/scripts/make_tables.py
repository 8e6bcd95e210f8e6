"""Write every table as CSV and as an HTML page."""

from pathlib import Path

from trainstudy import config, files, logs, origin, results, tables

with logs.job(snakemake.log[0], "make_tables"):
    shown = snakemake.params.experiments, snakemake.params.seeds
    claims = config.checked(*map(Path, snakemake.input.claims))["claims"]
    found = results.read(snakemake.input, *shown, claims)
    titles, families = snakemake.params.titles, snakemake.params.families
    files.remove(Path(snakemake.output.csv[0]).parent, snakemake.params.absent)
    for csv, page in zip(snakemake.output.csv, snakemake.output.html, strict=True):
        name = Path(csv).stem
        table = tables.build(name, found)
        table.to_csv(csv, index=False)
        notes = origin.banners(found.runs[found.runs.family.isin(families[name])])
        Path(page).write_text(tables.to_page(table, titles[name], notes), encoding="utf-8")
