"""Bring one data set into its prepared form."""

from pathlib import Path

from trainstudy import logs, prepare

with logs.job(snakemake.log[0], f"prepare {snakemake.wildcards.dataset}"):
    prepare.dataset(
        snakemake.wildcards.dataset,
        Path("data/downloads"),
        Path(snakemake.output.arrays),
        Path(snakemake.output.manifest),
    )
