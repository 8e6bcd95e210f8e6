"""Draw every figure as SVG and PNG, with its text and its numbers."""

import json
from pathlib import Path

from trainstudy import figures, logs, results

with logs.job(snakemake.log[0], "plot_figures"):
    found = results.read(snakemake.input, **json.loads(snakemake.params.reading))
    for file in map(Path, snakemake.output.svg):
        figures.save(figures.build(file.stem, found), file.parent, file.stem)
