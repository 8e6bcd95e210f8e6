"""Environments that hold the pins of one file in envs/ with all they need, and nothing else.

They are made of links to what is installed for the tests, so that no download is needed.
"""

import re
import venv
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


def pins(file: Path) -> dict[str, str]:
    """Return the releases that an environment file pins, by package."""
    (listed,) = (
        part["pip"]
        for part in yaml.safe_load(file.read_text())["dependencies"]
        if isinstance(part, dict)
    )
    return dict(line.split("==") for line in listed)


def closure(packages: list[str]) -> dict[str, Distribution]:
    """Return the packages and all that they require on this machine, by name."""
    found: dict[str, Distribution] = {}
    waiting = [Requirement(package) for package in packages]
    seen = set()
    while waiting:
        requirement = waiting.pop()
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        extras = frozenset(requirement.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            raise LookupError(f"{name} is not installed; it is needed by {packages}") from None
        for text in found[name].requires or []:
            needed = Requirement(text)
            if needed.marker is None or any(
                needed.marker.evaluate({"extra": extra}) for extra in extras | {""}
            ):
                waiting.append(needed)
    return found


def make(file: Path, folder: Path) -> Path:
    """Make the environment of a file; return its Python."""
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for package in closure(list(pins(file))).values():
        for top in {path.parts[0] for path in package.files or [] if path.parts[0] != ".."}:
            link = site / top
            if top != "__pycache__" and not link.exists():
                link.symlink_to(package.locate_file(top))
    return folder / "bin/python"


if __name__ == "__main__":
    import sys

    make(Path(sys.argv[1]), Path(sys.argv[2]))
