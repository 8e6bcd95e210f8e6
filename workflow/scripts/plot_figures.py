"""Draw every figure as SVG and PNG, with its text and its numbers."""

from pathlib import Path

from trainstudy import figures, files, logs, results

with logs.job(snakemake.log[0], "plot_figures"):
    shown = snakemake.params.experiments, snakemake.params.seeds
    found = results.read(snakemake.input, *shown, claims={})  # none is drawn
    drawn = [*map(Path, snakemake.output.svg)]
    files.remove(drawn[0].parent, snakemake.params.absent)
    for file in drawn:
        figures.save(figures.build(file.stem, found), file.parent, file.stem)
