"""The data sets: every module in this folder is one, found by its name.

A data set module offers
    KIND      "images" or "text"
    SHAPE     (channels, height, width), for images
    TOKENIZER the name of the vocabulary, for text
    VOCABULARY how many tokens that has, without padding, for text
    EXAMPLES  images or tokens of the training part: what jobs ask for follows from it (demand.py)
    HELD_OUT  {"validation": images, "test": images}, for images: by how much chance alone moves
              the accuracy of one run follows from it (claims.py); left out, it is taken as exact
    ORIGIN    one sentence: what the data are and where they come from; shown in the report
    EMBEDDED  True where the data come inside an installed package rather than by download
    SOURCES   {path: fetch.Source}, the files to download; {} where none are needed
    prepare   {path: file} → (arrays, manifest), see arrays.py
    load      prepared file → arrays.Dataset

The Snakefile reads SOURCES on machines that have Snakemake alone. Modules here therefore import
numpy, pyarrow and the like inside their functions.
"""

import importlib
import pkgutil
from types import ModuleType


def find(name: str) -> ModuleType:
    """Return the module of a data set."""
    return importlib.import_module(f"{__name__}.{name}")


def names() -> list[str]:
    """Return the names of all data sets."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))
