"""Take GPT-1's token embeddings out of its published weights."""

from pathlib import Path

import numpy as np

from trainstudy import files, gpt1, logs

with logs.job(snakemake.log[0], "prepare_embedding"):
    table = gpt1.embeddings([Path(shard) for shard in snakemake.input.sources])
    with files.whole(Path(snakemake.output[0])) as part:
        np.save(part, table, allow_pickle=False)
