"""Take GPT-1's token embeddings out of its published weights."""

from pathlib import Path

from trainstudy import arrays, gpt1, logs

with logs.job(snakemake.log[0], "prepare_embedding"):
    table = gpt1.embeddings([Path(shard) for shard in snakemake.input.sources])
    arrays.save(
        {"embedding": table}, {}, Path(snakemake.output.arrays), Path(snakemake.output.manifest)
    )
