"""A copy of the project with a tiny study, on which real Snakemake runs."""

import atexit
import fcntl
import functools
import os
import re
import shutil
import tempfile
from pathlib import Path

import pytest
import yaml
from forks import Forks

ROOT = Path(__file__).parents[2]
PARTS = ("Snakefile", "config", "workflow", "src", "report", "resources", "envs", "profiles")


@functools.cache
def forks() -> Forks:
    started = Forks()
    atexit.register(started.end)
    return started


class Study:
    """A tiny study in a folder of its own; `config` is what its config.yaml holds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment: dict[str, str] = {}  # beside that of the tests
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, folder / part)
        self.config = tiny_config()
        self.write_config()

    def write_config(self) -> None:
        (self.folder / "config.yaml").write_text(yaml.safe_dump(self.config))

    def snakemake(self, *arguments: str, check: bool = True, timeout: int = 900) -> str:
        """Run Snakemake and return all that it printed; without `check` it must fail."""
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        with tempfile.NamedTemporaryFile("r") as printed:
            status = forks().snakemake(
                *arguments,
                folder=self.folder,
                environment=environment | self.environment,
                output=Path(printed.name),
                timeout=timeout,
            )
            output = printed.read()
        assert (status == 0) == check, output
        return output

    def run(self, *arguments: str) -> dict[str, int]:
        """Run what is stale; return how many jobs of each rule were run."""
        return jobs(self.snakemake("--cores", "2", *arguments))

    def stale(self, *arguments: str) -> dict[str, int]:
        """Return how many jobs of each rule would be run."""
        return jobs(self.snakemake("--dry-run", *arguments))

    def damage(self, path: str) -> None:
        """Change one bit of a file, as a bad disk does."""
        content = bytearray((self.folder / path).read_bytes())
        content[-1] ^= 1
        (self.folder / path).write_bytes(content)

    def result(self, path: str) -> Path:
        return self.folder / "results" / self.config["study"] / path


def jobs(output: str) -> dict[str, int]:
    """Read Snakemake's table of job counts."""
    table = re.search(r"^job\s+count\n-+\s+-+\n(.*?)^total", output, re.M | re.S)
    if table is None:
        assert "Nothing to be done" in output, output
        return {}
    counts = (line.split() for line in table[1].splitlines())
    return {rule: int(count) for rule, count in counts if rule != "all"}


def tiny_config() -> dict:
    """Return five experiments of one epoch on embedded data, from the project's own bases."""
    full = yaml.safe_load((ROOT / "config.yaml").read_text())
    demo = yaml.safe_load((ROOT / "config" / "demo.yaml").read_text())
    bases = {name: overlay(full["bases"][name], demo["bases"][name]) for name in demo["bases"]}
    for base in bases.values():
        base["epochs"] = 1
    bases["lstm"]["model"] |= {"hidden": 16, "embedding_size": 16}
    bases["vit"]["model"] |= {"dim": 8, "heads": 2, "mlp": 16, "patch": 2}
    bases["vit"] |= {"batch_size": 64, "optimizer": bases["vit"]["optimizer"] | {"lr": 1.0e-3}}
    return {
        **{key: value for key, value in full.items() if key not in ("bases", "experiments")},
        "study": "tiny",
        "select": ["core", "cnn"],
        "bases": bases,
        "experiments": {
            "lstm-a": {"base": "lstm"},
            "lstm-b": {"base": "lstm", "model": {"layers": 2}},
            "vit-a": {"base": "vit"},
            "vit-b": {"base": "vit", "model": {"norm": "post"}},
            "cnn-a": {"base": "cnn"},
        },
    }


def overlay(lower: dict, upper: dict) -> dict:
    """Lay one configuration over another, as Snakemake does."""
    merged = dict(lower)
    for key, value in upper.items():
        merged[key] = overlay(merged.get(key, {}), value) if isinstance(value, dict) else value
    return merged


@pytest.fixture
def fresh(tmp_path: Path) -> Study:
    """A study that has not run."""
    return Study(tmp_path)


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study that has run, and output.txt; the first process of pytest makes it."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / "finished"
    with (shared / "finished.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "output.txt").exists():
            shutil.rmtree(folder, ignore_errors=True)
            (folder / "study").mkdir(parents=True)
            output = Study(folder / "study").snakemake("--cores", "2")
            (folder / "output.txt").write_text(output)
    return folder


@pytest.fixture
def finished(finished_once: Path, tmp_path: Path) -> Study:
    """A study that has run: a copy, to be changed at will."""
    study = Study.__new__(Study)
    study.folder, study.config = tmp_path / "copy", tiny_config()
    study.first_output = (finished_once / "output.txt").read_text()
    study.first_jobs = jobs(study.first_output)
    study.environment = {}
    shutil.copytree(finished_once / "study", study.folder)
    return study
