"""The study on a real Slurm: through its own plugin, and through cluster-generic with sbatch."""

import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest
from slurm import Slurm, SlurmMissing

ROOT = Path(__file__).parents[2]
# Each profile as users call it; what is added only asks for news more often.
PROFILES = {
    "slurm": ["--workflow-profile", "slurm", "--slurm-init-seconds-before-status-checks", "2"],
    "cluster-generic": [
        "--workflow-profile", "cluster-generic", "--seconds-between-status-checks", "1",
    ],
}  # fmt: skip
BOTH = pytest.mark.parametrize("profile", PROFILES)


@pytest.fixture(scope="session")
def slurm():
    """A running Slurm."""
    # Not below pytest's own folder: munged refuses one that others cannot enter.
    with tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        cluster = Slurm(Path(folder))
        try:
            cluster.start()
        except SlurmMissing as missing:
            pytest.skip(str(missing))
        else:
            yield cluster
        finally:
            cluster.stop()


@pytest.fixture
def study(fresh, slurm):
    """A study that has not run, whose commands reach the cluster."""
    fresh.environment = slurm.environment
    return fresh


def run_of(study, experiment):
    return f"results/{study.config['study']}/runs/{experiment}/42/run.parquet"


def number(job: dict[str, str], key: str) -> int:
    """Return a quantity of Slurm's: 1700M of memory, 00:20:00 of time (in minutes), 3."""
    hours, *rest = job[key].removesuffix("M").split(":")
    return int(hours) * 60 + int(rest[0]) if rest else int(hours)


def latest(slurm, rule: str, before: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return the jobs of a rule that have come since."""
    known = {job["JobId"] for job in before}
    return [job for job in slurm.jobs(rule) if job["JobId"] not in known]


def test_the_daemons_are_ended_though_slurm_no_longer_answers(tmp_path, monkeypatch):
    cluster = Slurm(tmp_path)
    with ThreadPoolExecutor() as pool:
        daemons = []
        for name in ("munged", "slurmctld", "slurmd"):
            (tmp_path / name).write_text(f"#!{sys.executable}\nimport time\ntime.sleep(600)\n")
            (tmp_path / name).chmod(0o755)
            process = subprocess.Popen([tmp_path / name])
            # Popen returns before the kernel has given the process its new name.
            while Path(f"/proc/{process.pid}/comm").read_text() != f"{name}\n":
                time.sleep(0.01)
            (tmp_path / f"{name}.pid").write_text(f"{process.pid}\n")
            daemons.append(pool.submit(process.wait))

        def unanswered(command, **_):
            raise subprocess.TimeoutExpired(command, 30)

        monkeypatch.setattr(subprocess, "run", unanswered)
        with pytest.raises(subprocess.TimeoutExpired, match="scancel"):
            cluster.stop()
    assert [daemon.result() for daemon in daemons] == [-15, -15, -15]


@pytest.mark.parametrize(
    "profile", ["slurm", pytest.param("cluster-generic", marks=pytest.mark.slow)]
)
def test_jobs_ask_for_their_estimates_and_a_failing_one_names_its_log(finished, slurm, profile):
    finished.environment = slurm.environment
    before = {rule: slurm.jobs(rule) for rule in ("prepare", "train")}
    (finished.folder / "data/prepared/pydocs.json").unlink()
    (finished.folder / run_of(finished, "vit-a")).unlink()
    finished.damage("data/prepared/digits.safetensors")
    old = finished.folder / "results/slurm-logs/of-a-failed-job.log"
    old.parent.mkdir()
    old.touch()
    os.utime(old, (0, 0))
    targets = ["data/prepared/pydocs.json", run_of(finished, "vit-a")]
    output = finished.snakemake(*targets, *PROFILES[profile], "--retries", "0", check=False)

    (prepare,) = latest(slurm, "prepare", before["prepare"])
    assert prepare["JobState"] == "COMPLETED"
    assert (finished.folder / targets[0]).exists()
    assert number(prepare, "MinMemoryNode") == 1_100
    assert not gpu(prepare)

    (train,) = latest(slurm, "train", before["train"])
    assert train["JobState"] == "FAILED"
    assert number(train, "MinMemoryNode") == 5_600  # with what a GPU's libraries take
    assert number(train, "TimeLimit") == 20
    assert gpu(train)
    assert train["Requeue"] == "1"
    log = "results/tiny/logs/train/vit-a/42.log"
    assert log in output
    assert "digits.safetensors has changed since it was prepared" in output
    assert "has changed since it was prepared" in (finished.folder / log).read_text()
    assert train["JobId"] in output
    assert Path(train["StdOut"]).is_relative_to(finished.folder / "results/slurm-logs")
    assert Path(train["StdOut"]).exists()
    assert (train["StdOut"] in output) == (profile == "slurm")
    assert old.exists()


@pytest.mark.slow
@BOTH
def test_the_study_runs_to_its_report(study, slurm, profile):
    before = slurm.jobs("train")
    # As on a cluster without GPUs.
    study.snakemake(*PROFILES[profile], "--set-resources", "train:gpu=0")
    page = study.result("report.html").read_text()
    assert "<strong>5 of 5 declared experiments</strong>" in page
    jobs = latest(slurm, "train", before)
    assert len(jobs) == 5
    assert {job["JobState"] for job in jobs} == {"COMPLETED"}
    assert not any(gpu(job) for job in jobs)
    assert study.stale() == {}


def gpu(job: dict[str, str]) -> bool:
    return job.get("TresPerJob", job.get("TresPerNode", "gpu:0"))[-1] != "0"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("profile", "arguments", "partition"),
    [
        ("slurm", [], "all"),
        ("cluster-generic", [], "all"),
        # Where a cluster takes --gres only, and its partition must be named.
        (
            "slurm",
            [
                *("--set-resources", "train:gpu=0", "train:gres=gpu:1"),
                *("--default-resources", "slurm_partition=other"),
            ],
            "other",
        ),
    ],
    ids=["slurm", "cluster-generic", "slurm with gres"],
)
def test_two_jobs_queue_for_one_gpu(study, slurm, profile, arguments, partition):
    before = slurm.jobs("train")
    runs = [run_of(study, name) for name in ("vit-a", "vit-b")]
    study.snakemake(*runs, *PROFILES[profile], *arguments)
    first, second = latest(slurm, "train", before)
    assert gpu(first)
    assert gpu(second)
    assert {first["Partition"], second["Partition"]} == {partition}

    def when(job, key):
        return datetime.fromisoformat(job[key])

    first, second = sorted((first, second), key=lambda job: when(job, "StartTime"))
    assert when(second, "SubmitTime") < when(first, "EndTime") <= when(second, "StartTime")


@pytest.mark.slow
def test_the_one_gpu_of_the_default_profile_holds_no_cluster_back(study, slurm):
    """--profile, in place of --workflow-profile, leaves profiles/default in force."""
    before = slurm.jobs("train")
    study.config["bases"]["vit"]["epochs"] = 100
    study.write_config()
    submit = "sbatch --parsable --job-name={rule} --mem={resources.mem_mb} --output=/dev/null"
    output = study.snakemake(
        *(run_of(study, name) for name in ("vit-a", "vit-b")),
        *("--profile", "profiles/cluster-generic", "--cluster-generic-submit-cmd", submit),
        *("--seconds-between-status-checks", "1"),
    )
    assert "and workflow specific profile profiles/default" in output
    first, second = latest(slurm, "train", before)
    assert max(first["StartTime"], second["StartTime"]) < min(first["EndTime"], second["EndTime"])


@pytest.mark.slow
@BOTH
def test_a_job_out_of_memory_succeeds_with_more(study, slurm, profile):
    """1,600 MB are asked for first; the job takes 1,600 MB beside what Python and torch take."""
    before = slurm.jobs("train")
    script = study.folder / "workflow/scripts/train.py"
    # Slurm looks every second.
    ballast = "import time; ballast = b'x' * 1_600_000_000; time.sleep(5)\n"
    script.write_text(ballast + script.read_text())
    study.snakemake(run_of(study, "vit-a"), *PROFILES[profile], "--set-resources", "train:gpu=0")
    killed, finished = latest(slurm, "train", before)
    assert [number(job, "MinMemoryNode") for job in (killed, finished)] == [1_600, 3_200]
    assert killed["JobState"] != "COMPLETED"
    assert finished["JobState"] == "COMPLETED"
    assert "exceeded memory limit" in Path(killed["StdOut"]).read_text()


@pytest.mark.slow
@BOTH
@pytest.mark.parametrize("end", ["cancel", "requeue"])
def test_a_job_that_is_ended_goes_on_from_its_checkpoint(study, slurm, profile, end):
    before = slurm.jobs("train")
    study.config["bases"]["vit"]["epochs"] = 150
    study.config["checkpoint_seconds"] = 1
    study.write_config()
    log = study.folder / "results/tiny/logs/train/vit-a/42.log"
    with ThreadPoolExecutor() as pool:
        # Slurm lets two minutes pass before it starts a job once more.
        arguments = (run_of(study, "vit-a"), *PROFILES[profile])
        running = pool.submit(study.snakemake, *arguments)
        deadline = time.monotonic() + 120
        while not (log.exists() and "epoch 50/" in log.read_text()):
            assert not running.done(), running.result()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        (job,) = latest(slurm, "train", before)
        getattr(slurm, end)(job["JobId"])
        running.result()
    jobs = latest(slurm, "train", before)
    assert [job["JobState"] for job in jobs][-1] == "COMPLETED"
    if end == "cancel":
        assert [job["JobState"] for job in jobs] == ["CANCELLED", "COMPLETED"]
        assert number(jobs[1], "MinMemoryNode") == 2 * number(jobs[0], "MinMemoryNode")
    else:  # Slurm starts the same job once more
        assert [job["Restarts"] for job in jobs] == ["1"]
    run = pd.read_parquet(study.folder / run_of(study, "vit-a")).iloc[0]
    assert run.status == "finished"
    assert run.resumes == 1
    assert int(re.search(r"goes on with epoch (\d+)/150", log.read_text())[1]) >= 50
    assert "epoch 150/150" in log.read_text()
