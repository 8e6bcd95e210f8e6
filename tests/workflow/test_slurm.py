"""The study on a real Slurm: through its own plugin, and through cluster-generic with sbatch."""

import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest
from slurm import Slurm, SlurmError

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
        except SlurmError as error:
            pytest.skip(str(error))
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


def test_jobs_ask_for_their_estimates_and_a_failing_one_names_its_log(finished, slurm):
    finished.environment = slurm.environment
    finished.config["experiments"]["vit-bad"] = {"base": "vit"}
    finished.write_config()
    (finished.folder / "data/prepared/pydocs.json").unlink()
    with (finished.folder / "data/prepared/digits.safetensors").open("ab") as prepared:
        prepared.write(b"more")
    targets = ["data/prepared/pydocs.json", run_of(finished, "vit-bad")]
    output = finished.snakemake(*targets, *PROFILES["slurm"], "--retries", "0", check=False)

    (prepare,) = slurm.jobs("prepare")
    assert prepare["JobState"] == "COMPLETED"
    assert (finished.folder / targets[0]).exists()
    assert number(prepare, "MinMemoryNode") == 1_100
    assert "TresPerJob" not in prepare

    (train,) = slurm.jobs("train")
    assert train["JobState"] == "FAILED"
    assert 5_500 < number(train, "MinMemoryNode") < 6_000  # with what a GPU's libraries take
    assert number(train, "TimeLimit") == 20
    assert train["TresPerJob"] == "gres:gpu:1"
    assert train["Requeue"] == "1"
    assert "results/tiny/logs/train/vit-bad/42.log" in output
    assert "digits.safetensors has changed since it was prepared" in output
    log = (finished.folder / "results/tiny/logs/train/vit-bad/42.log").read_text()
    assert "digits.safetensors has changed" in log
    (said,) = (finished.folder / "results/slurm-logs").rglob("*.log")
    assert str(said) in output


@pytest.mark.slow
@BOTH
def test_the_demo_runs_to_its_report(study, slurm, profile):
    before = slurm.jobs("train")
    shutil.copy(ROOT / "config.yaml", study.folder)
    # As on a cluster without GPUs.
    arguments = ["--configfile", "config/demo.yaml", "--set-resources", "train:gpu=0"]
    study.snakemake(*PROFILES[profile], *arguments, timeout=900)
    page = (study.folder / "results/demo/report.html").read_text()
    assert "vit-6-adamw-postnorm" in page
    jobs = latest(slurm, "train", before)
    assert len(jobs) == 24
    assert {job["JobState"] for job in jobs} == {"COMPLETED"}
    assert not any(gpu(job) for job in jobs)
    assert "Nothing to be done" in study.snakemake("-n", "--configfile", "config/demo.yaml")


def gpu(job: dict[str, str]) -> bool:
    return job.get("TresPerJob", job.get("TresPerNode", "gpu:0"))[-1] != "0"


@pytest.mark.slow
@BOTH
def test_two_jobs_queue_for_one_gpu(study, slurm, profile):
    before = slurm.jobs("train")
    study.snakemake(*(run_of(study, name) for name in ("vit-a", "vit-b")), *PROFILES[profile])
    first, second = latest(slurm, "train", before)
    assert gpu(first)
    assert gpu(second)

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
    before = slurm.jobs("train")
    source = study.folder / "src/trainstudy/demand.py"
    text = source.read_text()
    assert "PROGRAMS_MB = 1_500" in text
    source.write_text(text.replace("PROGRAMS_MB = 1_500", "PROGRAMS_MB = 500"))
    study.config["bases"]["vit"]["epochs"] = 60
    study.write_config()
    study.snakemake(run_of(study, "vit-a"), *PROFILES[profile], "--set-resources", "train:gpu=0")
    jobs = latest(slurm, "train", before)
    memory = [number(job, "MinMemoryNode") for job in jobs]
    assert memory == [600 * attempt for attempt in range(1, len(memory) + 1)]
    assert len(memory) in (2, 3)
    assert jobs[0]["JobState"] != "COMPLETED"
    assert jobs[-1]["JobState"] == "COMPLETED"


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
        running = pool.submit(study.snakemake, *arguments, timeout=600)
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
    assert "goes on with epoch" in log.read_text()
    assert "epoch 150/150" in log.read_text()
