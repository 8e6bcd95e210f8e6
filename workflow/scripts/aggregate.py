"""Gather the files of all runs into metrics.parquet and runs.parquet."""

from pathlib import Path

from trainstudy import logs, records

with logs.job(snakemake.log[0], "aggregate"):
    for files, schema, keys, target in (
        (snakemake.input.metrics, records.METRICS, records.METRICS_KEYS, snakemake.output.metrics),
        (snakemake.input.runs, records.RUNS, records.RUNS_KEYS, snakemake.output.runs),
    ):
        records.gather([Path(file) for file in files], schema, keys, Path(target))
