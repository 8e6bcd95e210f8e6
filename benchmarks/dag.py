"""How long Snakemake plans a large study, and in how much memory.

Plans 1,000 experiments with 5 seeds each in a folder of its own, prints seconds and peak memory and
writes benchmarks/results/dag.json. Fails where they are above LIMITS. Needs the machine for itself,
half a minute.
"""

import argparse
import datetime
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from trainstudy import provenance

ROOT = Path(__file__).parents[1]
PARTS = ("Snakefile", "envs", "profiles", "report", "resources", "src", "workflow")
BASES = ("lstm", "vit", "resnet", "densenet")
LIMITS = {"seconds": 60, "memory_mib": 2_048}


def declare(experiments: int, seeds: int, folder: Path) -> None:
    """Write a study into a folder: the project's bases, each experiment with a rate of its own."""
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, folder / part)
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["seeds"] = list(range(seeds))
    config["select"] = [f"sweep-{index}" for index in range(experiments)]
    config["experiments"] = {
        name: {"base": BASES[index % len(BASES)], "optimizer": {"lr": 1e-4 + 1e-6 * index}}
        for index, name in enumerate(config["select"])
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


def plan(folder: Path) -> dict:
    """Return seconds, peak memory and number of jobs of one `snakemake --dry-run`."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--dry-run"],
        cwd=folder, env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    (jobs,) = {int(count) for count in re.findall(r"^total +(\d+)$", done.stdout, re.M)}
    return {
        "seconds": round(seconds, 1),
        "memory_mib": round(memory / (1 << (20 if sys.platform == "darwin" else 10))),
        "jobs": jobs,
    }


def above(result: dict) -> list[str]:
    """Return a line for every limit that a result breaks."""
    return [
        f"{name}: {result[name]:,} is above {limit:,}"
        for name, limit in LIMITS.items()
        if result[name] > limit
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=1_000)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        declare(arguments.experiments, arguments.seeds, Path(folder))
        result = plan(Path(folder))
    print("{jobs:,} jobs: {seconds} s, {memory_mib} MiB".format(**result))
    facts = {"date": datetime.date.today().isoformat(), "machine": provenance.machine()}
    file = ROOT / "benchmarks/results/dag.json"
    file.write_text(json.dumps(facts | vars(arguments) | result, indent=2) + "\n")
    if broken := above(result):
        raise SystemExit("\n".join(broken))


if __name__ == "__main__":
    main()
