"""Results of several sittings in one folder."""

import sys
from pathlib import Path

import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml

from results import a_run, curve, sizes
from trainstudy import config, files, keep, records

CONFIG = Path(__file__).parents[2] / "config.yaml"


def a_study(folder: Path, *runs: dict) -> Path:
    """Write the result files of a study with a curve for every run."""
    folder.mkdir()
    rows = [row for run in runs for row in curve(run, "validation", "accuracy", 0.1, run["seed"])]
    records.write(list(runs), records.RUNS, folder / "runs.parquet")
    records.write(rows, records.METRICS, folder / "metrics.parquet")
    for name, table in sizes(list(runs)).items():
        records.write(table.to_dict("records"), records.SCHEMAS[name], folder / f"{name}.parquet")
    return folder


def kept_runs(folder: Path) -> list[tuple[str, int, float]]:
    """Return experiment, seed and seconds of the runs that are kept, in the order of the file."""
    runs = pd.read_parquet(folder / "runs.parquet")
    return [*zip(runs.experiment, runs.seed, runs.seconds_total, strict=True)]


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A folder that holds vit-a with two seeds and cnn-a with one."""
    runs = [a_run("vit-a", seed=1), a_run("vit-a", seed=2), a_run("cnn-a", seed=1)]
    keep.keep(a_study(tmp_path / "first", *runs), tmp_path / "kept")
    return tmp_path / "kept"


def test_the_first_results_are_kept_whole(kept: Path, tmp_path: Path):
    assert kept_runs(kept) == [("cnn-a", 1, 12.0), ("vit-a", 1, 12.0), ("vit-a", 2, 12.0)]
    assert {*config.RESULT_FILES} == {file.stem for file in kept.glob("*.parquet")}
    for name in ("metrics", "predicted", "attention"):
        first, mine = (
            pd.read_parquet(folder / f"{name}.parquet") for folder in (tmp_path / "first", kept)
        )
        keys = records.KEYS[name]
        pd.testing.assert_frame_equal(first.sort_values(keys, ignore_index=True), mine)


def test_later_runs_join_and_take_the_place_of_their_like(kept: Path, tmp_path: Path):
    later = [a_run("vit-a", seed=2, seconds_total=99.0), a_run("vit-b", seed=1)]
    keep.keep(a_study(tmp_path / "later", *later), kept)
    assert kept_runs(kept) == [
        ("cnn-a", 1, 12.0), ("vit-a", 1, 12.0), ("vit-a", 2, 99.0), ("vit-b", 1, 12.0),
    ]  # fmt: skip
    metrics = pd.read_parquet(kept / "metrics.parquet")
    assert not metrics.duplicated(records.KEYS["metrics"]).any()
    assert len(metrics) == 2 * 4
    assert [*pd.read_parquet(kept / "predicted.parquet").experiment] == ["cnn-a", "vit-a", "vit-b"]


def test_what_a_killed_call_left_behind_is_no_hindrance(kept: Path, tmp_path: Path):
    (kept / "runs.part.parquet").write_bytes(b"PAR1 half a file")
    keep.keep(a_study(tmp_path / "later", a_run("vit-b", seed=1)), kept)
    assert [run[0] for run in kept_runs(kept)] == ["cnn-a", "vit-a", "vit-a", "vit-b"]


@pytest.mark.parametrize("change", [{"optimizer.lr": 0.1}, {"data_sha256": "0" * 64}])
def test_seeds_of_other_settings_or_data_do_not_stay_beside_new_ones(
    kept: Path, tmp_path: Path, change: dict, caplog: pytest.LogCaptureFixture
):
    keep.keep(a_study(tmp_path / "later", a_run("vit-a", seed=3, **change)), kept)
    assert [run[:2] for run in kept_runs(kept)] == [("cnn-a", 1), ("vit-a", 3)]
    assert "vit-a, seed 1: dropped" in caplog.text
    key, value = next(iter(change.items()))
    assert (
        f"it was made with another {key} ({a_run('vit-a')[key]} instead of {value})" in caplog.text
    )


def test_runs_of_one_experiment_that_are_not_alike_are_refused(kept: Path, tmp_path: Path):
    runs = [a_run("vit-b", 1, precision="bf16"), a_run("vit-b", 2, precision="fp32")]
    before = kept_runs(kept)
    with pytest.raises(files.DataError, match="vit-b has another precision with seed 2 than with"):
        keep.keep(a_study(tmp_path / "later", *runs), kept)
    assert kept_runs(kept) == before


def test_the_overlay_selects_what_is_kept(kept: Path):
    assert yaml.safe_load((kept / "config.yaml").read_text()) == {
        "study": "reference-kept",
        "measured": kept.as_posix(),
        "select": ["cnn-a", "vit-a"],
        "seeds": [1, 2],
    }


def test_columns_that_came_later_are_empty_in_what_was_kept_before(kept: Path, tmp_path: Path):
    older = pq.read_table(kept / "runs.parquet").drop_columns(["gpu_shared", "compile"])
    pq.write_table(older, kept / "runs.parquet")
    keep.keep(a_study(tmp_path / "later", a_run("vit-b", gpu_shared=True)), kept)
    runs = pd.read_parquet(kept / "runs.parquet").set_index("experiment")
    assert runs.gpu_shared["vit-b"]
    assert runs.gpu_shared[["vit-a", "cnn-a"]].isna().all()
    assert pq.read_schema(kept / "runs.parquet").equals(records.RUNS)


@pytest.mark.parametrize("switch", ["carry_state", "compile"])
def test_a_switch_that_came_later_was_off_in_what_was_kept_before(
    kept: Path, tmp_path: Path, switch: str
):
    keep.keep(a_study(tmp_path / "off", a_run("vit-a", seed=3, **{switch: False})), kept)
    assert [run[:2] for run in kept_runs(kept) if run[0] == "vit-a"] == [
        ("vit-a", 1), ("vit-a", 2), ("vit-a", 3),
    ]  # fmt: skip
    keep.keep(a_study(tmp_path / "on", a_run("vit-a", seed=4, **{switch: True})), kept)
    assert [run[:2] for run in kept_runs(kept) if run[0] == "vit-a"] == [("vit-a", 4)]


def test_files_of_another_release_are_refused_and_nothing_changes(kept: Path, tmp_path: Path):
    study = a_study(tmp_path / "later", a_run("vit-b"))
    table = pq.read_table(study / "runs.parquet")
    renamed = table.rename_columns(["run" if n == "experiment" else n for n in table.schema.names])
    pq.write_table(renamed, study / "runs.parquet")
    before = kept_runs(kept)
    with pytest.raises(files.DataError, match=r"runs\.parquet.* run too many .*lacks experiment"):
        keep.keep(study, kept)
    assert kept_runs(kept) == before


def test_a_folder_without_a_study_is_named(tmp_path: Path, monkeypatch, capsys):
    (tmp_path / "config.yaml").write_text("experiments: {}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["keep", "results/none", "reference/none"])
    with pytest.raises(SystemExit) as ended:
        keep.main()
    assert ended.value.code == 1
    said = "results/none holds no finished study; there is no results/none/runs.parquet\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("name", ["my name", "Mine", "a_b", "a" * 71])
def test_a_folder_whose_name_no_study_can_have_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch, capsys, name: str
):
    study = a_study(tmp_path / "study", a_run("vit-b"))
    (tmp_path / "config.yaml").write_text("experiments: {vit-b: {}}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["keep", str(study), f"reference/{name}"])
    with pytest.raises(SystemExit):
        keep.main()
    assert f"'{name}' becomes part of a study's name; use lower-case" in capsys.readouterr().err
    assert not (tmp_path / "reference").exists()


def test_experiments_that_no_report_would_know_are_not_kept(
    kept: Path, tmp_path: Path, monkeypatch
):
    declared = tmp_path / "config.yaml"
    declared.write_text("experiments: {vit: {base: vit, grid: {epochs: [1, 2]}}, cnn-a: {}}")
    study = a_study(tmp_path / "grid", a_run("vit-epochs-2"), a_run("cnn-a"))
    keep.check_declared(study, declared)
    study = a_study(tmp_path / "own", a_run("vit-epochs-3"), a_run("cnn-a"))
    with pytest.raises(files.DataError, match="does not declare vit-epochs-3, of "):
        keep.check_declared(study, declared)
    before = kept_runs(kept)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["keep", "own", str(kept)])
    with pytest.raises(SystemExit) as ended:
        keep.main()
    assert ended.value.code == 1
    assert kept_runs(kept) == before


def test_runs_of_which_no_memory_was_predicted_are_not_kept(kept: Path, tmp_path: Path):
    """They were gathered by name, without the rest of the study; no figure could show them."""
    study = a_study(tmp_path / "part", a_run("vit-b"), a_run("vit-c"))
    table = pq.read_table(study / "predicted.parquet")
    pq.write_table(
        table.filter(pc.equal(table["experiment"], "vit-b")), study / "predicted.parquet"
    )
    before = kept_runs(kept)
    with pytest.raises(
        files.DataError, match=r"part/predicted\.parquet lacks vit-c, .* its report"
    ):
        keep.keep(study, kept)
    assert kept_runs(kept) == before


def test_settings_that_are_not_the_declared_ones_are_told(tmp_path: Path):
    """As after an overlay: the commands on the page of what is kept know nothing of it."""
    own = config.resolve(
        yaml.safe_load(CONFIG.read_text()), [CONFIG], CONFIG.parent / "workflow/schemas"
    )
    runs = [
        a_run(name) | records.flatten(config.training_settings(own[name])) | {"precision": "fp32"}
        for name in ("vit-2-adamw", "lstm-1-adamw")
    ]
    assert keep.departures(a_study(tmp_path / "same", *runs), CONFIG) == []
    runs[0] |= {"dataset": "digits", "epochs": 15}
    assert keep.departures(a_study(tmp_path / "small", *runs), CONFIG) == [
        "vit-2-adamw: dataset digits instead of cifar10, epochs 15 instead of 10"
    ]


def test_a_broken_file_is_named(kept: Path, tmp_path: Path):
    study = a_study(tmp_path / "later", a_run("vit-b"))
    (study / "metrics.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(files.DataError, match=r"later/metrics\.parquet is broken"):
        keep.keep(study, kept)


def test_keeping_twice_changes_no_byte(kept: Path, tmp_path: Path):
    def content() -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in kept.iterdir()}

    before = content()
    keep.keep(tmp_path / "first", kept)
    assert content() == before
