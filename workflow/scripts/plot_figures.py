"""Draw every figure as SVG and PNG."""

from pathlib import Path

import pandas as pd

from trainstudy import figures, logs

with logs.job(snakemake.log[0], "plot_figures"):
    metrics = pd.read_parquet(snakemake.input.metrics)
    for pair in zip(snakemake.output.svg, snakemake.output.png, strict=True):
        files = [Path(file) for file in pair]
        figure = figures.build(files[0].stem, metrics, snakemake.params.groups)
        figures.save(figure, files)
