"""What is read of the results, and what of it counts."""

import pandas as pd
import pyarrow.parquet as pq
import pytest

from results import OTHER_MACHINE, a_run, curve, frames, published, sizes
from trainstudy import records, results
from trainstudy.files import DataError


@pytest.fixture
def files(tmp_path):
    """Return the files of a study of three runs."""
    runs = [a_run("lstm-a", 42), a_run("vit-a", 42), a_run("vit-a", 43)]
    metrics = [row for run in runs for row in curve(run, "validation", "loss", 2.0, 1.0)]
    known = {name: frame.to_dict("records") for name, frame in sizes(runs).items()}
    for name, rows in ({"runs": runs, "metrics": metrics} | known).items():
        records.write(rows, records.SCHEMAS[name], tmp_path / f"{name}.parquet")
    published().to_csv(tmp_path / "published.csv")
    return {file.stem: str(file) for file in tmp_path.iterdir()}


def test_only_the_selected_runs_of_an_earlier_study_are_read(files):
    everything = results.read(files, ["lstm-a", "vit-a", "vit-b"], [42, 43], {})
    assert [len(everything.runs), len(everything.metrics), len(everything.predicted)] == [3, 6, 2]
    some = results.read(files, ["vit-a"], [43], {})
    for rows in (some.runs, some.metrics):
        assert set(zip(rows.experiment, rows.seed, strict=True)) == {("vit-a", 43)}
    assert list(some.predicted.experiment) == ["vit-a"]


def test_columns_that_came_later_are_empty_in_an_earlier_study(files):
    pq.write_table(pq.read_table(files["runs"]).drop_columns(["code"]), files["runs"])
    assert results.read(files, ["vit-a"], [42], {}).runs.code.isna().all()


def test_a_study_of_another_release_is_refused(files):
    pq.write_table(pq.read_table(files["runs"]).drop_columns(["seed"]), files["runs"])
    with pytest.raises(DataError, match=r"runs\.parquet is of another release: .* lacks seed"):
        results.read(files, ["vit-a"], [42], {})


@pytest.mark.parametrize(("experiments", "seeds"), [(["vit-b"], [42]), (["vit-a"], [1])])
def test_a_selection_of_which_nothing_is_there_is_refused(files, experiments, seeds):
    with pytest.raises(DataError, match=r"runs\.parquet; .* lstm-a, vit-a; seeds 42, 43"):
        results.read(files, experiments, seeds, {})


def test_diverged_runs_count_only_where_no_other_finished():
    runs = pd.DataFrame(
        [
            ("vit-a", "finished"), ("vit-a", "diverged"), ("vit-a", "finished"),
            ("vit-b", "diverged"), ("vit-b", "diverged"),
        ],
        columns=["experiment", "status"],
    )  # fmt: skip
    assert list(results.finished(runs).index) == [0, 2, 3, 4]


def test_the_last_score_is_that_of_the_last_epoch_even_if_it_is_no_number(tmp_path):
    run = a_run("vit-a")
    metrics = curve(run, "validation", "loss", 2.0, float("nan"))
    found = frames(tmp_path, [run], metrics).scores("validation", "loss")
    assert found.index.tolist() == [("vit-a", 42)]
    assert found.isna().all()


@pytest.mark.parametrize("out", [{"gpu_shared": True}, {"status": "diverged"}])
def test_runs_that_do_not_count_decide_no_place(tmp_path, out):
    runs = [
        a_run("vit-a", 1, **out), a_run("vit-a", 2, machine=OTHER_MACHINE), a_run("vit-b", 1),
        a_run("vit-c", 1),
    ]  # fmt: skip
    seconds = frames(tmp_path, runs).undisturbed.set_index(["experiment", "seed"]).seconds_total
    assert seconds["vit-a"].dropna().index.tolist() == [2]


def test_costs_of_an_experiment_are_those_of_one_place(tmp_path):
    """Of the place where most of its runs were made, of equals that of most experiments."""
    other = {"machine": OTHER_MACHINE, "seconds_total": 99.0}
    runs = [
        a_run("vit-a", 1), a_run("vit-a", 2, **other), a_run("vit-a", 3, **other),
        a_run("vit-b", 1), a_run("vit-b", 2, **other),
        a_run("vit-c", 1), a_run("vit-d", 1, threads=2),
    ]  # fmt: skip
    metrics = [row for run in runs for row in curve(run, "validation", "accuracy", 0.5)]
    found = frames(tmp_path, runs, metrics)
    seconds = found.undisturbed.set_index(["experiment", "seed"]).seconds_total.dropna()
    expected = {("vit-a", 2), ("vit-a", 3), ("vit-b", 1), ("vit-c", 1), ("vit-d", 1)}
    assert set(seconds.index) == expected
    assert set(seconds["vit-a"]) == {99.0}
    # Beside three others most were made at the first place, beside one at the second as well.
    for names, expected in (
        (["vit-a", "vit-b", "vit-c", "vit-d"], {("vit-a", 1), ("vit-b", 1), ("vit-c", 1)}),
        (["vit-a", "vit-b"], {("vit-a", 2), ("vit-a", 3), ("vit-b", 2)}),
    ):
        timed = found.curves(names).dropna(subset="seconds")
        assert {*timed.experiment} == {*names}
        seeds = {*zip(timed.experiment, timed.seed, strict=True)}
        assert seeds - {("vit-d", 1)} == expected
        known = found.timed(names)
        assert {*zip(known.experiment, known.seed, strict=True)} == seeds


def test_scores_after_a_time_are_of_a_place_where_runs_last_so_long(tmp_path):
    quick = {"machine": OTHER_MACHINE}
    runs = [a_run("vit-a", 1), *(a_run("vit-a", seed, **quick) for seed in (2, 3))]
    accuracies = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    metrics = curve(runs[0], "validation", "accuracy", *accuracies)
    metrics += [row for run in runs[1:] for row in curve(run, "validation", "accuracy", 0.8, 0.9)]
    facts = frames(tmp_path, runs, metrics).facts.set_index("seed")
    assert facts[results.after("accuracy", 60)].dropna().to_dict() == {1: 0.6}
    assert facts.seconds_total.dropna().index.tolist() == [2, 3]


def test_what_is_compared_has_its_costs_of_one_place_as_far_as_there_is_one(tmp_path):
    """Of the place of most experiments, though most runs of one of them were made elsewhere."""
    gpu = {"machine": OTHER_MACHINE, "seconds_total": 1.0, "memory_process": 2**30}
    runs = [
        a_run("vit-a", 1), *(a_run("vit-a", seed, **gpu) for seed in (2, 3)),
        a_run("vit-b", 1), a_run("vit-b", 2, **gpu), a_run("vit-c", 1), a_run("vit-d", 1, **gpu),
    ]  # fmt: skip
    found = frames(tmp_path, runs)

    def counted(*names: str, cost: str) -> set[tuple[str, int]]:
        rows = found.side_by_side(names, cost).dropna(subset="seconds_total")
        return set(zip(rows.experiment, rows.seed, strict=True))

    three = ("vit-a", "vit-b", "vit-c")
    assert counted(*three, cost="seconds_total") == {("vit-a", 1), ("vit-b", 1), ("vit-c", 1)}
    assert counted("vit-a", "vit-b", cost="seconds_total") == {  # both places: that of most runs
        ("vit-a", 2), ("vit-a", 3), ("vit-b", 2),
    }  # fmt: skip
    process = found.side_by_side(("vit-b", "vit-c"), "memory_process").dropna(
        subset="memory_process"
    )
    assert list(zip(process.experiment, process.seed, strict=True)) == [("vit-b", 2)]
    assert counted("vit-c", "vit-d", cost="seconds_total") == {("vit-c", 1), ("vit-d", 1)}
    usual = found.undisturbed.dropna(subset="seconds_total")
    assert set(usual[usual.experiment == "vit-a"].seed) == {2, 3}


def test_of_equal_places_costs_are_of_that_with_most_experiments_of_the_study(tmp_path):
    places = {1: {}, 2: {"machine": OTHER_MACHINE}}
    pair = [a_run(name, seed, **places[seed]) for name in ("vit-a", "vit-b") for seed in places]
    elsewhere = [a_run(f"vit-{letter}", machine=OTHER_MACHINE) for letter in "cd"]
    for extra, seed in (([], 1), (elsewhere, 2)):
        found = frames(tmp_path, [*pair, *extra])
        assert {*found.compared(["vit-a", "vit-b"], "seconds_total").seed} == {seed}
