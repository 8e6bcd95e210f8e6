"""What is run again after a change, and what is not. Job counts are those of real Snakemake."""

import hashlib
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from mirrors import mirror_of

ROOT = Path(__file__).parents[2]
AFTER_TRAINING = {"aggregate": 1, "make_tables": 1, "plot_figures": 1, "write_report": 1}
PRESENTATION = {"make_tables": 1, "plot_figures": 1, "write_report": 1}
SIZES = {"size_models": 1}


def test_first_run_does_everything_once_and_the_second_nothing(finished):
    assert finished.first_jobs == {"prepare": 2, "train": 5, **SIZES, **AFTER_TRAINING}
    assert finished.stale() == {}


def test_editing_an_experiment_reruns_it_and_what_hangs_on_it(finished):
    before = pd.read_parquet(finished.result("runs.parquet")).set_index("experiment")
    finished.config["experiments"]["vit-b"]["epochs"] = 2
    finished.write_config()
    assert finished.stale() == {"train": 1, **SIZES, **AFTER_TRAINING}
    assert finished.run("results/tiny/runs.parquet") == {"train": 1, "aggregate": 1}
    after = pd.read_parquet(finished.result("runs.parquet")).set_index("experiment")
    assert after.epochs["vit-b"] == 2
    assert list(before.started != after.started) == [name == "vit-b" for name in before.index]
    assert finished.stale() == SIZES | PRESENTATION


def test_editing_a_base_reruns_its_children(finished):
    finished.config["bases"]["lstm"]["optimizer"]["lr"] = 0.01
    finished.write_config()
    assert finished.stale() == {"train": 2, **SIZES, **AFTER_TRAINING}


def test_going_on_without_the_mirror_or_with_another_keeps_what_was_fetched(fresh, tmp_path):
    path, content = "gpt1/vocab_40000.bpe", b"#version: 0.2\nt h\n"
    wanted = f"data/downloads/{path}"
    fresh.config["mirror"] = str(mirror_of(tmp_path / "mirror", {path: content}))
    fresh.write_config()
    assert fresh.run(wanted) == {"fetch": 1}
    for mirror in (None, "https://other.example"):
        fresh.config["mirror"] = mirror
        fresh.write_config()
        assert fresh.stale(wanted) == {}


def test_a_run_that_was_deleted_is_trained_again_and_its_weights_alone_are_not(finished):
    weights = "results/tiny/runs/vit-a/42/weights.safetensors"
    (finished.folder / weights).unlink()
    assert finished.stale() == {}
    shutil.rmtree((finished.folder / weights).parent)
    assert finished.stale() == {"train": 1, **AFTER_TRAINING}


def test_a_part_of_the_results_that_was_deleted_is_made_again(finished):
    for part, jobs in (
        ("predicted.parquet", {**SIZES, **PRESENTATION}),
        ("tables/claims.html", {"make_tables": 1}),
        ("figures/depth.svg", {"plot_figures": 1, "write_report": 1}),
    ):
        file = finished.folder / "results/tiny" / part
        content = file.read_bytes()
        file.unlink()
        assert finished.stale() == jobs
        file.write_bytes(content)


def test_adding_a_seed_runs_the_new_jobs_only(finished):
    finished.config["seeds"] = [42, 43]
    finished.write_config()
    assert finished.stale() == {"train": 5, **AFTER_TRAINING}


def test_adding_an_experiment_runs_it_only(finished):
    finished.config["experiments"]["vit-mine"] = {"base": "vit", "model": {"depth": 1}}
    finished.write_config()
    assert finished.stale() == {"train": 1, **SIZES, **AFTER_TRAINING}


def test_adding_a_value_to_a_grid_runs_the_new_member_only(finished):
    grid = {"optimizer.lr": [0.003]}
    finished.config["experiments"]["vit-lr"] = {"base": "vit", "grid": grid}
    finished.write_config()
    member = "results/tiny/runs/vit-lr-lr-3e-3/42/run.parquet"
    assert finished.run(member) == {"train": 1}
    assert pd.read_parquet(finished.folder / member)["optimizer.lr"].tolist() == [0.003]
    grid["optimizer.lr"] = [0.001, 0.003]
    finished.write_config()
    assert finished.stale() == {"train": 1, **SIZES, **AFTER_TRAINING}
    assert finished.stale(member) == {}


def test_removing_an_experiment_drops_it_from_the_tables(finished):
    del finished.config["experiments"]["vit-b"]
    finished.write_config()
    assert finished.stale() == SIZES | AFTER_TRAINING
    finished.run("results/tiny/tables/vit-results.csv")
    table = pd.read_csv(finished.result("tables/vit-results.csv"))
    assert {*table.experiment} == {"vit-a"}


def test_regrouping_reruns_nothing(finished):
    finished.config["experiments"]["vit-b"]["group"] = "cnn"
    finished.write_config()
    assert finished.stale() == {}


def test_reordering_keys_reruns_nothing(finished):
    finished.config["bases"]["vit"] = dict(reversed(finished.config["bases"]["vit"].items()))
    config = finished.folder / "config.yaml"
    before = config.read_text()
    config.write_text(yaml.safe_dump(finished.config, sort_keys=False))
    assert config.read_text() != before
    assert finished.stale() == {}


def test_another_interval_between_checkpoints_reruns_nothing(finished):
    finished.config["checkpoint_seconds"] = 1
    finished.write_config()
    assert finished.stale() == {}


def test_another_mode_trains_everything_again(finished):
    finished.config["deterministic"] = True
    finished.write_config()
    assert finished.stale() == {"train": 5, **AFTER_TRAINING}


def test_touching_source_reruns_nothing(finished):
    for folder in ("src", "workflow"):
        for file in (finished.folder / folder).rglob("*.*"):
            os.utime(file)
    assert finished.stale() == {}


NOISE = """
from trainstudy.data.digits import SHAPE, prepare as digits
from trainstudy.fetch import Source
KIND, EXAMPLES, ORIGIN, EMBEDDED = "images", 1_295, "noise", False
SOURCES = {"noise.bin": Source("https://example.org/noise.bin", sha256="%s")}

def prepare(sources):
    return digits({})
"""


def test_a_new_date_of_large_files_reruns_nothing(fresh, tmp_path):
    """As a copy of the folder has; Snakemake's own limit of comparing by checksum is 1 MB."""
    content = b"noise" * 300_000
    digest = hashlib.sha256(content).hexdigest()
    (fresh.folder / "src/trainstudy/data/noise.py").write_text(NOISE % digest)
    mirror = mirror_of(tmp_path / "mirror", {"noise.bin": content})
    prepared = "data/prepared/noise.safetensors"
    assert fresh.run(prepared, "--config", f"mirror={mirror}") == {"fetch": 1, "prepare": 1}
    source = fresh.folder / "data/downloads/noise.bin"
    os.utime(source)
    assert fresh.stale(prepared) == {}
    source.write_bytes(b"other" * 300_000)
    assert fresh.stale(prepared) == {"prepare": 1}


@pytest.mark.parametrize(
    ("file", "jobs"),
    [
        ("src/trainstudy/models/vit.py", {"train": 2, **SIZES}),
        ("src/trainstudy/models/lstm.py", {"train": 2, **SIZES}),
        ("src/trainstudy/models/cnn.py", {"train": 1, **SIZES}),
        ("src/trainstudy/trainer.py", {"train": 5}),
        ("src/trainstudy/checkpoint.py", {"train": 5}),
        ("src/trainstudy/state.py", {"train": 5}),
        ("src/trainstudy/losses.py", {"train": 2, **SIZES}),
        ("src/trainstudy/tasks/images.py", {"train": 3, **SIZES}),
        ("workflow/scripts/train.py", {"train": 5}),
        ("workflow/scripts/prepare.py", {"prepare": 2, "train": 5, **SIZES}),
    ],
)
def test_editing_training_code_reruns_the_runs_it_decides(finished, file, jobs):
    edit(finished, file, "\nEDITED = True\n")
    assert finished.stale() == {**jobs, **AFTER_TRAINING}


def test_editing_a_data_set_prepares_it_again(finished):
    edit(finished, "src/trainstudy/data/digits.py", "\nEDITED = True\n")
    assert finished.stale() == {"prepare": 1, "train": 3, **SIZES, **AFTER_TRAINING}


@pytest.mark.parametrize(
    ("file", "jobs"),
    [
        ("src/trainstudy/figures/curves.py", {"plot_figures": 1, "write_report": 1}),
        ("src/trainstudy/tables/scores.py", {"make_tables": 1, "write_report": 1}),
        ("src/trainstudy/estimates.py", PRESENTATION),
        ("src/trainstudy/sizes.py", SIZES | PRESENTATION),
        ("workflow/scripts/size_models.py", SIZES | PRESENTATION),
        ("workflow/scripts/aggregate.py", AFTER_TRAINING),
        ("workflow/scripts/make_tables.py", {"make_tables": 1}),
        ("workflow/scripts/write_report.py", {"write_report": 1}),
        ("report/vit-results.rst", {"write_report": 1}),
        ("report/page/report.html.j2", {"write_report": 1}),
        ("resources/published.csv", PRESENTATION),
    ],
)
def test_editing_the_presentation_reruns_no_training(finished, file, jobs):
    edit(finished, file, "\n")
    assert finished.stale() == jobs


def test_a_claim_of_ones_own_reruns_no_training(finished):
    claim = "{says: Mine., reports: [A], of: best_epoch, runs: [vit-a], are: less, than: [vit-b]}"
    edit(finished, "report/claims.yaml", f"\n  mine: {claim}\n")
    assert finished.run() == {"make_tables": 1, "write_report": 1}
    table = pd.read_csv(finished.result("tables/claims.csv")).set_index("claim")
    assert table.loc["mine", "statement"] == "Mine."


def edit(study, file, text):
    path = study.folder / file
    assert path.is_file()
    path.write_text(path.read_text() + text)


def test_the_full_study_fetches_every_source_once_and_trains_every_experiment(fresh):
    shutil.copy(ROOT / "config.yaml", fresh.folder / "config.yaml")
    assert fresh.stale() == {
        "fetch": 10,
        "prepare": 2,
        "prepare_embedding": 1,
        "train": 24,
        **SIZES,
        **AFTER_TRAINING,
    }
    one = fresh.stale("--config", "select=[vit-2-adamw]")
    assert one == {"fetch": 2, "prepare": 1, "train": 1, **SIZES, **AFTER_TRAINING}
