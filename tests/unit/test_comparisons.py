"""Which runs are compared: those that differ in one thing alone."""

import math

import pandas as pd

from results import a_run, frames
from trainstudy import comparisons


def runs_of(tmp_path, *runs: dict):
    return frames(tmp_path, list(runs)).runs


def vit(name: str, depth: int = 2, optimizer: str = "adamw", norm: str = "pre", epochs: int = 10):
    settings = {"model.depth": depth, "optimizer.name": optimizer, "model.norm": norm}
    settings["precision"] = "bf16"
    decay = {"optimizer.weight_decay": 0.0 if optimizer == "adam" else 5e-4}
    return a_run(f"vit-{name}", epochs=epochs, **settings, **decay)


STUDY = (
    vit("2-adam", optimizer="adam"), vit("2-adamw"), vit("2-sgd", optimizer="sgd"),
    vit("4-adamw", 4), vit("6-adamw", 6), vit("6-post", 6, norm="post"),
    vit("6-long", 6, epochs=25), vit("6-post-long", 6, norm="post", epochs=25),
    vit("6-longest", 6, epochs=50),
)  # fmt: skip


def test_optimizers_are_compared_where_nothing_else_differs(tmp_path):
    (one,) = comparisons.find(runs_of(tmp_path, *STUDY), "optimizers")
    assert one.experiments == ("vit-2-adam", "vit-2-adamw", "vit-2-sgd")
    assert one.family == "vit"
    assert one.title == "optimizers (2 layers, 10 epochs)"


def test_depths_are_in_order(tmp_path):
    (one,) = comparisons.find(runs_of(tmp_path, *STUDY), "depth")
    assert one.experiments == ("vit-2-adamw", "vit-4-adamw", "vit-6-adamw")
    assert one.title == "depth (adamw, 10 epochs)"


def test_norms_are_compared_at_each_budget(tmp_path):
    found = comparisons.find(runs_of(tmp_path, *STUDY), "norm")
    assert [{*one.experiments} for one in found] == [
        {"vit-6-adamw", "vit-6-post"},
        {"vit-6-long", "vit-6-post-long"},
    ]


def test_norms_stand_in_the_order_of_layers_and_learning_rates(tmp_path):
    runs = [
        vit(f"{depth}-{lr}-{norm}", depth, norm=norm) | {"optimizer.lr": lr}
        for depth, lr in ((12, 3e-3), (2, 3e-3), (2, 1e-3), (2, 3e-5))
        for norm in ("pre", "post")
    ]
    found = comparisons.find(runs_of(tmp_path, *runs), "norm")
    assert [one.title for one in found] == [
        "pre- and post-norm (2 layers, adamw, 10 epochs, lr 3e-05)",
        "pre- and post-norm (2 layers, adamw, 10 epochs, lr 0.001)",
        "pre- and post-norm (2 layers, adamw, 10 epochs, lr 0.003)",
        "pre- and post-norm (12 layers, adamw, 10 epochs, lr 0.003)",
    ]


def test_comparisons_with_one_title_say_in_what_their_runs_differ(tmp_path):
    others = [
        vit(f"{name}-fp32", optimizer=name) | {"precision": "fp32", "gradient_clipping": 1.0}
        for name in ("adamw", "sgd")
    ]
    found = comparisons.find(runs_of(tmp_path, *STUDY, *others), "optimizers")
    assert [(one.title, len(one.experiments)) for one in found] == [
        ("optimizers (2 layers, 10 epochs), gradient clipping 1, precision fp32", 2),
        ("optimizers (2 layers, 10 epochs), gradient clipping none, precision bf16", 3),
    ]


def test_a_name_in_a_title_has_its_owner(tmp_path):
    others = [
        vit(f"{name}-slow", optimizer=name) | {"schedule.name": "cosine"}
        for name in ("adamw", "sgd")
    ]
    plain = [run | {"schedule.name": "none"} for run in STUDY]
    found = comparisons.find(runs_of(tmp_path, *plain, *others), "optimizers")
    assert {one.title.partition("), ")[2] for one in found} == {"schedule cosine", "schedule none"}


def test_networks_may_differ_in_optimizer_and_schedule(tmp_path):
    runs = runs_of(
        tmp_path,
        a_run("cnn-a", **{"model.name": "resnet", "optimizer.name": "momentum"}),
        a_run("cnn-b", **{"model.name": "densenet"}),
        a_run("cnn-c", epochs=9, **{"model.name": "densenet"}),
    )
    (one,) = comparisons.find(runs, "networks")
    assert {*one.experiments} == {"cnn-a", "cnn-b"}


def test_families_and_data_sets_are_never_mixed(tmp_path):
    runs = runs_of(
        tmp_path, a_run("lstm-a"), a_run("lstm-b", dataset="pydocs", **{"optimizer.name": "sgd"})
    )
    assert comparisons.find(runs, "optimizers") == []
    assert comparisons.find(runs, "depth") == []
    assert [(one.title, one.experiments) for one in comparisons.panels(runs, "lstm")] == [
        ("all runs on pydocs", ("lstm-b",)),
        ("all runs on wikitext2", ("lstm-a",)),
    ]


def test_runs_from_before_a_setting_compare_with_those_that_leave_it_off(tmp_path):
    runs = runs_of(
        tmp_path,
        a_run("lstm-a"),
        a_run(
            "lstm-b",
            carry_state=False,
            compile=False,
            early_stopping=None,
            **{"optimizer.name": "sgd"},
        ),
        a_run("lstm-c", carry_state=True, **{"optimizer.name": "momentum"}),
        a_run("lstm-d", early_stopping=2, **{"optimizer.name": "adam"}),
    )
    runs["model.drop_path"] = pd.Series([None, math.nan, None, None], dtype=object)
    (one,) = comparisons.find(runs, "optimizers")
    assert one.experiments == ("lstm-a", "lstm-b")


def test_seeds_are_one_experiment(tmp_path):
    runs = runs_of(tmp_path, a_run("vit-a", 1), a_run("vit-a", 2))
    assert comparisons.find(runs, "optimizers") == []


def test_the_panels_of_a_family_show_every_run(tmp_path):
    runs = runs_of(tmp_path, *STUDY, a_run("lstm-a"))
    panels = comparisons.panels(runs, "vit")
    assert [one.question for one in panels] == ["optimizers", "depth", "norm", "norm", "others"]
    assert {name for one in panels for name in one.experiments} == {r["experiment"] for r in STUDY}
    assert panels[-1].experiments == ("vit-6-longest",)
    (alone,) = comparisons.panels(runs, "lstm")
    assert (alone.title, alone.experiments) == ("all runs", ("lstm-a",))
    assert comparisons.panels(runs, "cnn") == []
