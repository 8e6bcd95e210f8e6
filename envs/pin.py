"""Write the conda environments, pinned to the releases that requirements/run.txt locks.

Run it with `make lock`; a test fails when the files differ from what it would write.
"""

import re
from pathlib import Path

HERE = Path(__file__).parent
LOCK = HERE.parent / "requirements" / "run.txt"
PYTHON = "3.11"

# What the scripts of each step import. Only `train` needs torch; fetching needs none of it.
PACKAGES = {
    "data": [
        "numpy", "pillow", "pyarrow", "requests", "safetensors", "scikit-learn",
        "tokenizers", "tqdm",
    ],
    "train": ["numpy", "pyarrow", "safetensors", "torch"],
    "analysis": [
        "docutils", "jinja2", "markupsafe", "matplotlib", "pandas", "pyarrow", "seaborn",
    ],
}  # fmt: skip


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


if __name__ == "__main__":
    releases = locked(LOCK.read_text())
    for name, packages in PACKAGES.items():
        (HERE / f"{name}.yaml").write_text(environment(packages, releases))
