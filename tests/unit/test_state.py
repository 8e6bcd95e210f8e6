"""A run that is interrupted, wherever, ends as one that never was."""

import os
import signal
import time
from pathlib import Path

import pytest
import torch

from tiny import AUGMENTATION, FIXED, MODELS, settings, sgd, start, timeless
from trainstudy import cores, memory, nvml, provenance, trainer
from trainstudy.checkpoint import Checkpoints, Interrupted
from trainstudy.state import Outcome, State
from trainstudy.trainer import fit

MOMENTUM = {"name": "momentum", "lr": 0.05, "weight_decay": 5e-4, "momentum": 0.9}
ADAM = {"name": "adam", "lr": 0.01, "weight_decay": 0.0, "momentum": 0.9}
COSINE = FIXED | {"name": "cosine", "warmup_epochs": 0.5}
STEP = FIXED | {"name": "step", "milestones": [1, 2]}
DROPOUT = {"dropout": 0.2}
CASES = {
    "vit": {"model": MODELS["vit"][1] | DROPOUT, "schedule": COSINE},
    "vit-adam-bf16": {"optimizer": ADAM, "precision": "bf16"},
    "vit-deep": {"model": MODELS["vit"][1] | {"depth": 3, "norm": "post", "drop_path": 0.4}},
    "lstm": {"model": MODELS["lstm"][1] | DROPOUT | {"layers": 2}, "schedule": COSINE},
    "lstm-sgd": {"optimizer": sgd(0.05), "gradient_clipping": 0.1, "label_smoothing": 0.1},
    "lstm-carried": {"carry_state": True, "model": MODELS["lstm"][1] | DROPOUT | {"layers": 2}},
    "lstm-carried-bf16": {"carry_state": True, "precision": "bf16"},
    # The rate vanishes after the first epoch, and with it all improvement.
    "vit-stopped": {
        "schedule": FIXED | {"name": "step", "milestones": [1], "gamma": 1e-30},
        "optimizer": sgd(0.05),
        "epochs": 6,
        "early_stopping": 2,
    },
    "vit-mixed": {"augmentation": AUGMENTATION | {"mixup": 0.4, "cutmix": 1.0}},
    "googlenet": {"schedule": STEP},
    "resnet": {"optimizer": MOMENTUM, "schedule": STEP},
    "resnet-preact": {"optimizer": MOMENTUM},
    "densenet": {"epochs": 2},
}


def case(name: str) -> dict:
    family = name if name in MODELS else name.split("-")[0]
    return settings(family, **CASES[name])


class OneStep(Checkpoints):
    """Stops after every step, and at the end of every epoch."""

    def due(self, between_epochs: bool = False) -> bool:
        self.stopping = True
        return True

    def save(self, *saved) -> None:
        self.stopping = True
        super().save(*saved)


def part(chosen: dict, folder: Path, kind: type[Checkpoints] = Checkpoints, **changes) -> Outcome:
    """Go on with a run in what might be a new process: nothing is left but the folder."""
    task, model = start(chosen)
    for name, value in changes.items():
        setattr(task, name, value(task))
    torch.manual_seed(time.time_ns())
    with kind(folder, {}, seconds=600) as checkpoints:
        return fit(task, model, chosen, checkpoints)


def in_parts(chosen: dict, folder: Path, kind: type[Checkpoints]) -> Outcome:
    for _ in range(500):
        try:
            return part(chosen, folder, kind)
        except Interrupted:
            continue
    raise AssertionError("it never ends")


def assert_equal(one: Outcome, other: Outcome) -> None:
    assert timeless(one) == timeless(other)
    assert (one.best_epoch, one.best_score) == (other.best_epoch, other.best_score)
    assert one.weights.keys() == other.weights.keys()
    assert all(torch.equal(one.weights[key], other.weights[key]) for key in one.weights)


@pytest.mark.parametrize("name", CASES)
def test_a_run_stopped_after_every_step_ends_as_one_that_was_not(name, tmp_path):
    chosen = case(name)
    task, model = start(chosen)
    whole = fit(task, model, chosen)
    parts = in_parts(chosen, tmp_path, OneStep)
    assert_equal(parts, whole)
    # After every step, and again after the evaluation that ends an epoch.
    epochs = max(row["epoch"] for row in whole.rows)
    assert parts.resumes == epochs * (task.steps + 1)
    assert whole.resumes == 0
    assert (epochs < chosen["epochs"]) == ("stopped" in name)


@pytest.mark.parametrize("name", ["vit", "lstm"])
@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_signal_during_an_evaluation_ends_it_and_the_run_goes_on_with_it(name, split, tmp_path):
    chosen = case(name)
    whole = fit(*start(chosen), chosen)
    asked = []

    def interrupting(task):
        evaluate = type(task).evaluate

        def evaluated(model, asked_split):
            if asked_split == split:
                asked.append(split)
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(60)
                pytest.fail("the signal did not end it")
            return evaluate(task, model, asked_split)

        return evaluated

    with pytest.raises(Interrupted):
        part(chosen, tmp_path, evaluate=interrupting)
    assert len(asked) == 1
    trained = []
    outcome = part(chosen, tmp_path, loss=lambda t: counting(t, trained))
    assert_equal(outcome, whole)
    assert outcome.resumes == 1
    # No step of training was repeated.
    task, _ = start(chosen)
    left = 2 * task.steps if split == "validation" else 0
    assert len(trained) == left


def counting(task, trained: list):
    def loss(model, batch):
        if model.training:
            trained.append(batch)
        return type(task).loss(task, model, batch)

    return loss


def test_a_run_that_diverges_does_so_at_the_same_step_when_it_is_taken_up_again(tmp_path):
    steep = FIXED | {"name": "step", "milestones": [1], "gamma": 1e32}
    chosen = settings("lstm", optimizer=sgd(0.01), schedule=steep)
    whole = fit(*start(chosen), chosen)
    assert whole.diverged_step is not None
    parts = in_parts(chosen, tmp_path, OneStep)
    assert parts.diverged_step == whole.diverged_step
    assert_equal(parts, whole)


def test_times_add_up_over_the_parts_and_leave_out_what_lies_between_them(tmp_path, monkeypatch):
    """Ten seconds a step and one an evaluation, of which 500 are tried and interrupted first."""
    now, waited, tried = [0.0], [0.0], []
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(cores, "waited", lambda: waited[0])
    monkeypatch.setattr(trainer.compilation, "compiled", lambda model: model)
    monkeypatch.setattr(trainer, "try_batches", lambda task, learner: 5.0)

    def stepping(task):
        def loss(model, batch):
            now[0], waited[0] = now[0] + 10 * model.training, waited[0] + 2 * model.training
            return type(task).loss(task, model, batch)

        return loss

    def interrupted_once(task):
        def evaluate(model, split):
            tried.append(split)
            if tried.count(split) == 1:
                now[0] += 500
                os.kill(os.getpid(), signal.SIGTERM)
            now[0] += 1
            return type(task).evaluate(task, model, split)

        return evaluate

    chosen, parts = settings("vit", epochs=2, compile=True), 0
    while True:
        parts += 1
        try:
            outcome = part(chosen, tmp_path, OneStep, loss=stepping, evaluate=interrupted_once)
            break
        except Interrupted:
            now[0], waited[0] = now[0] + 1_000, waited[0] + 99  # dead
    steps = start(chosen)[0].steps
    tests = len({2, outcome.best_epoch})
    spent = [(r["epoch"], r["split"], r["value"]) for r in outcome.rows if r["metric"] == "seconds"]
    assert spent[:4] == [
        (epoch, split, value)
        for epoch in (1, 2)
        for split, value in (("train", 10 * steps), ("validation", 501 if epoch == 1 else 1))
    ]
    assert outcome.seconds == 2 * (10 * steps + 1) + 500 + tests
    assert outcome.waited == 2 * 2 * steps
    assert outcome.seconds_compiling == 5 * (parts - 1)  # one was stopped in its tests: all is lost


def test_the_start_and_the_peaks_of_memory_are_those_of_all_parts(tmp_path, monkeypatch):
    chosen = settings("vit", epochs=2)
    monkeypatch.setattr(memory, "standing", lambda device: {"memory_resident": 10**15})
    task, model = start(chosen)
    first = State(task, model, chosen)
    first.outcome.started = "2000-01-01T00:00:00+00:00"
    with Checkpoints(tmp_path, {}, 600) as checkpoints:
        checkpoints.save(*first.capture())
    monkeypatch.undo()
    outcome = part(chosen, tmp_path)
    assert outcome.started == "2000-01-01T00:00:00+00:00"
    assert outcome.memory["memory_resident"] == 10**15
    assert outcome.memory["memory_allocated"] is None


def test_the_energy_is_that_of_all_parts_and_not_of_the_time_between(tmp_path, monkeypatch):
    taken, steps = [0.0], iter(range(1, 100))
    monkeypatch.setattr(nvml, "energy", lambda device: taken[0])

    def taking(task):
        def loss(model, batch):
            taken[0] += 10.0 if model.training else 0.5
            if model.training:
                next(steps)
            return type(task).loss(task, model, batch)

        return loss

    chosen = settings("vit", epochs=2)
    while True:
        try:
            outcome = part(chosen, tmp_path, OneStep, loss=taking)
            break
        except Interrupted:
            taken[0] += 1e6  # by somebody else
    trained = next(steps) - 1
    assert trained == 2 * start(chosen)[0].steps
    evaluations = 2 + len({outcome.best_epoch, 2})
    assert outcome.gpu == {"energy": 10.0 * trained + 0.5 * evaluations, "shared": False}


def test_a_run_that_moves_to_another_machine_says_so(tmp_path, caplog):
    chosen = settings("vit", epochs=1)
    state = State(*start(chosen), chosen)
    here = state.outcome.places
    state.outcome.places = ["an abacus, 1 thread"]
    with Checkpoints(tmp_path, {}, 600) as checkpoints:
        checkpoints.save(*state.capture())
    outcome = part(chosen, tmp_path)
    assert outcome.places == ["an abacus, 1 thread", *here]
    assert "started elsewhere (an abacus, 1 thread)" in caplog.text


def test_a_run_that_comes_back_keeps_the_place_where_it_was_meanwhile(tmp_path):
    chosen = settings("vit", epochs=1)
    state = State(*start(chosen), chosen)
    (here,) = state.outcome.places
    state.outcome.places = [here, "an abacus, 1 thread"]
    with Checkpoints(tmp_path, {}, 600) as checkpoints:
        checkpoints.save(*state.capture())
    outcome = part(chosen, tmp_path)
    assert outcome.places == [here, "an abacus, 1 thread", here]
    assert outcome.earlier_places == [here, "an abacus, 1 thread"]


def test_the_commit_is_that_with_which_the_run_began(tmp_path, monkeypatch):
    chosen = settings("vit", epochs=1)
    monkeypatch.setattr(provenance, "commit", lambda: "at-the-start")
    state = State(*start(chosen), chosen)
    monkeypatch.setattr(provenance, "commit", lambda: "meanwhile")
    assert state.finish().commit == "at-the-start"
    with Checkpoints(tmp_path, {}, 600) as checkpoints:
        checkpoints.save(*state.capture())
    assert part(chosen, tmp_path).commit == "at-the-start"


def test_the_optimizer_keeps_the_memory_format_of_its_weights(tmp_path):
    chosen = settings("resnet", optimizer=MOMENTUM, epochs=1)
    with pytest.raises(Interrupted):
        part(chosen, tmp_path, OneStep)
    state = State(*start(chosen), chosen)
    with Checkpoints(tmp_path, {}, 600) as checkpoints:
        state.restore(*checkpoints.load())
    weights = [w for w in state.model.parameters() if w.ndim == 4]
    assert any(w.is_contiguous(memory_format=torch.channels_last) for w in weights)
    for weight in weights:
        assert state.optimizer.state[weight]["momentum_buffer"].stride() == weight.stride()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vit", "vit-deep"])
def test_compiled_steps_are_resumed_exactly_too(name, tmp_path):
    chosen = case(name) | {"compile": True}
    whole = fit(*start(chosen), chosen)
    torch._dynamo.reset()
    with pytest.raises(Interrupted):
        part(chosen, tmp_path, OneStep)
    torch._dynamo.reset()
    outcome = part(chosen, tmp_path)
    assert_equal(outcome, whole)
    assert outcome.resumes == 1
    assert outcome.seconds_compiling > 0
