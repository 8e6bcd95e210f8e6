"""Banners, and the tables that say where the numbers come from."""

import json

import pytest

from results import OTHER_MACHINE, a_run, frames
from trainstudy import origin

DATA = "Data (first digits of the prepared file's SHA-256)"
RUNS = [a_run("lstm-a"), a_run("vit-a"), a_run("cnn-a")]


@pytest.fixture
def runs(tmp_path):
    """Return rows as they come back from runs.parquet."""
    return lambda *rows: frames(tmp_path, list(rows)).runs


# Banners


def test_original_data_need_no_banner(runs):
    assert origin.banners(runs(*RUNS)) == []


def test_several_releases_of_torch_are_announced(runs):
    torches = ("2.14.1", "2.11.0", "2.14.1+cpu")
    versions = [json.dumps({"torch": torch, "python": "3.11"}) for torch in torches]
    rows = [a_run("vit-a", seed, versions=made) for seed, made in enumerate(versions)]
    ((heading, banner),) = origin.banners(runs(*rows))
    assert heading == "Several releases of torch"
    assert banner.startswith("The runs were made with torch 2.11.0 and 2.14.1, as a new release")


def test_embedded_data_are_announced_once(runs):
    facts = {"dataset": "digits", "data_origin": "embedded", "data_description": "small digits"}
    rows = runs(a_run("lstm-a"), a_run("vit-a", **facts), a_run("cnn-a", **facts))
    ((_, banner),) = origin.banners(rows)
    assert banner.startswith("digits: small data that ship inside software packages")
    assert "not those of the published study (small digits)" in banner


def test_mirrored_data_are_announced(runs):
    ((_, banner),) = origin.banners(runs(a_run("lstm-a"), a_run("vit-a", data_origin="mirrored")))
    assert "cifar10: a mirror that differs from the published originals" in banner
    assert "not exactly comparable" in banner


def test_an_embedding_that_was_learned_instead_is_announced(runs):
    learned = {"model.embedding": "learned"}
    rows = [a_run("lstm-b", **learned), a_run("lstm-a", **learned), a_run("lstm-c")]
    ((_, banner),) = origin.banners(runs(*rows))
    assert "learned embedding where the reports used GPT-1's, frozen: lstm-a, lstm-b." in banner
    own = a_run("lstm-a", dataset="pydocs", **learned)  # no report used pydocs
    assert origin.banners(runs(own)) == []


def test_several_machines_are_announced(runs):
    moved = json.dumps(json.loads(OTHER_MACHINE) | {"earlier parts": "Abacus 9, 1 thread"})
    rows = [
        *RUNS, a_run("vit-b", machine=OTHER_MACHINE), a_run("vit-c", device="NVIDIA H100"),
        a_run("vit-d", threads=2), a_run("vit-e", device="NVIDIA H100", threads=2),
        a_run("vit-f", machine=moved),
    ]  # fmt: skip
    ((heading, banner),) = origin.banners(runs(*rows))
    assert heading == "Several machines or numbers of threads"
    assert (
        "on 5 combinations of machine and threads: Abacus 9, 2 cores, 1 thread; "
        "Abacus 9, 2 cores, 2 threads; "
        "Babbage 1, 8 cores (began on Abacus 9, 1 thread), 1 thread; "
        "Babbage 1, 8 cores, 1 thread; NVIDIA H100."
    ) in banner


def test_several_versions_of_the_code_that_trained_are_announced(runs):
    rows = [
        # Another family has other code anyway, another data set, too.
        a_run("lstm-a", code="1"), a_run("lstm-b", code="1", commit="another"),
        a_run("vit-a", code="2"), a_run("vit-b", code="3"), a_run("vit-c", code="2"),
        a_run("vit-d", code="4", dataset="digits"),
        a_run("cnn-a", code=None), a_run("cnn-b", code=None),
    ]  # fmt: skip
    ((heading, banner),) = origin.banners(runs(*rows))
    assert heading == "Several versions of the code"
    assert banner.startswith("Vision transformers on cifar10: 2 versions, told apart")


def test_a_run_that_recorded_no_code_is_told_by_its_commit(runs):
    rows = [
        a_run("vit-a", code=None), a_run("vit-b", code=None, commit="another"),
        a_run("lstm-a", code=None), a_run("lstm-b", code="1"),
    ]  # fmt: skip
    ((_, banner),) = origin.banners(runs(*rows))
    assert banner.startswith(
        "Language models on wikitext2: 2 versions; Vision transformers on cifar10: 2 versions,"
    )
    unknown = a_run("vit-a", code=None, commit=None)  # no git; nothing can be said
    assert origin.banners(runs(unknown, unknown | {"experiment": "vit-b"})) == []


def test_each_kind_of_data_has_a_banner(runs):
    rows = [
        a_run("lstm-a", data_origin="mirrored", **{"model.embedding": "learned"}),
        a_run("vit-a", dataset="digits", data_origin="embedded"),
    ]
    assert len(origin.banners(runs(*rows))) == 3


# Tables


def test_code_machine_releases_and_data_are_named(runs):
    tables = origin.tables(runs(*RUNS))
    (setup,) = tables["Machine, releases, code"].to_dict("records")
    assert setup["commit"] == "0123456789ab"
    assert setup["machine"] == "processor Abacus 9, cores 2, system Linux"
    assert setup["releases"] == "python 3.11.7, torch 2.0"
    assert setup["runs"] == 3
    data = tables[DATA]
    assert [*data.columns] == ["dataset", "origin", "description", "SHA-256"]
    assert [*data.dataset] == ["wikitext2", "cifar10"]
    assert {*data["SHA-256"]} == {"c0ffee000000"}


def test_runs_of_one_machine_share_a_line_to_which_they_refer(runs):
    tables = origin.tables(runs(*RUNS, a_run("vit-b", device="Fast GPU", driver="535.1")))
    setups = tables["Machine, releases, code"].set_index("setup")
    assert dict(setups.runs) == {1: 3, 2: 1}
    assert dict(setups.device) == {1: "CPU", 2: "Fast GPU"}
    assert dict(setups.driver) == {1: "–", 2: "535.1"}
    every = tables["Every run"].set_index("experiment")
    assert dict(every.setup) == {"lstm-a": 1, "vit-a": 1, "cnn-a": 1, "vit-b": 2}


def test_without_git_the_commit_is_a_dash(runs):
    (setup,) = origin.tables(runs(a_run("vit-a", commit=None)))["Machine, releases, code"].commit
    assert setup == "–"
    every = origin.tables(runs(a_run("vit-a", commit=None)))["Every run"]
    assert [*every.setup] == [1]


def test_every_prepared_file_has_one_line_with_its_checksum(runs):
    tables = origin.tables(runs(*RUNS, a_run("vit-b"), a_run("vit-c", data_sha256="d" * 64)))
    data = tables[DATA]
    # cifar10 was prepared twice, with different results.
    assert [*data.dataset] == ["wikitext2", "cifar10", "cifar10"]
    assert [*data["SHA-256"]].count("d" * 12) == 1
    assert [*tables["Every run"].data] == ["c0ffee000000"] * 4 + ["d" * 12]


def test_settings_stand_once_for_a_family_and_beside_the_runs_that_differ(runs):
    rows = [
        a_run("vit-a", 1),
        a_run("vit-a", 2, **{"optimizer.lr": 0.00012345678}, batch_size=1_234_567),
        a_run("lstm-a", status="diverged"),
        a_run("cnn-a"),
    ]
    tables = origin.tables(runs(*rows))
    shared = tables["Settings that all runs of a family share"].set_index("family").settings
    assert shared["vit"].startswith(
        "model.depth 2, model.norm pre, augmentation.crop_scale [0.8, 1.0]"
    )
    assert "optimizer.name adamw" in shared["vit"]
    assert "optimizer.lr" not in shared["vit"]
    assert "sequence_length 256" in shared["lstm"]
    assert "model.layers" not in shared["vit"]
    assert "schedule.milestones [100.0, 150.0]" in shared["cnn"]
    every = tables["Every run"].set_index(["experiment", "seed"])
    own = every["own settings"]
    assert own["vit-a", 1] == "batch_size 16, optimizer.lr 0.001"
    assert own["vit-a", 2] == "batch_size 1234567, optimizer.lr 0.00012345678"  # every digit
    assert own["lstm-a", 42] == ""
    assert every.status["lstm-a", 42] == "diverged"
    assert every["started (UTC)"]["cnn-a", 42] == "2026-01-02 03:04"


def test_a_setting_that_only_some_runs_have_is_none_that_all_share(runs):
    rows = [a_run("vit-a"), a_run("vit-b", **{"model.norm": None}), a_run("vit-c")]
    tables = origin.tables(runs(*rows))
    assert "model.norm" not in tables["Settings that all runs of a family share"].settings[0]
    assert [*tables["Every run"]["own settings"]] == ["model.norm pre", "", "model.norm pre"]


def test_the_mode_of_every_run_is_told(runs):
    rows = runs(a_run("vit-a", deterministic=True), a_run("vit-b", deterministic=False))
    assert [*origin.tables(rows)["Every run"]["mode"]] == ["deterministic", "default"]
