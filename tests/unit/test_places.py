"""Where runs were made, in words, and which of several places counts."""

import json

import pandas as pd

from results import HERE, OTHER_MACHINE, a_run
from trainstudy import places

THERE = "Babbage 1, 8 cores, 1 thread"


def test_a_place_is_the_processor_with_cores_and_threads_or_the_gpu():
    runs = [
        a_run("vit-a"), a_run("vit-b", machine=OTHER_MACHINE, threads=4),
        a_run("vit-c", device="NVIDIA H100", threads=4),
    ]  # fmt: skip
    assert [*places.places(pd.DataFrame(runs))] == [
        HERE, "Babbage 1, 8 cores, 4 threads", "NVIDIA H100"
    ]  # fmt: skip
    assert [*places.machines(pd.DataFrame(runs))] == [
        "Abacus 9, 2 cores", "Babbage 1, 8 cores", "NVIDIA H100"
    ]  # fmt: skip


def test_a_run_that_moved_names_all_its_places():
    facts = json.loads(OTHER_MACHINE) | {"earlier parts": "Abacus 9, 1 thread; NVIDIA H100"}
    (place,) = places.places(pd.DataFrame([a_run("vit-a", machine=json.dumps(facts))]))
    assert place == ("Babbage 1, 8 cores (began on Abacus 9, 1 thread and NVIDIA H100), 1 thread")


def test_most_runs_decide_the_usual_place_then_most_experiments_then_the_name():
    there = {"machine": OTHER_MACHINE}
    runs = [a_run("vit-a"), a_run("vit-a", 43, **there), a_run("vit-a", 44, **there)]
    assert places.usual_places(pd.DataFrame(runs)).to_dict() == {"vit-a": THERE}
    tie = runs[:2]
    assert places.usual_places(pd.DataFrame(tie)).to_dict() == {"vit-a": HERE}
    tie.append(a_run("vit-b", **there))
    assert places.usual_places(pd.DataFrame(tie)).to_dict() == {"vit-a": THERE, "vit-b": THERE}
    runs.append(a_run("vit-b", **there))
    assert places.usual_places(pd.DataFrame(runs), main=HERE)["vit-a"] == HERE


def test_versions_of_the_code_are_counted_where_it_should_be_one():
    runs = [a_run("vit-a"), a_run("lstm-a", code="other")]
    assert not places.of_several_codes(pd.DataFrame(runs))
    runs.append(a_run("vit-b", code=None))  # it recorded its commit alone
    assert places.code_versions(pd.DataFrame(runs)).to_dict() == {
        ("lstm", "wikitext2"): 1, ("vit", "cifar10"): 2
    }  # fmt: skip
    assert places.of_several_codes(pd.DataFrame(runs))
