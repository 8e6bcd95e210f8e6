"""What does not fit together in the settings of a run, or does nothing."""

import pytest
import yaml

from trainstudy import data, misfits


@pytest.mark.parametrize(
    ("shape", "changed", "key", "said"),
    [
        ((3, 32, 48), "", "dataset", "images of 32 × 48 pixels are not square"),
        ((3, 4, 4), "", "model.name", "halves images three times, and these have 4 pixels"),
        ((3, 8, 8), "batch_size: 1", "batch_size", "leaves one pixel of these images"),
        ((3, 8, 8), "batch_size: 2", None, None),
    ],
)
def test_images_that_a_network_cannot_take_are_refused(monkeypatch, shape, changed, key, said):
    monkeypatch.setattr(data.find("cifar10"), "SHAPE", shape)
    run = misfits.of(
        yaml.safe_load("{dataset: cifar10, family: cnn, model: {name: densenet}, epochs: 9, "
                       "batch_size: 128, early_stopping: null, schedule: {name: none, "
                       f"warmup_epochs: 0, milestones: []}}{', ' * bool(changed)}{changed}}}")
    )  # fmt: skip
    assert [".".join(path) for path, _ in run] == ([key] if key else [])
    assert all(said in message for _, message in run)


RUN = {
    "epochs": 15,
    "schedule": {"name": "none", "milestones": [], "gamma": 0.1},
    "optimizer": {"name": "adamw", "momentum": 0.9},
}


@pytest.mark.parametrize(
    ("own", "key"),
    [
        ("{schedule: {milestones: [5, 10]}}", "schedule.milestones"),
        ("{schedule: {name: cosine, gamma: 0.5}}", "schedule.gamma"),
        ("{epochs: 15, schedule: {name: step, milestones: [100, 50]}}", "schedule.milestones"),
        ("{epochs: 15, schedule: {name: step, milestones: [15]}}", "schedule.milestones"),
        ("{epochs: 15, schedule: {name: step, milestones: [14, 100]}}", None),
        ("{schedule: {name: step, milestones: [100, 50]}}", None),  # an overlay has fewer epochs
        ("{schedule: {name: none, milestones: []}}", None),
        ("{optimizer: {momentum: 0.5}}", "optimizer.momentum"),
        ("{optimizer: {momentum: 0.0}}", None),
        ("{optimizer: {name: momentum, momentum: 0.5}}", None),
        ("{}", None),
    ],
)
def test_what_an_experiment_sets_to_no_effect_is_named(own, key):
    own = yaml.safe_load(own)
    parts = {name: RUN[name] | own[name] for name in own if name != "epochs"}
    run = RUN | own | parts
    assert [".".join(path) for path, _ in misfits.idle(own, run)] == ([key] if key else [])


def test_what_a_base_sets_may_wait_for_another_experiment():
    run = RUN | {"schedule": {"name": "none", "milestones": [100, 150], "gamma": 0.1}}
    assert misfits.idle({"epochs": 10}, run) == []
