"""Write the conda environments, pinned to the releases that requirements/cluster.txt locks, and the
definition of one image that holds those of all rules.

Run it with `make lock`; a test fails when the files differ from what it would write.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
LOCK = HERE.parent / "requirements" / "cluster.txt"
PYTHON = "3.11"

# What the scripts of each step import. Only `train` needs torch; fetching needs none of it.
# `snakemake` is for whoever starts the study, and holds what the Snakefile itself imports.
PACKAGES = {
    "data": [
        "numpy", "pillow", "pyarrow", "requests", "safetensors", "scikit-learn",
        "tokenizers", "tqdm",
    ],
    "train": ["numpy", "nvidia-ml-py", "pyarrow", "safetensors", "torch"],
    "analysis": [
        "docutils", "jinja2", "jsonschema", "markupsafe", "matplotlib", "pandas", "pyarrow",
        "pyyaml", "scipy",
    ],
    "snakemake": [
        "jsonschema", "pygments", "pyyaml", "snakemake",
        "snakemake-executor-plugin-cluster-generic", "snakemake-executor-plugin-kubernetes",
        "snakemake-executor-plugin-slurm", "snakemake-logger-plugin-rich",
        "snakemake-storage-plugin-fs",
    ],
}  # fmt: skip


CONDA = """\
#!/bin/sh
case $1 in
  info) echo '{"platform": "linux-64", "conda_prefix": "/"}' ;;
  --version) echo conda 26.7.0 ;;
  config) echo '{"get": {"channel_priority": "strict"}}' ;;
esac
"""


def locked(lock: str) -> dict[str, str]:
    """Return the release of every package that the lock names for this Python on Linux."""
    releases = {}
    for name, release, marker in re.findall(
        r"^([\w.-]+)==([^\s;\\]+)(?: ; ([^\\\n]+))?", lock, re.M
    ):
        if "python_full_version >= " not in marker:
            releases[name] = release
    return releases


def environment(packages: list[str], releases: dict[str, str]) -> str:
    """Return the YAML of one environment."""
    pins = "".join(f"      - {name}=={releases[name]}\n" for name in packages)
    return (
        f"channels:\n  - conda-forge\ndependencies:\n  - python={PYTHON}\n  - pip\n  - pip:\n{pins}"
    )


def image() -> str:
    """Return Snakemake's definition of an Apptainer image with the environments of all rules.

    Snakemake asks conda who it is and nothing else; a stand-in answers, so that the definition is
    the same on every machine, with conda or without.
    """
    with tempfile.TemporaryDirectory() as folder:
        conda = Path(folder, "conda")
        conda.write_text(CONDA)
        conda.chmod(0o755)
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", "--containerize", "apptainer", "--sdm", "conda"],
            cwd=HERE.parent, env=os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"},
            check=True, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
    return done.stdout


if __name__ == "__main__":
    releases = locked(LOCK.read_text())
    for name, packages in PACKAGES.items():
        (HERE / f"{name}.yaml").write_text(environment(packages, releases))
    (HERE / "image.def").write_text(image())
