"""What a part of the study lacks, and the command that adds it."""

import shlex
from pathlib import Path

import pytest
import yaml

from trainstudy import config, grids, missing

ROOT = Path(__file__).parents[2]
FULL = yaml.safe_load((ROOT / "config.yaml").read_text())
# The groups that are run unless others are asked for.
FULL["experiments"] = {
    name: one
    for name, one in grids.expanded(FULL["experiments"]).items()
    if config.setting(FULL | {"experiments": {name: one}}, name, "group") in FULL["select"]
}


def resolve(**changes: object) -> dict[str, dict]:
    file = ROOT / "config.yaml"
    return config.resolve(FULL | changes, [file], ROOT / "workflow" / "schemas")


def parts(*select: str, **given) -> dict[str | None, dict]:
    """Return what is missing by family, after a selection."""
    study = FULL | {"select": [*select]}
    found = missing.of(study, resolve(select=[*select]), **given)
    return {part["family"]: part for part in found}


def selected_by(command: str) -> set[str]:
    """Return the experiments that a command selects, by asking config.resolve."""
    (select,) = (word for word in shlex.split(command) if word.startswith("select="))
    return {*resolve(select=select.removeprefix("select=").strip("[]").split(","))}


def test_a_whole_study_lacks_nothing():
    assert missing.of(FULL, resolve()) == []


@pytest.mark.parametrize(
    "selection",
    [
        ["core"],
        ["cnn"],
        ["lstm-1-adam"],
        ["lstm-1-adam", "lstm-2-adamw", "cnn"],
        [name for name in FULL["experiments"] if name.startswith("lstm")],
        ["core", "longer", "cnn-resnet"],
    ],
)
def test_each_command_adds_what_it_is_for_and_keeps_what_is_there(selection):
    there = {*resolve(select=selection)}
    found = parts(*selection)
    assert (
        set().union(*(p["experiments"] for p in found.values())) == {*FULL["experiments"]} - there
    )
    for part in found.values():
        assert selected_by(part["command"]) == there | {*part["experiments"]}


def test_the_last_command_adds_everything_where_several_families_lack_something():
    found = parts("lstm-1-adam")
    assert [*found] == ["cnn", "lstm", "vit", None]
    assert len(found[None]["experiments"]) == 23
    assert selected_by(found[None]["command"]) == {*FULL["experiments"]}
    assert found[None]["command"].endswith("'select=[core,longer,cnn]'")
    assert [*parts("core", "longer")] == ["cnn"]


def test_files_and_settings_that_were_given_are_given_again():
    given = {"files": ["config/demo.yaml", "my own.yaml"], "typed": ["mirror=/a b", "select=[cnn]"]}
    (part,) = parts("core", "longer", **given).values()
    assert shlex.split(part["command"]) == [
        "snakemake", "--cores", "4", "--configfile", "config/demo.yaml", "my own.yaml",
        "--config", "mirror=/a b", "select=[core,longer,cnn]",
    ]  # fmt: skip


def test_a_run_is_repeated_with_what_was_given_whether_or_not_it_is_selected():
    given = {"files": ["config/demo.yaml"], "typed": ["mirror=/a b", "select=[cnn]"]}
    words = shlex.split(missing.repeating("demo", **given))
    assert words == [
        "snakemake", "--cores", "1", "--configfile", "config/demo.yaml", "--config", "mirror=/a b",
        "select=[EXPERIMENT]", "--", "results/demo/runs/EXPERIMENT/SEED/run.parquet",
    ]  # fmt: skip
    kept = missing.repeating("reference-full", kept=Path("reference/full"))
    assert kept == (
        "snakemake --cores 1 --config study=full 'select=[EXPERIMENT]' -- "
        "results/full/runs/EXPERIMENT/SEED/run.parquet"
    )
    assert missing.repeating("reference-full", kept=Path("/data/full")) is None


def test_no_password_of_a_mirror_is_told():
    typed = ["mirror=https://me:secret@mirror.example:8080/a@b"]
    for command in (
        missing.repeating("full", typed=typed),
        parts("core", "longer", typed=typed)["cnn"]["command"],
    ):
        assert "mirror=https://mirror.example:8080/a@b" in command
        assert "secret" not in command


def test_members_of_a_grid_are_missing_and_added_like_experiments_written_out():
    tuned = {"base": "vit", "group": "tuned", "grid": {"optimizer.lr": [0.1, 0.3], "epochs": [2]}}
    experiments = FULL["experiments"] | {"vit-tuned": tuned}
    select = ["core", "longer", "cnn", "vit-tuned-lr-3e-1-epochs-2"]
    there = resolve(experiments=experiments, select=select)
    assert len(there) == 25
    study = FULL | {"experiments": grids.expanded(experiments)}
    (part,) = missing.of(study, there)
    assert (part["family"], part["experiments"]) == ("vit", ["vit-tuned-lr-1e-1-epochs-2"])
    (select,) = (word for word in shlex.split(part["command"]) if word.startswith("select="))
    assert select == "select=[core,longer,cnn,tuned]"
    (lacking, *_) = missing.of(study, resolve(experiments=experiments, select=["vit-tuned"]))
    assert lacking["command"].endswith("'select=[cnn,tuned]'")


def test_what_is_kept_is_not_trained_again():
    (part,) = missing.of(FULL, resolve(select=["core", "longer"]), kept=Path("reference/full/"))
    assert part["command"] == (
        "snakemake --cores 4 --config study=full 'seeds=[42]' 'select=[cnn]' && make keep KEPT=full"
    )


def test_to_what_is_kept_a_run_of_its_first_seed_is_added():
    there = resolve(select=["core", "longer"])
    (part,) = missing.of(FULL | {"seeds": [44, 43]}, there, kept=Path("reference/mine"))
    assert "study=mine 'seeds=[43]' 'select=[cnn]'" in part["command"]


@pytest.mark.parametrize("folder", ["results/full", "/data/reference/full", "full"])
def test_nothing_is_added_to_what_another_study_made(folder):
    (part,) = missing.of(FULL, resolve(select=["core", "longer"]), kept=Path(folder))
    assert part["experiments"]
    assert part["command"] is None
