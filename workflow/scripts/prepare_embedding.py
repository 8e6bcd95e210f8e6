"""Take GPT-1's token embeddings out of its published weights."""

from pathlib import Path

from trainstudy import logs, prepare

with logs.job(snakemake.log[0], "prepare_embedding"):
    prepare.embedding(
        Path("data/downloads"), Path(snakemake.output.arrays), Path(snakemake.output.manifest)
    )
