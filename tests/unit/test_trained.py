"""A trained model out of the files of its run scores as the run did."""

import shutil
from pathlib import Path

import pytest
import torch

from test_run import LSTM, RESNET, VIT, _process, digits, table, train, words  # noqa: F401, fixtures
from trainstudy import arrays, trained
from trainstudy.tasks import TASKS

LEARNED = LSTM | {"model": LSTM["model"] | {"embedding": "learned"}}


@pytest.mark.parametrize(
    "settings", [VIT, RESNET, LSTM, LEARNED], ids=["vit", "cnn", "lstm", "lstm, learned"]
)
def test_the_model_of_a_run_scores_as_the_run_did(tmp_path, request, settings):
    data = request.getfixturevalue("words" if settings["family"] == "lstm" else "digits")
    embedding = request.getfixturevalue("table") if settings is LSTM else None
    prepared = tmp_path / "prepared"
    lay(data, prepared / settings["dataset"])
    if embedding:
        lay(embedding, prepared / "embedding/gpt1")
    facts = train(tmp_path / "run", settings, data, embedding).facts
    model = trained.load(tmp_path / "run", prepared)
    assert not model.training
    dataset = arrays.load(data)
    task = TASKS[dataset.manifest["kind"]](dataset, settings, 1, torch.device("cpu"))
    found = task.evaluate(model, "validation")["loss"]
    assert found == pytest.approx(facts["validation_loss_best"], rel=1e-4)


def lay(file: Path, name: Path) -> None:
    """Copy prepared data to where a study keeps them."""
    name.parent.mkdir(parents=True, exist_ok=True)
    for ending in (".safetensors", ".json"):
        shutil.copy(file.with_suffix(ending), name.with_suffix(ending))
