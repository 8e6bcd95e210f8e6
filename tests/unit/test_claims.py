"""Claims on results made by hand: supported, contradicted, undecided, and why."""

from pathlib import Path

import pandas as pd
import pytest
import yaml
from scipy import stats

from results import a_run, curve, frames
from trainstudy import claims, config, grids, records, tables
from trainstudy.results import Results

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "workflow/schemas/claims.yaml"
DECLARED = config.checked(ROOT / "report/claims.yaml", SCHEMA)["claims"]
ACCURACY = "validation_accuracy_last"


def claim(**facts: object) -> dict:
    base = {"says": "A sentence.", "reports": ["A"], "of": ACCURACY, "runs": ["vit-a"]}
    return base | {"are": "greater", "than": ["vit-b"]} | facts


def study(tmp_path, **values: object) -> Results:
    """Return results in which run vit-<letter> has the given accuracies, one for each seed."""
    runs = [
        a_run(f"vit-{letter}", seed, **{ACCURACY: value})
        for letter, seeds in values.items()
        for seed, value in enumerate(seeds)
    ]
    return frames(tmp_path, runs)


def decide(tmp_path, one: dict, **values: object) -> claims.Verdict:
    return claims.evaluate(one, study(tmp_path, **values))


# One seed


@pytest.mark.parametrize(
    ("value", "verdict"),
    [(0.66, "supported"), (0.54, "contradicted"), (0.604, "undecided"), (0.596, "undecided")],
)
def test_one_seed_is_decided_beyond_the_margin(tmp_path, value, verdict):
    found = decide(tmp_path, claim(margin=0.005), a=[value], b=[0.6])
    assert found.verdict == verdict
    assert f"vit-a {100 * value:.2f} %, vit-b 60.00 % (one seed, no interval)." in found.numbers


def test_a_claimed_lead_has_to_be_reached(tmp_path):
    leads = claim(by=0.2)
    assert decide(tmp_path, leads, a=[0.85], b=[0.6]).verdict == "supported"
    assert decide(tmp_path, leads, a=[0.75], b=[0.6]).verdict == "contradicted"
    falls = claim(by=0.2, are="less")
    assert decide(tmp_path, falls, a=[0.35], b=[0.6]).verdict == "supported"
    assert decide(tmp_path, falls, a=[0.45], b=[0.6]).verdict == "contradicted"


def test_a_margin_may_be_a_share_of_the_second_value(tmp_path):
    one = claim(margin="10 %")
    assert decide(tmp_path, one, a=[0.56], b=[0.5]).verdict == "supported"
    assert decide(tmp_path, one, a=[0.54], b=[0.5]).verdict == "undecided"


# Several seeds


def test_the_interval_of_the_difference_decides(tmp_path):
    narrow, wide = [0.700, 0.701, 0.702], [0.60, 0.70, 0.80]
    assert decide(tmp_path, claim(), a=narrow, b=[0.600, 0.601, 0.602]).verdict == "supported"
    assert decide(tmp_path, claim(), a=[0.600, 0.601, 0.602], b=narrow).verdict == "contradicted"
    found = decide(tmp_path, claim(), a=wide, b=[0.60, 0.65, 0.70])
    assert found.verdict == "undecided"
    low, high = stats.ttest_ind(wide, [0.60, 0.65, 0.70], equal_var=False).confidence_interval()
    assert f"difference {100 * low:+.2f} % to {100 * high:+.2f} %" in found.numbers


def test_a_number_is_compared_with_the_interval_of_the_mean(tmp_path):
    level = claim(than=0.7)
    assert decide(tmp_path, level, a=[0.80, 0.81, 0.82]).verdict == "supported"
    assert decide(tmp_path, level, a=[0.60, 0.61, 0.62]).verdict == "contradicted"
    assert decide(tmp_path, level, a=[0.60, 0.71, 0.82]).verdict == "undecided"


# Orders and equality


def test_an_order_holds_when_every_step_does(tmp_path):
    rising = claim(runs=["vit-a", "vit-b", "vit-c"], are="increasing", margin=0.01)
    del rising["than"]
    assert decide(tmp_path, rising, a=[0.5], b=[0.6], c=[0.7]).verdict == "supported"
    assert decide(tmp_path, rising, a=[0.5], b=[0.6], c=[0.605]).verdict == "undecided"
    found = decide(tmp_path, rising, a=[0.5], b=[0.6], c=[0.4])
    assert found.verdict == "contradicted"
    assert "vit-c 40.00 %, vit-b 60.00 %" in found.numbers
    assert "vit-a" not in found.numbers  # that step did not contradict
    falling = rising | {"are": "decreasing"}
    assert decide(tmp_path, falling, a=[0.7], b=[0.6], c=[0.5]).verdict == "supported"
    assert decide(tmp_path, falling, a=[0.5], b=[0.6], c=[0.7]).verdict == "contradicted"


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ({"a": [0.770], "b": [0.775]}, "supported"),
        ({"a": [0.770], "b": [0.790]}, "contradicted"),
        ({"a": [0.770, 0.771, 0.772], "b": [0.773, 0.774, 0.775]}, "supported"),
        ({"a": [0.770, 0.771, 0.772], "b": [0.70, 0.78, 0.84]}, "undecided"),
    ],
)
def test_equal_means_within_the_margin(tmp_path, values, verdict):
    same = claim(runs=["vit-a", "vit-b"], are="equal", margin=0.01)
    del same["than"]
    assert decide(tmp_path, same, **values).verdict == verdict


def test_of_many_comparisons_all_have_to_hold_and_the_closest_is_told(tmp_path):
    ahead = claim(runs=["vit-a", "vit-b"], than=["vit-c", "vit-d"])
    found = decide(tmp_path, ahead, a=[0.9], b=[0.8], c=[0.5], d=[0.7])
    assert found.verdict == "supported"
    assert found.numbers.startswith("Closest of 4: vit-b 80.00 %, vit-d 70.00 %")
    assert decide(tmp_path, ahead, a=[0.9], b=[0.6], c=[0.5], d=[0.7]).verdict == "contradicted"


# What is missing


def test_a_run_that_is_missing_leaves_a_claim_open_and_is_named(tmp_path):
    found = decide(tmp_path, claim(), a=[0.9])
    assert found == claims.Verdict("undecided", "not run: vit-b.", "cifar10")
    assert decide(tmp_path, claim(runs=["vit-x"], than=["vit-y"]), a=[0.9]).data == "–"


def test_what_runs_there_are_may_contradict_all_the_same(tmp_path):
    ahead = claim(than=["vit-b", "vit-c"])
    assert decide(tmp_path, ahead, a=[0.5], b=[0.9]).verdict == "contradicted"
    assert decide(tmp_path, ahead, a=[0.9], b=[0.5]).verdict == "undecided"


def test_a_figure_that_was_not_measured_leaves_a_claim_open(tmp_path):
    found = decide(tmp_path, claim(of="memory_process"), a=[0.9], b=[0.5])
    assert found.verdict == "undecided"
    assert found.numbers == "no memory process was measured of vit-a, vit-b."


def test_the_first_quantity_that_every_run_has_is_compared(tmp_path):
    runs = [
        a_run("vit-a", memory_allocated=3 * 2**20, memory_process=4 * 2**20),
        a_run("vit-b", memory_allocated=2 * 2**20),
    ]
    more = claim(of=["memory_process", "memory_allocated"])
    found = claims.evaluate(more, frames(tmp_path, runs))
    assert found.verdict == "supported"
    assert "vit-a 3 MiB, vit-b 2 MiB" in found.numbers


def test_predicted_memory_and_over_fitting_can_be_claimed(tmp_path):
    runs = [a_run("vit-a"), a_run("vit-b")]
    rows = [
        row
        for run, last in zip(runs, (2.5, 2.0), strict=True)
        for split, values in (("train", (2, 1)), ("validation", (2.0, last)))
        for row in curve(run, split, "loss", *values)
    ]
    predicted = pd.DataFrame({"experiment": ["vit-a", "vit-b"], "total": [2**21, 2**20]})
    results = frames(tmp_path, runs, rows, predicted=predicted)
    assert claims.evaluate(claim(of="memory_predicted"), results).verdict == "supported"
    risen = claims.evaluate(claim(of="rise", than=0.02), results)
    assert (risen.verdict, "vit-a 25.00 %, 2.00 %" in risen.numbers) == ("supported", True)


def test_other_data_than_those_of_the_reports_decide_nothing_and_say_what_they_would(tmp_path):
    runs = [
        a_run(f"vit-{letter}", dataset="digits", **{ACCURACY: value})
        for letter, value in (("a", 0.9), ("b", 0.5))
    ]
    found = claims.evaluate(claim(), frames(tmp_path, runs))
    assert found.verdict == "undecided"
    assert found.data == "digits"
    assert "measured on digits, which no report used; there it would be supported:" in found.numbers


# The declared claims


def test_the_table_has_a_row_for_each_claim(tmp_path):
    results = frames(tmp_path, [a_run("vit-2-adamw")], claims=DECLARED)
    table = tables.build("claims", results)
    assert list(table.claim) == list(DECLARED)
    assert set(table.verdict) == {"undecided"}
    assert len(table) >= 20
    assert {"A", "B", "A and B", ""} == set(table.report)


@pytest.mark.parametrize("report", ["A", "B"])
def test_no_report_is_contradicted_by_its_own_figures(tmp_path, report):
    """The sentences say what the published figures say, not more."""
    published = pd.read_csv(ROOT / "resources/published.csv")
    columns = {"seconds_per_epoch": "seconds_training", "gpu_memory": "memory_process"}
    runs: dict[str, dict] = {}
    for row in published[published.report == report].itertuples():
        facts = runs.setdefault(row.experiment, {})
        if row.metric in columns:
            facts[columns[row.metric]] = (
                int(row.value) * 2**20 if row.metric == "gpu_memory" else row.value
            )
        elif row.metric == "parameters":
            facts["parameters_trained"] = int(row.value)
        else:
            for epoch in ("last", "best"):
                facts[f"{row.split}_{row.metric}_{epoch}"] = row.value
    rows = [
        row
        for name, facts in runs.items()
        for split in ("train", "validation")
        if f"{split}_loss_last" in facts
        for row in curve(a_run(name), split, "loss", facts[f"{split}_loss_last"])
    ]
    if "vit-2-adam" in runs:  # "every 2-layer ViT"
        runs["vit-2-adamw"]["parameters_trained"] = 1_086_730
    results = frames(tmp_path, [a_run(name, **facts) for name, facts in runs.items()], rows)
    own = {name: one for name, one in DECLARED.items() if report in one.get("reports", [])}
    verdicts = {name: claims.evaluate(one, results).verdict for name, one in own.items()}
    assert "contradicted" not in verdicts.values(), verdicts
    assert list(verdicts.values()).count("supported") >= len(own) - 7, verdicts


def test_the_experiments_that_claims_name_are_those_of_the_study():
    written = yaml.safe_load((ROOT / "config.yaml").read_text())["experiments"]
    declared = grids.expanded(written)
    for one in DECLARED.values():
        than = one.get("than", [])
        assert {*one["runs"], *(than if isinstance(than, list) else [])} <= {*declared}


def test_every_quantity_of_the_schema_is_there(tmp_path):
    quantities = yaml.safe_load(SCHEMA.read_text())["$defs"]["quantity"]["enum"]
    rows = [
        row for s in ("train", "validation") for row in curve(a_run("vit-a"), s, "loss", 2.0, 1.0)
    ]
    facts = frames(tmp_path, [a_run("vit-a")], rows).facts
    assert {*quantities} <= {*facts.columns}
    assert {*records.SCORES} <= {*quantities}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"of": "validation_acuracy_last"}, "Did you mean 'validation_accuracy_last'?"),
        ({"of": ["validation_acuracy_last"]}, "Did you mean 'validation_accuracy_last'?"),
        ({"are": "bigger"}, "'bigger' is not possible. Possible: decreasing, equal, greater"),
        ({"report": ["A"]}, "unknown key. Did you mean 'reports'?"),
        ({"than": None}, "claims.mine"),
        ({"are": "equal"}, "the key 'margin' is missing"),
        ({"are": "increasing", "runs": ["vit-a", "vit-b"]}, "no meaning beside the others"),
        ({"margin": "two percent"}, "claims.mine.margin"),
        ({"reports": []}, "claims.mine.reports"),
    ],
)
def test_a_mistake_in_the_file_is_explained_with_its_place(tmp_path, change, message):
    file = tmp_path / "claims.yaml"
    file.write_text(yaml.safe_dump({"claims": {"mine": claim(**change)}}))
    with pytest.raises(config.ConfigError) as caught:
        config.checked(file, SCHEMA)
    assert message in str(caught.value)
    assert "claims.yaml, line" in str(caught.value)


def test_what_greater_needs_is_asked_for(tmp_path):
    file = tmp_path / "claims.yaml"
    one = claim()
    del one["than"]
    file.write_text(yaml.safe_dump({"claims": {"mine": one}}))
    with pytest.raises(config.ConfigError, match="the key 'than' is missing"):
        config.checked(file, SCHEMA)
