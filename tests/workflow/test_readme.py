"""The README keeps its promises."""

import os
import re
import subprocess
import venv
from pathlib import Path

import pandas as pd
import pytest
import yaml

from trainstudy import config, fetch, models

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


def test_its_grid_can_be_added_as_it_stands(tmp_path):
    block = re.search(r"```yaml\nexperiments:\n(  [a-z0-9-]+:\n.*?)```", README, re.S)[1]
    file = tmp_path / "config.yaml"
    file.write_text((ROOT / "config.yaml").read_text() + block)
    loaded = yaml.safe_load(file.read_text()) | {"select": ["vit-3-sgd"]}
    runs = config.resolve(loaded, [file], ROOT / "workflow" / "schemas")
    assert len(runs) == 6
    assert "vit-3-sgd-lr-3e-3-epochs-10" in runs


def test_its_mistake_is_reported_as_it_says(example):
    example.write_text(example.read_text().replace("model: {depth: 3}", "modle: {depth: 3}"))
    with pytest.raises(config.ConfigError) as caught:
        resolve(example)
    promised = re.search(r"^The configuration cannot be run.*\n.*$", README, re.M)[0]
    assert promised.replace("config.yaml", str(example)) in str(caught.value)


def test_its_claim_can_be_added_as_it_stands(tmp_path):
    block = re.search(r"```yaml\n(  [a-z0-9-]+:\n    says:.*?)```", README, re.S)[1]
    file = tmp_path / "claims.yaml"
    file.write_text((ROOT / "report/claims.yaml").read_text() + block)
    claims = config.checked(file, ROOT / "workflow/schemas/claims.yaml")["claims"]
    assert claims["vit-4-quick"]["than"] == 40


DOCUMENTS = ["README.md", "CONTRIBUTING.md", "config/README.md", "resources/README.md"]
DOCUMENTS += sorted(f"docs/{file.name}" for file in (ROOT / "docs").glob("*.md"))


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a document."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_documents_refer_to_is_there(document):
    file = ROOT / document
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", file.read_text())
    for target, anchor in links:
        linked = file.parent / target if target else file
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked.read_text()), f"{target}#{anchor}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_documents_name_exists(document):
    text = (ROOT / document).read_text()
    for file in re.findall(r"`((?:src|envs|profiles|requirements|workflow|docs)/[\w./-]+)`", text):
        assert (ROOT / file).exists() or file in ("profiles/mine", "profiles/NAME"), file
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^(?:.*`)?make ([a-z-]+)", text, re.M):
        assert re.search(rf"^{target}:", makefile, re.M), target
    for profile in re.findall(r"--workflow-profile ([a-z-]+)", text):
        assert (ROOT / "profiles" / profile).is_dir() or profile in ("mine", "none"), profile


def test_its_mirror_can_be_made_as_it_says(tmp_path):
    """The line that writes SHA256SUMS, for a file deep below and with a blank in its path."""
    guide = (ROOT / "docs/clusters.md").read_text()
    command = re.search(r"^\(cd data/downloads && .*\)$", guide, re.M)[0]
    stored = tmp_path / "data/downloads/gpt1/deep down/vocab_40000.bpe"
    stored.parent.mkdir(parents=True)
    stored.write_text("#version: 0.2\n")
    subprocess.run(["sh", "-ec", command], cwd=tmp_path, check=True)
    source = fetch.Source("https://never.asked/", sha256=64 * "0")
    target = tmp_path / "copy"
    fetch.fetch("gpt1/deep down/vocab_40000.bpe", source, target, str(tmp_path / "data/downloads"))
    assert target.read_text() == stored.read_text()


@pytest.mark.slow
def test_its_lines_install_without_network_what_has_no_wheel(tmp_path):
    """With the pip that a fresh environment has, for the one locked package that is source only."""
    lock = (ROOT / "requirements/cluster.txt").read_text()
    (tmp_path / "requirements").mkdir()
    (locked,) = re.findall(r"^connection-pool==.*\n(?: +--hash=.*\n)+", lock, re.M)
    (tmp_path / "requirements/cluster.txt").write_text(locked)
    guide = (ROOT / "docs/clusters.md").read_text()
    (lines,) = re.findall(r"```sh\n(# Where there is network:\n.*?)```", guide, re.S)
    fetching, installing = lines.split("# Where there is none")
    venv.create(tmp_path / "fresh", with_pip=True)
    path = f"{tmp_path}/fresh/bin:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-ec", fetching], cwd=tmp_path, env=os.environ | {"PATH": path},
        capture_output=True, text=True,
    )  # fmt: skip
    if "(from versions: none)" in done.stderr:
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr
    # Nothing of this machine's settings for pip: they may name further places with packages.
    subprocess.run(
        ["sh", "-ec", "#" + installing], cwd=tmp_path, check=True,
        env={"PATH": path, "HOME": str(tmp_path), "PIP_CONFIG_FILE": os.devnull},
    )  # fmt: skip
    python = tmp_path / "fresh/bin/python"
    subprocess.run([python, "-c", "import connection_pool"], check=True)


def test_its_python_example_runs_on_the_columns_there_are(finished, monkeypatch, capsys):
    monkeypatch.chdir(finished.folder)
    code = re.search(r"```python\n(.*?)```", README, re.S)[1]
    code = code.replace("results/demo", "results/tiny").replace("vit-2-adamw", "vit-a")
    exec(compile(code, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "validation_loss_best" in printed
    assert re.search(r"^split\s+(test\s+)?train\s+validation", printed, re.M)


@pytest.mark.parametrize("experiment", ["vit-a", "cnn-a", "lstm-a"])
def test_its_lines_load_the_weights_of_every_family(finished, monkeypatch, experiment):
    monkeypatch.chdir(finished.folder)
    _, code = re.findall(r"```python\n(.*?)```", README, re.S)
    code = code.replace("results/demo", "results/tiny").replace("vit-2-adamw", experiment)
    found: dict = {}
    exec(compile(code, "README.md", "exec"), found)
    facts = pd.read_parquet(finished.result(f"runs/{experiment}/42/run.parquet")).iloc[0]
    assert models.parameter_counts(found["model"])[0] == facts.parameters_trained
