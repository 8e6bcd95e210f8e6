"""The training loop on tiny real runs of every family, and on scripted ones."""

import math

import pytest
import torch
from torch import Tensor, nn

from tiny import (
    AUGMENTATION,
    CPU,
    FIXED,
    LSTM,
    MODELS,
    images,
    settings,
    sgd,
    start,
    text,
    timeless,
)
from trainstudy import models, optimizers, progress, trainer
from trainstudy.arrays import Dataset
from trainstudy.checkpoint import Unsaved
from trainstudy.progress import Progress
from trainstudy.state import State
from trainstudy.step import Step
from trainstudy.tasks import TASKS, Task, stream
from trainstudy.trainer import Outcome, fit


def run(chosen: dict, seed: int = 1) -> Outcome:
    return fit(*start(chosen, seed), chosen)


def values(outcome: Outcome, split: str, metric: str) -> list[float]:
    """Return a score of every epoch."""
    return [r["value"] for r in outcome.rows if (r["split"], r["metric"]) == (split, metric)]


def train_epoch(task: Task, model: nn.Module, optimizer, epoch: int, chosen: dict) -> Tensor:
    """Train one epoch by a loop without any refinement; return the scores of its examples."""
    model.train()
    torch.manual_seed(stream(task.seed, epoch, "dropout").initial_seed())
    scores = []
    for step, batch in enumerate(task.batches(epoch)):
        middle = epoch - 1 + (step + 0.5) / task.steps
        warmup = chosen["schedule"]["warmup_epochs"]
        optimizer.param_groups[0]["lr"] = chosen["optimizer"]["lr"] * min(1, middle / warmup)
        objective, batch_scores = task.loss(model, batch)
        optimizer.zero_grad()
        objective.backward()
        optimizer.step()
        scores.append(batch_scores)
    return torch.cat(scores, dim=1)


class ScriptedTask:
    """One weight that grows by 1 in every step, with losses and validation scores as written.

    The test accuracy of a weight is 1 / weight: the longer the training, the lower.
    """

    unit, units, steps, examples, batch_size = "steps", 2, 2, 2, 1
    selects, sign, seed, device, carried = "accuracy", +1, 1, CPU, torch.zeros(0)

    def __init__(self, validation: list[dict], losses: dict[int, float] | None = None) -> None:
        self.validation, self.losses = iter(validation), losses or {}

    def rows(self, epoch: int) -> range:
        return range(epoch * 2 - 1, epoch * 2 + 1)  # the step, counted from 1

    def batch(self, step: int, augmentation: torch.Generator) -> int:
        return step

    def loss(self, model: nn.Module, step: int) -> tuple[Tensor, Tensor]:
        return self.losses.get(step, 0.0) - model.weight.sum(), torch.zeros(2, 1)

    def summarise(self, split: str, scores: Tensor) -> dict[str, float]:
        return {"loss": 1.0, "accuracy": 0.5, "perplexity": 1.0}

    def evaluate(self, model: nn.Module, split: str) -> dict[str, float]:
        if split == "validation":
            return {"loss": 1.0, "accuracy": 0.5, "perplexity": 1.0} | next(self.validation)
        return {"loss": 1.0, "accuracy": 1 / model.weight.item()}


def scripted(task: ScriptedTask, epochs: int, **changed) -> Outcome:
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    return fit(task, model, settings("vit", epochs=epochs, optimizer=sgd(1.0), **changed))


class Counted(Unsaved):
    """Says after which epochs a checkpoint is worth it, and notes when one is made."""

    def __init__(self, *worth: int) -> None:
        self.worth, self.asked, self.saved = worth, 0, []

    def due(self, between_epochs: bool = False) -> bool:
        self.asked += between_epochs
        return between_epochs and self.asked in self.worth

    def save(self, facts: dict, tensors: dict) -> None:
        self.saved.append(facts["epoch"])


def test_a_run_is_saved_where_an_epoch_is_worth_it_and_before_its_tests():
    chosen, counted = settings("vit", epochs=5), Counted(2)
    fit(*start(chosen), chosen, counted)
    assert counted.saved == [3, 6]  # the epoch to go on with


@pytest.mark.parametrize("name", MODELS)
def test_every_model_learns(name):
    fast = {"name": "adamw", "lr": 0.03, "weight_decay": 5e-4, "momentum": 0.9}
    chosen = (
        settings(name, epochs=10, optimizer=fast) if name == "lstm" else settings(name, epochs=4)
    )
    outcome = run(chosen)
    losses = values(outcome, "train", "loss")
    assert losses[-1] < 0.6 * losses[0]
    assert outcome.diverged_step is None
    if name == "vit":
        assert values(outcome, "test", "accuracy")[0] == 1
    if name == "lstm":
        assert values(outcome, "test", "perplexity")[0] < 1.5


@pytest.mark.parametrize("name", ["vit", "lstm"])
def test_every_epoch_leaves_a_row_for_every_score(name):
    outcome = run(settings(name))
    scores = {
        "vit": {"loss", "loss_published", "accuracy", "accuracy_published"},
        "lstm": {
            "loss",
            "loss_published",
            "perplexity",
            "perplexity_published",
            "bits_per_byte",
        },
    }[name] | {"seconds"}
    own = {"learning_rate", "gradient_norm", "gradient_norm_largest"}
    expected = [(e, "train", m) for e in (1, 2, 3) for m in scores | own]
    expected += [(e, "validation", m) for e in (1, 2, 3) for m in scores]
    expected += [(e, "test", m) for e in {3, outcome.best_epoch} for m in scores]
    found = [(row["epoch"], row["split"], row["metric"]) for row in outcome.rows]
    assert sorted(found) == sorted(expected)
    seconds = [row["seconds"] for row in outcome.rows]
    assert seconds == sorted(seconds)
    assert 0 < seconds[0] <= seconds[-1] <= outcome.seconds


def test_seconds_count_from_the_start_to_the_end_of_what_a_row_is_of():
    ended = 0.0
    for row in run(settings("vit")).rows:
        if row["metric"] == "seconds":  # what this part of the epoch took
            assert row["value"] > 0
            assert row["seconds"] - row["value"] >= ended - 1e-9  # it began after the one before
            ended = row["seconds"]


def test_a_cosine_ends_with_the_last_epoch_of_all():
    found = run(settings("vit", epochs=4, schedule=FIXED | {"name": "cosine"}))
    middle = [(epoch + 2.5 / 3) / 4 for epoch in range(4)]  # of the last of three steps
    wanted = [0.01 * (1 + math.cos(math.pi * share)) / 2 for share in middle]
    assert values(found, "train", "learning_rate") == pytest.approx(wanted)


def test_the_best_epoch_of_a_language_model_is_that_of_the_lowest_loss():
    outcome = run(settings("lstm", optimizer=sgd(lr=1e-3)))
    losses = values(outcome, "validation", "loss")
    assert len({*losses}) == 3
    assert outcome.best_epoch == 1 + losses.index(min(losses))


@pytest.mark.parametrize(("name", "dropout"), [("vit", 0.2), ("lstm", 0.2)])
def test_equal_seeds_give_equal_numbers_to_the_last_bit_and_others_do_not(name, dropout):
    chosen = settings(name, model=MODELS[name][1] | {"dropout": dropout}, epochs=2)
    first = run(chosen)
    torch.rand(3)
    again, other = run(chosen), run(chosen, seed=2)
    assert timeless(again) == timeless(first)
    assert again.weights.keys() == first.weights.keys()
    assert all(torch.equal(again.weights[key], first.weights[key]) for key in first.weights)
    assert values(other, "train", "loss") != values(first, "train", "loss")


@pytest.mark.parametrize("name", ["vit", "lstm"])
def test_a_run_is_what_a_plain_loop_does(name):
    schedule = FIXED | {"warmup_epochs": 1.5}
    chosen = settings(name, model=MODELS[name][1] | {"dropout": 0.2}, schedule=schedule)
    outcome = run(chosen)

    task, model = start(chosen)
    optimizer = optimizers.build(chosen["optimizer"], model)
    weights = {}
    for epoch in (1, 2, 3):
        scores = task.summarise("train", train_epoch(task, model, optimizer, epoch, chosen))
        assert values(outcome, "train", "loss")[epoch - 1] == scores["loss"]
        expected = task.evaluate(model, "validation")["loss"]
        assert values(outcome, "validation", "loss")[epoch - 1] == expected
        weights[epoch] = {key: w.clone() for key, w in model.state_dict().items()}
    best = weights[outcome.best_epoch]
    assert all(torch.equal(outcome.weights[key], best[key]) for key in best)
    # The last steps of the epochs lie 1/2 step before their ends.
    ends = [epoch - 0.5 / task.steps for epoch in (1, 2, 3)]
    rates = [pytest.approx(0.01 * min(1, end / 1.5)) for end in ends]
    assert values(outcome, "train", "learning_rate") == rates


MIXED = {"augmentation": AUGMENTATION | {"mixup": 0.4, "cutmix": 1.0}}
CARRIED = {"carry_state": True}
OPTIONS = [("vit", {}), ("lstm", {}), ("vit", MIXED), ("lstm", CARRIED)]


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_an_epoch_repeats_alone_from_the_state_before_it(name, options, monkeypatch):
    chosen = settings(
        name,
        **options,
        model=MODELS[name][1] | {"dropout": 0.2},
        optimizer=sgd(0.05),  # which has no state of its own
        schedule=FIXED | {"warmup_epochs": 2},
    )
    task, model = start(chosen)
    states, evaluate = [], task.evaluate

    def remember(model: nn.Module, split: str) -> dict[str, float]:
        states.append({key: w.clone() for key, w in model.state_dict().items()})
        return evaluate(model, split)

    monkeypatch.setattr(task, "evaluate", remember)
    fit(task, model, chosen)

    task, model = start(chosen, seed=1)
    model.load_state_dict(states[1])
    train_epoch(task, model, optimizers.build(chosen["optimizer"], model), 3, chosen)
    assert all(torch.equal(w, states[2][key]) for key, w in model.state_dict().items())


def test_a_frozen_table_is_not_among_the_weights():
    chosen = settings("lstm", epochs=1)
    task, _ = start(chosen)
    table = torch.randn(6, 12, generator=torch.Generator().manual_seed(0))
    model = models.build("lstm", LSTM, task.manifest, table.clone())
    outcome = fit(task, model, chosen)
    assert outcome.weights.keys() == dict(model.named_parameters()).keys()
    assert torch.equal(model.table, table)


def test_validation_alone_decides_which_epoch_is_best():
    accuracies = [{"accuracy": value} for value in (0.2, 0.9, 0.9, 0.4)]
    outcome = scripted(ScriptedTask(accuracies), epochs=4)
    assert outcome.best_epoch == 2  # the first of two equal ones
    assert outcome.best_score == 0.9
    assert outcome.weights["weight"].item() == 4  # after 2 epochs of 2 steps
    tests = [r for r in outcome.rows if r["split"] == "test" and r["metric"] == "accuracy"]
    # The weights of the last epoch are 8, those of the best 4.
    assert [(row["epoch"], row["value"]) for row in tests] == [(4, 1 / 8), (2, 1 / 4)]


def test_the_last_epoch_is_tested_once_where_it_is_the_best():
    outcome = scripted(ScriptedTask([{"accuracy": 0.1}, {"accuracy": 0.2}]), epochs=2)
    assert outcome.best_epoch == 2
    tests = [r for r in outcome.rows if r["split"] == "test" and r["metric"] == "accuracy"]
    assert [(row["epoch"], row["value"]) for row in tests] == [(2, 1 / 4)]


def test_the_lowest_validation_loss_is_best_where_the_task_says_so():
    task = ScriptedTask([{"loss": 3.0, "accuracy": 0.9}, {"loss": 1.0}, {"loss": 2.0}])
    task.selects, task.sign = "loss", -1
    assert scripted(task, epochs=3).best_epoch == 2


@pytest.mark.parametrize(
    ("accuracies", "patience", "last", "best"),
    [
        ((0.2, 0.5, 0.4, 0.5, 0.9), 2, 4, 2),  # equal is no improvement
        ((0.2, 0.5, 0.4, 0.6, 0.5, 0.4, 0.9), 2, 6, 4),
        ((0.5, 0.4), 1, 2, 1),
        ((0.1, 0.2, 0.3, 0.4), 1, 4, 4),
        ((0.5, 0.4, 0.3, 0.2), None, 4, 1),
        ((0.5, 0.4, 0.3, 0.2), 3, 4, 1),  # both ends at once
    ],
)
def test_training_ends_when_patience_does(accuracies, patience, last, best):
    task = ScriptedTask([{"accuracy": value} for value in accuracies])
    outcome = scripted(task, epochs=len(accuracies), early_stopping=patience)
    assert [r["epoch"] for r in outcome.rows if r["metric"] == "learning_rate"] == [
        *range(1, last + 1)
    ]
    assert outcome.best_epoch == best
    assert outcome.weights["weight"].item() == 2 * best
    tests = [r for r in outcome.rows if r["split"] == "test" and r["metric"] == "accuracy"]
    assert {row["epoch"]: row["value"] for row in tests} == {
        epoch: 1 / (2 * epoch) for epoch in (last, best)
    }


def test_patience_looks_at_what_selects_the_best_epoch():
    task = ScriptedTask([{"loss": loss, "accuracy": 1 / loss} for loss in (1.0, 2.0, 3.0, 4.0)])
    task.selects, task.sign = "loss", -1
    assert scripted(task, 4, early_stopping=2).best_epoch == 1
    assert next(task.validation)["loss"] == 4.0  # the only one not asked for


def test_an_early_end_is_said_in_the_log(caplog):
    caplog.set_level("INFO")
    scripted(ScriptedTask([{}] * 5), epochs=5, early_stopping=2)
    assert "ends after epoch 3: epoch 1 is still the best" in caplog.text


def test_an_enormous_learning_rate_diverges_at_the_step_after_the_first():
    chosen = settings("lstm", optimizer=sgd(1e30))
    outcome = run(chosen)
    assert outcome.diverged_step == 2
    assert outcome.rows == []
    assert outcome.best_epoch is None
    assert outcome.weights.keys() == start(chosen)[1].state_dict().keys()


def test_divergence_in_a_later_epoch_keeps_what_was_before():
    steep = {"name": "step", "warmup_epochs": 0, "milestones": [1], "gamma": 1e32}
    chosen = settings("lstm", optimizer=sgd(0.01), schedule=steep)
    outcome, calm = run(chosen), run(chosen | {"epochs": 1, "schedule": FIXED})
    task, _ = start(chosen)
    assert outcome.diverged_step == task.steps + 2
    assert timeless(outcome) == [row for row in timeless(calm) if row[1] != "test"]
    assert outcome.best_epoch == 1
    assert all(torch.equal(outcome.weights[key], calm.weights[key]) for key in calm.weights)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("bad", [1, 2, 3, 4])
def test_divergence_names_the_first_step_whose_loss_is_not_finite(bad, loss):
    task = ScriptedTask([{}] * 2, losses=dict.fromkeys(range(bad, 5), loss))
    outcome = scripted(task, epochs=2)
    assert outcome.diverged_step == bad
    finished = range(1, (bad - 1) // 2 + 1)
    assert {row["epoch"] for row in outcome.rows} == set(finished)
    assert "test" not in {row["split"] for row in outcome.rows}


def test_divergence_ends_an_epoch_at_the_next_line_of_the_log(monkeypatch):
    """An epoch of a language model may take an hour."""
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", -1)
    task = ScriptedTask([{}], losses=dict.fromkeys((1, 2), math.nan))
    steps, loss = [], task.loss
    task.loss = lambda model, step: (steps.append(step), loss(model, step))[1]
    assert scripted(task, epochs=1).diverged_step == 1
    assert steps == [1]


def test_a_validation_loss_that_is_not_finite_ends_the_run_too():
    outcome = scripted(ScriptedTask([{}, {"loss": math.nan, "accuracy": 1.0}]), epochs=3)
    assert outcome.diverged_step == 4  # the last step of epoch 2
    assert math.isnan(values(outcome, "validation", "loss")[1])
    assert values(outcome, "test", "loss") == []
    assert outcome.best_epoch == 1


def test_divergence_is_said_in_the_log(caplog):
    scripted(ScriptedTask([{}], losses={2: math.nan}), epochs=1)
    assert "diverged" in caplog.text
    assert "step 2" in caplog.text


@pytest.mark.parametrize(("share", "expected"), [(0.25, 0.25), (4.0, 1.0)])
def test_clipping_limits_the_norm_of_the_gradient(share, expected):
    def change(clipping: float | None) -> float:
        chosen = settings(
            "lstm", epochs=1, batch_size=100, optimizer=sgd(1.0), gradient_clipping=clipping
        )
        task, model = start(chosen)
        before = nn.utils.parameters_to_vector(model.parameters()).detach()
        fit(task, model, chosen)
        return (nn.utils.parameters_to_vector(model.parameters()) - before).norm().item()

    free = change(None)  # one step of plain descent at rate 1: the norm of the gradient
    assert change(share * free) == pytest.approx(expected * free, rel=1e-3)


@pytest.mark.parametrize("clipping", [None, 0.01, 1e6])
@pytest.mark.parametrize("name", ["vit", "lstm", "resnet"])
def test_the_norm_of_the_gradient_is_that_before_clipping(name, clipping):
    chosen = settings(name, epochs=1, optimizer=sgd(0.01), gradient_clipping=clipping)
    outcome = run(chosen)
    task, model = start(chosen)
    model.train()
    norms = []
    for batch in task.batches(1):
        model.zero_grad()
        task.loss(model, batch)[0].backward()
        flat = torch.cat([weight.grad.flatten() for weight in model.parameters()])
        norms.append(flat.double().norm().item())
        scale = min(1, clipping / norms[-1]) if clipping else 1
        with torch.no_grad():
            for weight in model.parameters():
                weight -= 0.01 * scale * weight.grad
    assert len(norms) == task.steps > 1
    (mean,), (largest,) = (
        values(outcome, "train", name) for name in ("gradient_norm", "gradient_norm_largest")
    )
    assert mean == pytest.approx(sum(norms) / len(norms), rel=1e-3)
    assert largest == pytest.approx(max(norms), rel=1e-3)


@pytest.mark.parametrize("name", ["vit", "lstm"])
def test_label_smoothing_changes_training_but_not_what_is_reported(name):
    # One step only, so that both report on the same, initial weights.
    plain = settings(name, epochs=1, batch_size=48 if name == "vit" else 100)
    one, other = run(plain), run(plain | {"label_smoothing": 0.3})
    assert values(other, "train", "loss") == values(one, "train", "loss")
    assert any(not torch.equal(one.weights[key], other.weights[key]) for key in one.weights)
    assert values(other, "test", "loss") != values(one, "test", "loss")


# What must not decide anything


def altered(dataset: Dataset, split: str) -> Dataset:
    """Return a data set one of whose splits holds something else."""
    turned = {
        name: array[::-1].copy() if name.startswith(split) and array.ndim == 1 else array
        for name, array in dataset.arrays.items()
    }
    return Dataset(turned, dataset.manifest)


@pytest.mark.parametrize("name", ["vit", "lstm"])
def test_the_test_split_decides_nothing(name):
    def outcome(dataset: Dataset) -> Outcome:
        torch.manual_seed(1)
        model = models.build(chosen["family"], chosen["model"], dataset.manifest)
        return fit(TASKS[dataset.manifest["kind"]](dataset, chosen, 1, CPU), model, chosen)

    chosen = settings(name, optimizer=sgd(0.3), epochs=4)
    dataset = text() if name == "lstm" else images()
    one, other = outcome(dataset), outcome(altered(dataset, "test"))
    tests = [row for row in timeless(one) if row[1] == "test"]
    assert tests
    assert tests != [row for row in timeless(other) if row[1] == "test"]
    assert [r for r in timeless(one) if r[1] != "test"] == [
        r for r in timeless(other) if r[1] != "test"
    ]
    assert (one.best_epoch, one.best_score) == (other.best_epoch, other.best_score)
    assert all(torch.equal(one.weights[key], other.weights[key]) for key in one.weights)


def test_the_test_split_is_looked_at_only_when_the_training_is_over(monkeypatch):
    chosen = settings("vit")
    task, model = start(chosen)
    asked, evaluate = [], task.evaluate
    monkeypatch.setattr(
        task, "evaluate", lambda m, split: asked.append(split) or evaluate(m, split)
    )
    fit(task, model, chosen)
    assert asked[:3] == ["validation"] * 3
    assert set(asked[3:]) == {"test"}


@pytest.mark.parametrize(("name", "options"), [*OPTIONS, ("resnet", {})])
def test_how_often_is_evaluated_changes_no_number(name, options, monkeypatch):
    extra = {} if name == "resnet" else {"dropout": 0.2}
    chosen = settings(name, **options, model=MODELS[name][1] | extra)
    plain = run(chosen)
    task, model = start(chosen)
    loss, steps = task.loss, iter(range(1000))

    def between_the_steps(model: nn.Module, batch: tuple) -> tuple:
        if model.training and next(steps) % 2:
            task.evaluate(model, "validation")
            model.train()
        return loss(model, batch)

    monkeypatch.setattr(task, "loss", between_the_steps)
    often = fit(task, model, chosen)
    assert next(steps) == 3 * task.steps
    assert timeless(often) == timeless(plain)
    assert all(torch.equal(often.weights[key], plain.weights[key]) for key in plain.weights)


# Memory


def test_peaks_of_memory_are_those_of_training_steps_after_the_first(monkeypatch):
    said = []
    monkeypatch.setattr(trainer.memory, "forget_peaks", lambda device: said.append("forget"))
    monkeypatch.setattr(trainer.memory, "peaks", lambda device: said.append("read") or {"a": 1})
    task, model = start(settings("vit"))
    loss = task.loss
    monkeypatch.setattr(
        task,
        "loss",
        lambda m, batch: (said.append("step" if m.training else ""), loss(m, batch))[1],
    )
    outcome = fit(task, model, settings("vit", epochs=2))
    first, second = ["forget", *["step"] * 3, "forget"], ["forget", *["step"] * 3, "read"]
    assert [word for word in said if word] == first + second
    assert outcome.memory["a"] == 1


def test_a_resumed_run_counts_no_memory_of_its_start(monkeypatch):
    """What compiling and first steps take is no peak of a training step, in whichever epoch."""
    chosen = settings("vit", epochs=2)
    task, model = start(chosen)
    steps, said = task.steps, []
    monkeypatch.setattr(trainer.memory, "peaks", lambda device: said.append("read") or {})
    monkeypatch.setattr(trainer.memory, "forget_peaks", lambda device: said.append("forget"))
    state = State(task, model, chosen)
    advance = Step(task, model, state.optimizer, None, state.augmentation)
    real = advance._take
    monkeypatch.setattr(advance, "_take", lambda rows: (said.append("step"), real(rows))[1])
    for epoch, first in ((1, steps), (2, 1)):  # nothing left but validation; two steps left
        state.epoch, state.step = epoch, first
        state.losses.zero_()
        trainer._train_epoch(state, advance, chosen, Unsaved(), Progress(task, 2))
    assert said == ["forget", "forget", "step", "step"]
