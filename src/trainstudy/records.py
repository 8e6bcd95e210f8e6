"""The Parquet schemas of what every number is taken from: metrics, runs, memory, attention."""

from collections.abc import Collection, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trainstudy import files

_text, _whole, _real, _reals = pa.string(), pa.int64(), pa.float64(), pa.list_(pa.float64())


def _required(**columns: pa.DataType) -> list[pa.Field]:
    return [pa.field(name, kind, nullable=False) for name, kind in columns.items()]


def _optional(**columns: pa.DataType) -> list[pa.Field]:
    return [pa.field(name, kind) for name, kind in columns.items()]


METRICS = pa.schema(
    _required(
        experiment=_text,
        family=_text,
        dataset=_text,
        seed=_whole,
        epoch=_whole,
        split=_text,
        metric=_text,
        value=_real,
        seconds=_real,
    )
)

# Settings keep the path they have in the configuration: model.depth, optimizer.lr.
SETTINGS = _optional(
    **{
        "model.layers": _whole, "model.hidden": _whole, "model.embedding": _text,
        "model.embedding_size": _whole, "model.depth": _whole, "model.dim": _whole,
        "model.heads": _whole, "model.mlp": _whole, "model.patch": _whole, "model.norm": _text,
        "model.name": _text, "model.dropout": _real, "model.drop_path": _real,
        "sequence_length": _whole,
        "augmentation.flip": _real, "augmentation.crop_scale": _reals,
        "augmentation.crop_ratio": _reals, "augmentation.mixup": _real,
        "augmentation.cutmix": _real, "epochs": _whole, "early_stopping": _whole,
        "batch_size": _whole, "optimizer.name": _text, "optimizer.lr": _real,
        "optimizer.weight_decay": _real, "optimizer.momentum": _real, "schedule.name": _text,
        "schedule.warmup_epochs": _real, "schedule.milestones": _reals, "schedule.gamma": _real,
        "gradient_clipping": _real, "label_smoothing": _real, "precision": _text,
        "compile": pa.bool_(), "carry_state": pa.bool_(),
    }
)  # fmt: skip

# Empty too where a run was recorded before there was such a setting, which then was off.
SWITCHES = [field.name for field in SETTINGS if pa.types.is_boolean(field.type)]

# For text the score is perplexity, for images accuracy; the other columns stay empty.
SCORES = [
    f"{split}_{metric}_{epoch}"
    for split in ("train", "validation", "test")
    for metric in ("loss", "accuracy", "perplexity")
    for epoch in ("last", "best")
]

RUNS = pa.schema(
    _required(experiment=_text, family=_text, dataset=_text, seed=_whole, status=_text)
    + _optional(diverged_step=_whole, best_epoch=_whole, epochs_trained=_whole)
    + SETTINGS
    + _required(parameters_trained=_whole, parameters_total=_whole)
    + _optional(**dict.fromkeys(SCORES, _real))
    + _required(seconds_total=_real)
    + _optional(
        seconds_compiling=_real,  # of steps, before the first; empty without `compile`
        seconds_waiting=_real,  # of all threads together, for a core; see cores.py
        seconds_training=_real,  # of the median epoch
        seconds_evaluating=_real,  # of the median epoch
        throughput=_real,  # units per second of training, of the median epoch
        throughput_unit=_text,
        memory_resident=_whole,  # bytes, as all of memory; see memory.py
        memory_allocated=_whole,
        memory_reserved=_whole,
        memory_process=_whole,
        memory_device=_whole,
        energy=_real,  # joules of the whole GPU from the first step on; empty where it was shared
    )
    + _required(
        resumes=_whole, started=_text, threads=_whole, deterministic=pa.bool_(), device=_text
    )
    + _optional(
        gpu_shared=pa.bool_(),
        driver=_text,
        commit=_text,
        code=_text,  # of the modules that decide the result, first digits of a SHA-256
    )
    + _required(
        machine=_text, versions=_text, data_origin=_text, data_description=_text, data_sha256=_text
    )
)

# Bytes of GPU memory, and parameters of multi-head attention; see sizes.py.
PREDICTED = pa.schema(
    _required(
        experiment=_text,
        parameters=_whole,
        gradients=_whole,
        optimizer=_whole,
        constants=_whole,
        activations=_whole,
        total=_whole,
    )
)
ATTENTION = pa.schema(
    _required(heads=_whole, head_size=_whole, width=_whole, formula=_whole, module=_whole)
)

# Of config.RESULT_FILES.
SCHEMAS = {"metrics": METRICS, "runs": RUNS, "predicted": PREDICTED, "attention": ATTENTION}
KEYS = {  # no two rows share all of them, and they are sorted by these
    "metrics": ["experiment", "seed", "epoch", "split", "metric"],
    "runs": ["experiment", "seed"],
    "predicted": ["experiment"],
    "attention": ["heads", "head_size"],
}


def flatten(settings: dict, prefix: str = "") -> dict[str, object]:
    """Return nested settings as one level, {"optimizer": {"lr": 1}} → {"optimizer.lr": 1}."""
    flat: dict[str, object] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def check(columns: Collection[str]) -> None:
    """Raise ValueError for settings that the table of runs has no column for."""
    if unknown := sorted({*columns} - {field.name for field in SETTINGS}):
        raise ValueError(
            f"no column for the settings {', '.join(unknown)}: add each to SETTINGS in records.py, "
            "with its type"
        )


def write(rows: list[dict], schema: pa.Schema, file: Path) -> None:
    """Write rows as Parquet.

    Raises ValueError for a column that the schema does not have, DataError for a required one that
    is empty.
    """
    unknown = {name for row in rows for name in row} - set(schema.names)
    if unknown:
        raise ValueError(f"{file.name}: no column for {', '.join(sorted(unknown))}")
    table = pa.Table.from_pylist(rows, schema=schema)
    table.validate(full=True)
    _check_required(table, schema, file)
    store(table, file)


def store(table: pa.Table, file: Path) -> None:
    """Write a table as Parquet, whose every page has a checksum."""
    with files.whole(file) as part:
        pq.write_table(table, part, write_page_checksum=True)


def gather(inputs: Sequence[Path], name: str, target: Path) -> None:
    """Put the files of all runs, of one of the SCHEMAS, into one, sorted by its KEYS.

    Raises DataError for a file that is broken or has another schema, or a row that stands twice.
    """
    schema, keys, tables = SCHEMAS[name], KEYS[name], []
    for file in inputs:
        table = _table(file)
        if not table.schema.equals(schema):
            raise files.DataError(
                f"{file} has other columns than this release writes; delete it and run again"
            )
        _check_required(table, schema, file)
        tables.append(table)
    merged = pa.concat_tables(tables).sort_by([(key, "ascending") for key in keys])
    counted = merged.group_by(keys).aggregate([([], "count_all")])
    twice = counted.filter(pc.greater(counted["count_all"], 1)).select(keys).slice(0, 1)
    for row in twice.to_pylist():
        said = ", ".join(f"{key} {value}" for key, value in row.items())
        raise files.DataError(
            f"{target.name}: two rows have {said}. Was the folder of a run copied? Delete the "
            "copy, and run again."
        )
    store(merged, target)


def read(file: Path, name: str) -> pa.Table:
    """Read a file of one of the SCHEMAS; columns that a later release added are empty.

    Raises DataError for a file that is broken, of a release with other columns, or has an empty
    cell where there may be none.
    """
    schema, table = SCHEMAS[name], _table(file)
    unknown = {*table.schema.names} - {*schema.names}
    lacking = {field.name for field in schema if not field.nullable} - {*table.schema.names}
    if unknown or lacking:
        raise files.DataError(
            f"{file} is of another release: it has {', '.join(sorted(unknown)) or 'nothing'} too "
            f"many and lacks {', '.join(sorted(lacking)) or 'nothing'}; make it again"
        )
    columns = [_column(table, field, file) for field in schema]
    made = pa.table(columns, schema=schema)
    _check_required(made, schema, file)
    return made


def _column(table: pa.Table, field: pa.Field, file: Path) -> pa.ChunkedArray | pa.Array:
    """Return a column in the type of its field: pandas writes numbers with gaps as real ones."""
    if field.name not in table.schema.names:
        return pa.nulls(table.num_rows, field.type)
    found = table[field.name]
    try:
        return found.cast(field.type)
    except pa.ArrowException as error:
        raise files.DataError(
            f"{file}: the column {field.name} should hold {field.type}, found {found.type}, which "
            f"is not to be read so ({error}); make it again"
        ) from error


def _table(file: Path) -> pa.Table:
    with files.sound(file):
        table = pq.read_table(file, page_checksum_verification=True)
        table.validate(full=True)
    return table


def _check_required(table: pa.Table, schema: pa.Schema, file: Path) -> None:
    for field in schema:
        if not field.nullable and table[field.name].null_count:
            raise files.DataError(
                f"{file}: the column {field.name} has empty cells; delete it and run again"
            )
