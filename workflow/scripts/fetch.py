"""Bring one pinned file here, verified."""

from pathlib import Path

from trainstudy import fetch, logs

with logs.job(snakemake.log[0], "fetch"):
    fetch.fetch(
        snakemake.wildcards.path,
        fetch.Source(**snakemake.params.source),
        Path(snakemake.output[0]),
        snakemake.config["mirror"],
    )
