"""Train one experiment with one seed."""

from pathlib import Path

from trainstudy import logs, run

name, seed = snakemake.wildcards.experiment, int(snakemake.wildcards.seed)
with logs.job(snakemake.log[0], f"{name}/{seed}"):
    run.train(
        name,
        snakemake.params.settings,
        seed,
        prepared=Path(snakemake.input.prepared),
        table=Path(snakemake.input.embedding[0]) if snakemake.input.embedding else None,
        threads=snakemake.threads,
        deterministic=snakemake.params.deterministic,
        code=[Path(file) for file in snakemake.input.code],
        checkpoints=Path(snakemake.params.checkpoints),
        # No parameter: another interval leaves finished runs as they are.
        checkpoint_seconds=snakemake.config["checkpoint_seconds"],
        **{f"{part}_file": Path(file) for part, file in snakemake.output.items()},
    )
