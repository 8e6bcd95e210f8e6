"""The README keeps its promises."""

import re
from pathlib import Path

import pytest
import yaml

from trainstudy import config

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


@pytest.fixture
def example(tmp_path):
    """The README's experiment, written into a copy of config.yaml."""
    block = re.search(r"```yaml\n(experiments:\n.*?)```", README, re.S)[1]
    assert len(block.strip().splitlines()) == 3
    lines = block.split("\n", 1)[1]
    file = tmp_path / "config.yaml"
    full = (ROOT / "config.yaml").read_text()
    file.write_text(full.replace("experiments:\n", "experiments:\n" + lines, 1))
    return file


def resolve(file):
    loaded = yaml.safe_load(file.read_text())
    return config.resolve(loaded, [file], ROOT / "workflow" / "schemas")


def test_its_experiment_can_be_added_as_it_stands(example):
    runs = resolve(example)
    assert len(runs) == 25
    assert runs["vit-3-cosine"]["model"]["depth"] == 3
    assert runs["vit-3-cosine"]["schedule"]["name"] == "cosine"


def test_its_mistake_is_reported_as_it_says(example):
    example.write_text(example.read_text().replace("model: {depth: 3}", "modle: {depth: 3}"))
    with pytest.raises(config.ConfigError) as caught:
        resolve(example)
    promised = re.search(r"^config\.yaml, line \d+, (.*)$", README, re.M)[1]
    assert promised in str(caught.value)


def test_its_claim_can_be_added_as_it_stands(tmp_path):
    block = re.search(r"```yaml\n(  [a-z0-9-]+:\n    says:.*?)```", README, re.S)[1]
    file = tmp_path / "claims.yaml"
    file.write_text((ROOT / "report/claims.yaml").read_text() + block)
    claims = config.checked(file, ROOT / "workflow/schemas/claims.yaml")["claims"]
    assert claims["vit-4-quick"]["than"] == 40


def test_its_links_and_make_targets_exist():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"\bmake ([a-z-]+)", README):
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_its_python_example_runs_on_the_columns_there_are(finished, monkeypatch, capsys):
    monkeypatch.chdir(finished.folder)
    code = re.search(r"```python\n(.*?)```", README, re.S)[1]
    code = code.replace("results/demo", "results/tiny").replace("vit-2-adamw", "vit-a")
    exec(compile(code, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "validation_loss_best" in printed
    assert re.search(r"^split\s+(test\s+)?train\s+validation", printed, re.M)
