"""The two Parquet tables: their columns, and what is refused."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from results import a_run, curve
from trainstudy import records
from trainstudy.files import DataError

ROOT = Path(__file__).parents[2]
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/experiment.yaml").read_text())
ARROW = {
    "boolean": pa.bool_(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "string": pa.string(),
}


def settings_of_the_schema() -> dict[str, pa.DataType]:
    """Return every setting that a run may have, by its path, with the type of its column."""
    families = [SCHEMA["$defs"][family] for family in ("lstm", "vit", "cnn")]
    found: dict[str, pa.DataType] = {}

    def walk(properties: dict, prefix: str) -> None:
        for name, rule in properties.items():
            if "$ref" in rule:
                rule = SCHEMA["$defs"][rule["$ref"].removeprefix("#/$defs/")]
            if "properties" in rule:
                walk(rule["properties"], f"{prefix}{name}.")
            elif prefix + name not in ("group", "family", "dataset", "model"):
                found[prefix + name] = column_type(rule)

    walk(SCHEMA["properties"], "")
    for family in families:
        walk(family["properties"], "model.")
    return found


def column_type(rule: dict) -> pa.DataType:
    if "enum" in rule:
        return pa.string()
    if rule.get("type") == "array" or "allOf" in rule:
        return pa.list_(pa.float64())
    kind = rule["type"]
    return ARROW[kind if isinstance(kind, str) else next(k for k in kind if k != "null")]


def test_every_setting_has_a_column_of_its_type_and_every_such_column_a_setting():
    columns = {field.name: field.type for field in records.SETTINGS}
    assert columns == settings_of_the_schema()


def test_settings_may_be_empty_and_what_identifies_a_run_may_not():
    nullable = {field.name for field in records.RUNS if field.nullable}
    assert {field.name for field in records.SETTINGS} <= nullable
    assert not nullable & {"experiment", "family", "dataset", "seed", "status", "data_sha256"}
    assert not any(field.nullable for field in records.METRICS)


def test_scores_exist_for_every_split_metric_and_epoch():
    assert len(records.SCORES) == len(set(records.SCORES)) == 18
    assert {"train_loss_last", "validation_accuracy_best", "test_perplexity_last"} <= {
        *records.SCORES
    }
    assert set(records.SCORES) <= set(records.RUNS.names)


def test_flatten_gives_paths():
    nested = {"epochs": 3, "optimizer": {"lr": 0.1, "more": {"a": [1, 2]}}, "empty": {}}
    assert records.flatten(nested) == {
        "epochs": 3,
        "optimizer.lr": 0.1,
        "optimizer.more.a": [1, 2],
    }


# Writing


def test_rows_come_back_with_their_types(tmp_path):
    row = a_run("cnn-a", best_epoch=2, memory_resident=2**40, diverged_step=None)
    records.write([row], records.RUNS, tmp_path / "run.parquet")
    table = pq.read_table(tmp_path / "run.parquet")
    assert table.schema.equals(records.RUNS)
    (found,) = table.to_pylist()
    assert found == dict.fromkeys(records.RUNS.names) | row
    assert type(found["seed"]) is int
    assert type(found["schedule.milestones"][0]) is float


def test_a_whole_number_fits_a_column_of_real_numbers(tmp_path):
    row = a_run("vit-a", **{"schedule.warmup_epochs": 5, "optimizer.lr": 1})
    records.write([row], records.RUNS, tmp_path / "run.parquet")
    assert pd.read_parquet(tmp_path / "run.parquet")["schedule.warmup_epochs"].tolist() == [5.0]


def test_no_row_at_all_leaves_a_table_with_all_columns(tmp_path):
    records.write([], records.METRICS, tmp_path / "metrics.parquet")
    table = pq.read_table(tmp_path / "metrics.parquet")
    assert table.num_rows == 0
    assert table.schema.equals(records.METRICS)


def test_a_column_that_the_schema_lacks_is_refused(tmp_path):
    file = tmp_path / "run.parquet"
    rows = [a_run("vit-a"), a_run("vit-b", colour="red", size=3)]
    with pytest.raises(ValueError, match=r"run.parquet: no column for colour, size"):
        records.write(rows, records.RUNS, file)
    assert not file.exists()


@pytest.mark.parametrize("missing", [field.name for field in records.RUNS if not field.nullable])
@pytest.mark.parametrize("how", ["absent", "null"])
def test_an_empty_cell_is_refused_where_a_value_is_required(tmp_path, missing, how):
    row = a_run("vit-a")
    if how == "null":
        row[missing] = None
    else:
        del row[missing]
    with pytest.raises(ValueError, match=missing):
        records.write([a_run("vit-b"), row], records.RUNS, tmp_path / "run.parquet")
    assert not (tmp_path / "run.parquet").exists()


def test_a_value_of_another_type_is_refused(tmp_path):
    with pytest.raises((ValueError, TypeError)):
        records.write([a_run("vit-a", epochs="ten")], records.RUNS, tmp_path / "run.parquet")


# Gathering


def a_file(file: Path, *rows: dict, schema: pa.Schema = records.METRICS) -> Path:
    records.write(list(rows), schema, file)
    return file


def gather(folder: Path, *files: Path) -> pd.DataFrame:
    target = folder / "all.parquet"
    records.gather(files, "metrics", target)
    assert pq.read_schema(target).equals(records.METRICS)
    return pd.read_parquet(target)


def test_rows_are_sorted_however_the_files_come(tmp_path):
    runs = [a_run("vit-b", seed=10), a_run("vit-b", seed=9), a_run("vit-a", seed=11)]
    files = [
        a_file(
            tmp_path / f"{index}.parquet",
            *reversed(curve(run, "validation", "loss", 3, 2)),
            *curve(run, "train", "loss", *range(10, 0, -1)),
        )
        for index, run in enumerate(runs)
    ]
    table = gather(tmp_path, *files)
    keys = list(table[records.KEYS["metrics"]].itertuples(index=False, name=None))
    assert keys == sorted(keys)
    assert len(keys) == 36
    assert list(dict.fromkeys(table.seed)) == [11, 9, 10]  # numbers, not texts, within vit-b
    pd.testing.assert_frame_equal(table, gather(tmp_path, *reversed(files)))


def test_a_row_that_stands_twice_is_refused(tmp_path):
    rows = curve(a_run("vit-a"), "train", "loss", 3, 2)
    one = a_file(tmp_path / "1.parquet", *rows)
    two = a_file(tmp_path / "2.parquet", rows[1] | {"value": 7.0})
    with pytest.raises(ValueError, match="two rows have experiment vit-a, seed 42, epoch 2"):
        gather(tmp_path, one, two)
    assert not (tmp_path / "all.parquet").exists()


def test_a_run_that_stands_twice_is_refused(tmp_path):
    files = [
        a_file(tmp_path / f"{n}.parquet", a_run("vit-a", best_epoch=n), schema=records.RUNS)
        for n in (1, 2)
    ]
    with pytest.raises(
        ValueError, match=r"two rows have experiment vit-a, seed 42\. Was the folder"
    ):
        records.gather(files, "runs", tmp_path / "all.parquet")


@pytest.mark.parametrize("change", ["missing", "extra", "type", "order"])
def test_a_file_with_other_columns_is_refused_and_named(tmp_path, change):
    fields = list(records.METRICS)
    if change == "missing":
        fields.pop()
    elif change == "extra":
        fields.append(pa.field("more", pa.int64()))
    elif change == "type":
        fields[3] = pa.field("seed", pa.string(), nullable=False)
    else:
        fields.reverse()
    old = tmp_path / "old.parquet"
    pq.write_table(pa.Table.from_pylist([], schema=pa.schema(fields)), old)
    good = a_file(tmp_path / "good.parquet", *curve(a_run("vit-a"), "train", "loss", 1))
    with pytest.raises(ValueError, match="delete it and run again") as caught:
        gather(tmp_path, good, old)
    assert str(old) in str(caught.value)
    assert not (tmp_path / "all.parquet").exists()


def test_what_is_read_has_the_types_and_the_cells_of_its_schema(tmp_path):
    file = a_file(tmp_path / "one.parquet", *curve(a_run("vit-a"), "train", "loss", 3, 2))
    table = pq.read_table(file)
    assert records.read(file, "metrics").equals(table)
    table.to_pandas().astype({"seed": float}).to_parquet(file)  # as with gaps
    assert records.read(file, "metrics").equals(table)
    for column, said in (
        (pa.array(["1", "no"]), "the column seed should hold int64, found string"),
        (pa.array([1.0, 1.5]), "the column seed should hold int64, found double"),
        (pa.array([1, None], pa.int64()), "the column seed has empty cells"),
    ):
        place = table.schema.names.index("seed")
        pq.write_table(table.set_column(place, pa.field("seed", column.type), column), file)
        with pytest.raises(DataError, match=f"{file}: {said}"):
            records.read(file, "metrics")


@pytest.mark.parametrize("kept", [0, 0.5, 0.99])
def test_a_truncated_file_is_refused_and_named(tmp_path, kept):
    file = a_file(tmp_path / "old.parquet", *curve(a_run("vit-a"), "train", "loss", 3, 2))
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(DataError, match=f"{file} is broken .* Delete {file} and run again"):
        gather(tmp_path, file)
    assert not (tmp_path / "all.parquet").exists()


def test_no_changed_bit_goes_unnoticed_and_changes_a_number(tmp_path):
    file = a_file(tmp_path / "one.parquet", *curve(a_run("vit-a"), "train", "loss", *range(9)))
    content, rows = file.read_bytes(), gather(tmp_path, file)
    refused = 0
    for place in range(0, len(content), 7):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        file.write_bytes(changed)
        try:
            pd.testing.assert_frame_equal(gather(tmp_path, file), rows)
        except DataError:
            refused += 1
    assert refused > len(content) / 7 / 2


def test_a_file_that_cannot_be_finished_leaves_nothing(tmp_path, file_limit):
    rows = curve(a_run("vit-a"), "train", "loss", *range(1_000))
    with pytest.raises(OSError, match="File too large"), file_limit(1_000):
        records.write(rows, records.METRICS, tmp_path / "metrics.parquet")
    assert list(tmp_path.iterdir()) == []


def test_equal_rows_give_an_equal_file(tmp_path):
    rows = curve(a_run("vit-a"), "train", "loss", 3, 2)
    a_file(tmp_path / "1.parquet", *rows)
    a_file(tmp_path / "2.parquet", *rows)
    assert (tmp_path / "1.parquet").read_bytes() == (tmp_path / "2.parquet").read_bytes()
