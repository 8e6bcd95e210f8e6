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
        table=Path(snakemake.input.embedding) if snakemake.input.embedding else None,
        threads=snakemake.threads,
        metrics_file=Path(snakemake.output.metrics),
        run_file=Path(snakemake.output.run),
        weights_file=Path(snakemake.output.weights),
    )
