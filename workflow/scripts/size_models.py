"""Predict the memory of every experiment and count the parameters of attention."""

from pathlib import Path

from trainstudy import arrays, logs, records, sizes

with logs.job(snakemake.log[0], "size_models"):
    manifests = {Path(f).stem: arrays.read_manifest(Path(f)) for f in snakemake.input.manifests}
    for rows, schema, file in (
        (sizes.predict(snakemake.params.settings, manifests), records.PREDICTED, "predicted"),
        (sizes.attention(), records.ATTENTION, "attention"),
    ):
        records.write(list(rows), schema, Path(snakemake.output[file]))
