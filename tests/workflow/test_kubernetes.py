"""The profile for Kubernetes, against a stand-in for its API that runs jobs as processes."""

import os
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
from kubernetes_api import Kubernetes


@pytest.fixture
def cluster(tmp_path_factory):
    if not shutil.which("rsync"):
        pytest.skip("no rsync, with which the storage plugin copies files")
    python = str(Path(sys.executable).parent)
    server = Kubernetes(
        tmp_path_factory.mktemp("kubernetes"), {"PATH": f"{python}:{os.environ['PATH']}"}
    )
    yield server
    server.close()


@pytest.mark.slow
def test_jobs_become_pods_with_memory_gpu_and_the_shared_folder(fresh, cluster, tmp_path):
    # Not KUBECONFIG, which the library reads when it is imported: before Snakemake is forked.
    (tmp_path / ".kube").mkdir()
    shutil.copy(cluster.kubeconfig, tmp_path / ".kube/config")
    fresh.environment = {"HOME": str(tmp_path), "PWD": str(fresh.folder)}
    fresh.run("data/prepared/pydocs.safetensors")
    fresh.damage("data/prepared/pydocs.safetensors")
    good, bad = (f"results/tiny/runs/{name}/42/run.parquet" for name in ("vit-a", "lstm-a"))
    output = fresh.snakemake(
        good, bad, "--workflow-profile", "kubernetes", "--retries", "1", check=False
    )
    assert pd.read_parquet(fresh.folder / good).status.tolist() == ["finished"]
    said = [
        file
        for file in (fresh.folder / ".snakemake/auxiliary/kubernetes-logs").glob("*.log")
        if "pydocs.safetensors has changed since it was prepared" in file.read_text()
    ]
    assert said
    assert all(file.name in output for file in said)

    asked = [job["resources"] for job in cluster.jobs.values()]
    trains = [each for each in asked if "nvidia.com/gpu" in each["limits"]]
    (prepare,) = [each for each in asked if each not in trains]
    assert prepare["limits"]["memory"] == "1100M"
    assert sorted(each["limits"]["memory"] for each in trains) == ["11200M", "5600M", "5600M"]
    assert all(each["limits"]["nvidia.com/gpu"] == "1" for each in trains)
    for job in cluster.jobs.values():
        assert {"name": "study", "mountPath": "/study"} in job["volumeMounts"]
        assert job["image"] == "registry.example.org/trainstudy:0.1.0"
