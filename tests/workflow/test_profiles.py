"""What the profiles ask for, and the script that tells cluster-generic how a Slurm job fares."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from mirrors import mirror_of

PROFILES = Path(__file__).parents[2] / "profiles"
STATUS = PROFILES / "cluster-generic/status.sh"
FORGOTTEN = "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1"
DOWN = "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1"


@pytest.mark.parametrize(
    ("squeue", "sacct", "status"),
    [
        ("echo PENDING", "exit 9", "running"),
        ("echo RUNNING", "exit 9", "running"),
        ("echo COMPLETING", "exit 9", "running"),
        ("echo PREEMPTED", "exit 9", "running"),
        ("echo COMPLETED", "exit 9", "success"),
        ("echo CANCELLED", "exit 9", "failed"),
        ("echo OUT_OF_MEMORY", "exit 9", "failed"),
        ("echo TIMEOUT", "exit 9", "failed"),
        (FORGOTTEN, "echo '  COMPLETED '", "success"),
        (FORGOTTEN, "echo 'CANCELLED by 1000'", "failed"),
        (FORGOTTEN, "echo '  PREEMPTED '", "failed"),
        (FORGOTTEN, "exit 1", "failed"),
        (DOWN, "echo FAILED", "running"),
    ],
)
def test_the_status_of_a_job_follows_squeue_then_sacct(squeue, sacct, status, tmp_path):
    for name, answer in {"squeue": squeue, "sacct": sacct}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{answer}\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        [STATUS, "17"], env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}, capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.stdout == f"{status}\n"


@pytest.mark.parametrize(
    ("arguments", "order"),
    [
        ([], ["rule", "Finished", "rule", "Finished"]),
        (["--resources", "gpu=2"], ["rule", "rule", "Finished", "Finished"]),
    ],
)
def test_training_jobs_take_turns_on_the_gpus_there_are(finished, arguments, order):
    """One GPU, unless more are named; where one job waits, it starts after the other's end."""
    rules = finished.folder / "workflow/rules/resources.smk"
    text = rules.read_text()
    assert "GPUS = int(provenance.has_gpu())\n" in text
    rules.write_text(text.replace("GPUS = int(provenance.has_gpu())\n", "GPUS = 1\n"))
    runs = [f"results/tiny/runs/{name}/42/run.parquet" for name in ("vit-a", "vit-b")]
    output = finished.snakemake("--cores", "2", *runs, "--forcerun", "train", *arguments)
    events = re.findall(r"^local(rule) train:|^(Finished) jobid: \d+ \(Rule: train\)", output, re.M)
    assert [begun or ended for begun, ended in events] == order


def test_files_are_fetched_where_snakemake_runs(fresh, tmp_path):
    """Nodes of a cluster often have no network."""
    path, content = "gpt1/vocab_40000.bpe", b"#version: 0.2\n"
    mirror = mirror_of(tmp_path / "mirror", {path: content})
    fetched = f"data/downloads/{path}"
    arguments = ("--workflow-profile", "cluster-generic", "--config", f"mirror={mirror}")
    fresh.snakemake(fetched, *arguments, "--cluster-generic-submit-cmd", "exit 1")
    assert (fresh.folder / fetched).read_bytes() == content


@pytest.mark.parametrize("name", ["slurm", "cluster-generic", "kubernetes"])
def test_every_profile_reruns_what_the_default_one_does(name):
    ours, default = (
        yaml.safe_load((PROFILES / one / "config.yaml").read_text()) for one in (name, "default")
    )
    for key in ("rerun-triggers", "rerun-incomplete", "max-checksum-file-size"):
        assert ours[key] == default[key], key


def test_jobs_elsewhere_are_sent_with_the_threads_that_they_take(fresh):
    """auto is one thread there, however many cores this machine has for how few runs."""
    output = fresh.snakemake(
        *("--dry-run", "results/tiny/runs/vit-a/42/run.parquet", "--cores", "16"),
        *("--workflow-profile", "cluster-generic", "--config", "threads=auto"),
    )
    job = output.partition("rule train:")[2]
    assert "threads:" not in job.partition("\n\n")[0]  # Snakemake prints none for one


def test_the_default_profile_cuts_no_threads_of_a_job_elsewhere(fresh):
    """--profile, in place of --workflow-profile, leaves profiles/default in force."""
    output = fresh.snakemake(
        *("data/prepared/digits.json", "--set-threads", "prepare=64", "--retries", "0"),
        *("--profile", "profiles/cluster-generic"),
        *("--cluster-generic-submit-cmd", "echo {threads} > asked; exit 1"),
        check=False,
    )
    assert "and workflow specific profile profiles/default" in output
    assert (fresh.folder / "asked").read_text() == "64\n"
