"""Interruptions of a study that real Snakemake runs."""

import base64
import math
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pandas as pd
import pytest

from trainstudy import records

LONG = "results/tiny/runs/vit-long/42/run.parquet"
EPOCHS = 40


@pytest.fixture
def long(finished):
    """A study of one run that takes some seconds, on data that are prepared."""
    finished.config["experiments"] = {"vit-long": {"base": "vit", "epochs": EPOCHS}}
    finished.config |= {"select": ["core"], "threads": 1}
    finished.write_config()
    return finished


@contextmanager
def started(study, *arguments: str) -> Iterator[subprocess.Popen]:
    """Start Snakemake as the leader of a process group, as a shell does."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-m", "snakemake", *arguments]
    with (study.folder / "output").open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=study.folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def output(study) -> str:
    return (study.folder / "output").read_text()


def wait_for(happened, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def epochs_done(study) -> int:
    """Count the epochs in the log of the run, which begins anew with every process."""
    log = study.result("logs/train/vit-long/42.log")
    return log.read_text().count("validation loss") if log.exists() else 0


def training_processes(folder: Path) -> list[int]:
    """Return the processes that run the script of a training job in a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
            if b".train.py" in command and (entry / "cwd").resolve() == folder.resolve():
                found.append(int(entry.name))
        except OSError:  # it has ended
            continue
    return found


def the_run(study) -> dict:
    (row,) = pd.read_parquet(study.folder / LONG).to_dict("records")
    return row


@pytest.mark.parametrize(
    "how", ["Ctrl-C", pytest.param("SIGTERM to the training process", marks=pytest.mark.slow)]
)
def test_an_interrupted_job_saves_itself_in_seconds_and_goes_on(long, how):
    with started(long, LONG, "--cores", "1") as snakemake:
        wait_for(lambda: epochs_done(long) >= 3)
        if how == "Ctrl-C":
            os.killpg(snakemake.pid, signal.SIGINT)
        else:
            os.kill(*training_processes(long.folder), signal.SIGTERM)
        assert snakemake.wait(timeout=300) == 1
    assert "non-zero exit status 75" in output(long)
    assert not training_processes(long.folder)
    assert long.result("checkpoints/vit-long/42/latest.safetensors").exists()
    assert not list(long.folder.glob(".snakemake/locks/*"))

    before = epochs_done(long)
    assert 3 <= before < EPOCHS  # all of them take some seconds
    assert long.run(LONG) == {"train": 1}
    log = long.result("logs/train/vit-long/42.log").read_text()
    assert f"goes on with epoch {before + 1}/{EPOCHS}" in log
    assert "resumed 1 times" in log
    assert before + epochs_done(long) == EPOCHS  # no finished epoch was repeated
    row = the_run(long)
    assert (row["resumes"], row["status"]) == (1, "finished")
    assert not long.result("checkpoints/vit-long/42").exists()
    assert long.stale(LONG) == {}


@pytest.mark.slow
def test_a_training_process_whose_snakemake_was_killed_stops_and_the_next_goes_on(long):
    with started(long, LONG, "--cores", "1") as snakemake:
        wait_for(lambda: epochs_done(long) >= 3)
        snakemake.kill()
        snakemake.wait()
        wait_for(lambda: not training_processes(long.folder))
    assert "the process that started this run is gone" in output(long)
    refused = long.snakemake("--cores", "1", LONG, check=False)
    assert "LockException" in refused
    assert "--unlock" in refused
    long.snakemake("--unlock")
    assert long.run(LONG, "--rerun-incomplete") == {"train": 1}
    assert the_run(long)["resumes"] == 1


def test_a_second_snakemake_in_the_folder_is_refused_and_harms_nothing(long):
    with started(long, LONG, "--cores", "1") as snakemake:
        wait_for(lambda: epochs_done(long) >= 1)
        (training,) = training_processes(long.folder)
        os.kill(training, signal.SIGSTOP)  # lest it ends before the second has begun
        refused = long.snakemake("--cores", "1", LONG, check=False)
        os.kill(training, signal.SIGCONT)
        assert "LockException" in refused
        assert snakemake.wait(timeout=300) == 0, output(long)
    assert the_run(long)["resumes"] == 0
    assert epochs_done(long) == EPOCHS
    assert long.stale(LONG) == {}


def test_a_killed_job_goes_on_when_snakemake_tries_it_again(long):
    with started(long, LONG, "--cores", "1", "--retries", "1") as snakemake:
        wait_for(lambda: epochs_done(long) >= 3)
        os.kill(*training_processes(long.folder), signal.SIGKILL)
        assert snakemake.wait(timeout=300) == 0, output(long)
    assert "Trying to restart job" in output(long)
    log = long.result("logs/train/vit-long/42.log").read_text()
    first = int(re.search(rf"goes on with epoch (\d+)/{EPOCHS}", log)[1])
    assert first > 1
    assert epochs_done(long) == EPOCHS - first + 1  # no epoch was repeated that had been saved
    row = the_run(long)
    assert (row["resumes"], row["status"]) == (1, "finished")


def test_a_job_killed_while_it_writes_its_results_runs_again_with_the_default_profile(finished):
    # As Snakemake leaves it when it is killed too: half an output, marked as not complete.
    weights = finished.result("runs/vit-a/42/weights.safetensors")
    whole = weights.read_bytes()
    weights.write_bytes(whole[:100])
    path = str(weights.relative_to(finished.folder))
    mark = finished.folder / ".snakemake/incomplete" / base64.b64encode(path.encode()).decode()
    mark.parent.mkdir(exist_ok=True)
    mark.touch()
    assert finished.run(path) == {"train": 1}
    assert not mark.exists()
    assert weights.read_bytes() == whole


# Many small runs


class Killer(threading.Thread):
    """Kills a share of the training processes in a folder, each at a random time.

    Those that end before their time are made up for by others.
    """

    def __init__(self, folder: Path, share: float, rng: random.Random) -> None:
        super().__init__(daemon=True)
        self.folder, self.share, self.rng = folder, share, rng
        self.over = threading.Event()
        self.killed: list[int] = []
        self.ends: dict[int, float] = {}  # when each process that was seen shall be killed

    def run(self) -> None:
        while not self.over.wait(0.05):
            running = training_processes(self.folder)
            for pid in running:
                now = time.monotonic()
                if pid not in self.ends:
                    chosen = self.rng.random() < self.share / 2 or self.is_behind(running)
                    self.ends[pid] = now + self.rng.uniform(0, 4) if chosen else math.inf
                if self.ends[pid] <= now and pid not in self.killed:
                    with suppress(ProcessLookupError):  # it has just ended
                        os.kill(pid, signal.SIGKILL)
                        self.killed.append(pid)

    def is_behind(self, running: list[int]) -> bool:
        """Say whether fewer were killed, or are going to be, than the share of those seen."""
        going = [pid for pid in running if self.ends.get(pid, math.inf) < math.inf]
        return len({*self.killed, *going}) < self.share * len(self.ends)


def many(study, count: int) -> dict[str, list[str]]:
    """Put so many tiny experiments into a study; return the names of those that are alike."""
    kinds = {
        "vit-calm": {"base": "vit", "epochs": 10},
        "vit-wild": {"base": "vit", "epochs": 10, "model": {"dropout": 0.2}},
        "vit-post": {"base": "vit", "epochs": 10, "model": {"norm": "post"}},
        "cnn-resnet": {"base": "cnn", "epochs": 2},
        "lstm-drop": {"base": "lstm", "model": {"dropout": 0.2}},
    }
    names = {kind: [f"{kind}-{i}" for i in range(count // len(kinds))] for kind in kinds}
    study.config["experiments"] = {name: kinds[kind] for kind in kinds for name in names[kind]}
    study.config |= {"checkpoint_seconds": 1, "threads": 1}
    study.write_config()
    return names


@pytest.mark.slow
def test_hundreds_of_runs_of_which_every_tenth_is_killed_end_complete(fresh):
    count = int(os.environ.get("TRAINSTUDY_SOAK", "200"))
    seed = int(os.environ.get("TRAINSTUDY_KILL_SEED", random.SystemRandom().randrange(10**6)))
    print(f"soak: TRAINSTUDY_KILL_SEED={seed}")
    names = many(fresh, count)
    fresh.run("data/prepared/digits.json", "data/prepared/pydocs.json")
    killer = Killer(fresh.folder, 0.12, random.Random(seed))
    killer.start()
    attempts = 0
    while True:
        attempts += 1
        assert attempts <= 20, output(fresh)
        # Retries for the first half of the kills, then a person who starts it again.
        with started(fresh, "--cores", "2", "--keep-going", "--retries", str(attempts % 2)) as run:
            if run.wait() == 0:
                break
    killer.over.set()
    killer.join()

    runs = pd.read_parquet(fresh.result("runs.parquet"))
    print(
        f"{count} experiments, {len(killer.ends)} training processes, {len(killer.killed)} "
        f"killed, {runs.resumes.sum()} resumed, Snakemake started {attempts} times"
    )
    assert len(killer.killed) >= count // 10
    assert runs.resumes.sum() <= len(killer.killed)
    assert sorted(runs.experiment) == sorted(name for alike in names.values() for name in alike)
    metrics = pd.read_parquet(fresh.result("metrics.parquet"))
    assert not metrics.duplicated(records.KEYS["metrics"]).any()
    metrics = metrics.query("metric != 'seconds'").drop(columns="seconds")
    for alike in names.values():
        first = rows_of(metrics, alike[0])
        assert set(first.split) == {"train", "validation", "test"}
        for name in alike[1:]:  # none misses a row, and all numbers are the same
            pd.testing.assert_frame_equal(rows_of(metrics, name), first, check_exact=True)
    assert not list(fresh.result("checkpoints").glob("*/*"))


def rows_of(metrics: pd.DataFrame, experiment: str) -> pd.DataFrame:
    rows = metrics[metrics.experiment == experiment]
    return rows.drop(columns="experiment").reset_index(drop=True)
