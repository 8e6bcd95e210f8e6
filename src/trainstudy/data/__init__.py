"""The data sets: every module in this folder is one, found by its name.

A data set module offers
    KIND      "images" or "text"
    SHAPE     (channels, height, width), for images, which are square
    TOKENIZER the name of the vocabulary, for text
    VOCABULARY how many tokens that has, without padding, for text
    EXAMPLES  images of the training part, or about how many tokens: what jobs ask for follows from
              it (demand.py), and what batch or sequence is too large (misfits.py)
    HELD_OUT  {"validation": images, "test": images}, for images: by how much chance alone moves
              the accuracy of one run follows from it; left out, that is taken as exact
    ORIGIN    one sentence: what the data are and where they come from; shown in the report
    EMBEDDED  True where the data come inside an installed package rather than by download
    SOURCES   {path: fetch.Source}, the files to download; {} where none are needed
    prepare   {path: file} → (arrays, manifest), see prepare.py and arrays.py

Files of one's own are SOURCES too: any https address that ends in their name, their sha256, and
their folder, with a SHA256SUMS file, as `mirror` (docs/running.md). One that changes is fetched
again where its sha256 here changes, too.

The Snakefile reads SOURCES on machines that have Snakemake alone. Modules here therefore import
numpy, pyarrow and the like inside their functions.
"""

import importlib
import pkgutil
from pathlib import Path
from types import FunctionType, ModuleType

from trainstudy.fetch import Source

OFFERED: dict[str, type] = {
    "KIND": str, "EXAMPLES": int, "ORIGIN": str, "EMBEDDED": bool, "SOURCES": dict,
    "prepare": FunctionType,
}  # fmt: skip
OFFERED_BY_KIND: dict[str, dict[str, type]] = {
    "images": {"SHAPE": tuple}, "text": {"TOKENIZER": str, "VOCABULARY": int},
}  # fmt: skip


def find(name: str) -> ModuleType:
    """Return the module of a data set."""
    return importlib.import_module(f"{__name__}.{name}")


def names() -> list[str]:
    """Return the names of all data sets."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def _odd(module: ModuleType) -> list[str]:
    """Return what a module offers that has the right type and yet is none of a data set."""
    shape, held_out = getattr(module, "SHAPE", (1, 1, 1)), getattr(module, "HELD_OUT", None)
    counts = [module.EXAMPLES, getattr(module, "VOCABULARY", 1)]
    checks = {
        f"KIND has to be {' or '.join(OFFERED_BY_KIND)}": module.KIND in OFFERED_BY_KIND,
        "EXAMPLES and VOCABULARY have to be above 0": all(map(_is_count, counts)),
        "SHAPE has to be (channels, height, width), three whole numbers above 0": len(shape) == 3
        and all(map(_is_count, shape)),
        "HELD_OUT has to be a mapping from validation and test to their numbers of images":
            held_out is None
            or (
                isinstance(held_out, dict)
                and {*held_out} == {"validation", "test"}
                and all(map(_is_count, held_out.values()))
            ),
        "SOURCES has to hold a fetch.Source for each path, which is text": all(
            isinstance(path, str) and isinstance(source, Source)
            for path, source in module.SOURCES.items()
        ),
    }  # fmt: skip
    return [said for said, holds in checks.items() if not holds]


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def problems() -> list[str]:
    """Return what is wrong with the modules: what they do not offer, and paths of two sources."""
    found: list[str] = []
    owners: dict[str, tuple[str, object]] = {}
    for name in names():
        try:
            module = find(name)
        except Exception as error:  # anything that Python may find in it
            file = Path(__file__).with_name(f"{name}.py")
            said = f"{type(error).__name__}: {error}"
            found.append(f"{file}: cannot be imported ({said}). Fix or move it.")
            continue
        wanted = OFFERED | OFFERED_BY_KIND.get(getattr(module, "KIND", ""), {})
        lacking = [
            key for key, kind in wanted.items() if not isinstance(getattr(module, key, None), kind)
        ]
        if lacking:
            found.append(
                f"{module.__file__}: lacks {', '.join(lacking)}, or has them of another type; "
                "data/__init__.py says what a data set offers. Add them, or move the file."
            )
            continue
        if odd := _odd(module):
            found.append(f"{module.__file__}: {'; '.join(odd)}.")
            continue
        for path, source in module.SOURCES.items():
            owner, other = owners.setdefault(path, (name, source))
            if other != source:
                found.append(
                    f"{module.__file__}: its source '{path}' is another file in {owner}.py; "
                    "choose another path."
                )
    return found
