"""Gather the files of all runs into metrics.parquet and runs.parquet."""

from pathlib import Path

from trainstudy import logs, records

with logs.job(snakemake.log[0], "aggregate"):
    for name in ("metrics", "runs"):
        inputs = [Path(file) for file in snakemake.input[name]]
        records.gather(inputs, name, Path(snakemake.output[name]))
