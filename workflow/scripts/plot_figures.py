"""Draw every figure as SVG and PNG, with its text and its numbers."""

from pathlib import Path

from trainstudy import figures, logs, results

with logs.job(snakemake.log[0], "plot_figures"):
    shown = snakemake.params.experiments, snakemake.params.seeds
    found = results.read(snakemake.input, *shown, claims={})  # none is drawn
    for file in map(Path, snakemake.output.svg):
        figures.save(figures.build(file.stem, found), file.parent, file.stem)
