"""The profile for Kubernetes, against a stand-in for its API that runs jobs as processes."""

import os
import sys
from pathlib import Path

import pandas as pd
import pytest
from kubernetes_api import Kubernetes


@pytest.fixture
def cluster(tmp_path_factory):
    python = str(Path(sys.executable).parent)
    server = Kubernetes(
        tmp_path_factory.mktemp("kubernetes"), {"PATH": f"{python}:{os.environ['PATH']}"}
    )
    yield server
    server.close()


@pytest.mark.slow
def test_jobs_become_pods_with_memory_gpu_and_the_shared_folder(fresh, cluster):
    fresh.environment = {"KUBECONFIG": str(cluster.kubeconfig), "PWD": str(fresh.folder)}
    for ending in ("safetensors", "json"):
        file = fresh.folder / f"data/prepared/pydocs.{ending}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("nothing that was prepared")
    good, bad = (f"results/tiny/runs/{name}/42/run.parquet" for name in ("vit-a", "lstm-a"))
    output = fresh.snakemake(
        good, bad, "--workflow-profile", "kubernetes", "--retries", "1", check=False
    )
    assert pd.read_parquet(fresh.folder / good).status.tolist() == ["finished"]
    said = [
        file
        for file in (fresh.folder / ".snakemake/auxiliary/kubernetes-logs").glob("*.log")
        if "pydocs.json is broken" in file.read_text()
    ]
    assert said
    assert all(file.name in output for file in said)

    asked = [job["resources"] for job in cluster.jobs.values()]
    prepare, trains = asked[0], [each for each in asked if "nvidia.com/gpu" in each["limits"]]
    assert prepare["limits"]["memory"] == "1100M"
    assert sorted(each["limits"]["memory"] for each in trains) == ["11200M", "5600M", "5600M"]
    assert all(each["limits"]["nvidia.com/gpu"] == "1" for each in trains)
    for job in cluster.jobs.values():
        assert {"name": "study", "mountPath": "/study"} in job["volumeMounts"]
        assert job["image"] == "registry.example.org/trainstudy:0.1.0"
