"""The lines that say how far a run is."""

import re

import pytest

from tiny import settings, start
from trainstudy import progress
from trainstudy.progress import Progress
from trainstudy.trainer import fit


def test_lines_name_epoch_step_and_loss(monkeypatch, caplog):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", -1)
    chosen = settings("vit", epochs=2)
    with caplog.at_level("INFO"):
        fit(*start(chosen), chosen)
    assert "epoch 2/2  step 3/3  loss" in caplog.text
    assert "validation loss" in caplog.text
    assert "images/s" in caplog.text


def test_the_line_of_an_epoch_tells_training_from_validation(caplog):
    task, _ = start(settings("vit", epochs=4))
    shown = Progress(task, epochs=4)
    with caplog.at_level("INFO"):
        shown.epoch_line(
            1, {"loss": 1.5, "accuracy": 0.75}, {"loss": 2.25, "accuracy": 0.5}, seconds=2.0
        )
    told = "epoch 1/4  loss 1.5000  accuracy 0.75  validation loss 2.2500  accuracy 0.5"
    assert f"{told}  {task.units // 2} images/s" in caplog.text


@pytest.mark.parametrize(
    ("first", "seconds", "left"),
    [(0, 20, "0:00:20"), (3, 20, "0:00:40"), (0, 36_610, "10:10:10")],
)
def test_the_time_left_follows_from_what_this_process_did(caplog, first, seconds, left):
    # Of 12 steps 6 are done; some of them perhaps by a process before.
    task, _ = start(settings("vit", epochs=4))
    shown = Progress(task, epochs=4, first=first)
    shown.start -= seconds
    shown.epoch_start -= seconds
    with caplog.at_level("INFO"):
        shown.step_line(2, 3, loss=1.0)
    rate = re.search(r"([\d.,]+) images/s", caplog.text)[1]
    assert int(rate) == pytest.approx((6 - first) * 16 / seconds, abs=1)
    assert f" {left} left" in caplog.text


def test_the_rate_inside_an_epoch_is_that_of_its_steps(caplog):
    """However long the validation before them took."""
    task, _ = start(settings("vit", epochs=4))
    shown, scores = Progress(task, epochs=4), {"loss": 1.0, "accuracy": 0.5}
    shown.start -= 100
    shown.epoch_line(1, scores, scores, seconds=2.0)
    shown.epoch_start -= 2
    with caplog.at_level("INFO"):
        shown.step_line(2, 3, loss=1.0)
    assert int(re.search(r"(\d+) images/s", caplog.text)[1]) == pytest.approx(3 * 16 / 2, abs=1)


def test_without_a_step_no_time_is_left_to_tell(caplog):
    """A process that goes on with the validation of an epoch whose steps are done."""
    task, _ = start(settings("vit", epochs=4))
    shown = Progress(task, epochs=4, first=task.steps)
    scores = {"loss": 1.0, "accuracy": 0.5}
    with caplog.at_level("INFO"):
        shown.epoch_line(1, scores, scores, seconds=2.0)
    assert caplog.text.rstrip().endswith("images/s  – left")


def test_a_large_perplexity_is_written_without_an_exponent(caplog):
    task, _ = start(settings("lstm", epochs=1))
    scores = {"loss": 10.6, "perplexity": 40_460.0}
    with caplog.at_level("INFO"):
        Progress(task, epochs=1).epoch_line(1, scores, scores, seconds=1.0)
    assert caplog.text.count("perplexity 40,460 ") == 2
