"""Bring a data set into its prepared form, and refuse what is none."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import numpy as np

from trainstudy import arrays, data, fetch, files, gpt1

# By kind: what the manifest must tell, and the type of the arrays of every split.
FORMS: dict[str, tuple[tuple[str, ...], dict[str, type]]] = {
    "images": (("classes", "mean", "deviation"), {"images": np.uint8, "labels": np.uint8}),
    "text": (("vocabulary", "bytes"), {"tokens": np.uint16}),
}


def dataset(name: str, downloads: Path, file: Path, manifest_file: Path) -> None:
    """Bring one data set from its downloaded sources into its prepared form.

    The manifest says where the data come from: "original" (every input is the pinned file),
    "mirrored" (some input differs from it) or "embedded" (they ship inside a package). Raises
    DataError where the module makes something else than the prepared form, or a source is broken.
    """
    module = data.find(name)
    sources = {path: downloads / path for path in module.SOURCES}
    made, manifest = module.prepare(sources)
    manifest = _as_json(module, manifest)
    _check_form(module, made, manifest)
    manifest |= {
        "dataset": name,
        "kind": module.KIND,
        "description": module.ORIGIN,
        "origin": "embedded" if module.EMBEDDED else _origin(module.SOURCES, downloads),
        "sources": {path: files.sha256(local) for path, local in sources.items()},
    }
    arrays.save(made, manifest, file, manifest_file)


def embedding(downloads: Path, file: Path, manifest_file: Path) -> None:
    """Take GPT-1's token embeddings out of its published weights; the manifest tells the origin.

    Raises DataError where they are broken.
    """
    table = gpt1.embeddings([downloads / path for path in gpt1.EMBEDDING_SOURCES])
    manifest = {"origin": _origin(gpt1.EMBEDDING_SOURCES, downloads)}
    arrays.save({"embedding": table}, manifest, file, manifest_file)


def _origin(pins: Mapping[str, fetch.Source], downloads: Path) -> str:
    pinned = (fetch.is_pinned(downloads / path, pin) for path, pin in pins.items())
    return "original" if all(pinned) else "mirrored"


def _as_json(module: ModuleType, manifest: dict) -> dict:
    """Return a manifest as JSON has it, numbers and arrays of numpy as plain ones.

    Raises DataError for anything else that JSON has not.
    """
    try:
        return json.loads(json.dumps(manifest, default=lambda value: value.tolist()))
    except (AttributeError, TypeError, ValueError) as error:
        raise files.DataError(
            f"{module.__file__}, prepare: the manifest holds what JSON has not: {error}"
        ) from None


def _check_form(module: ModuleType, made: dict[str, np.ndarray], manifest: dict) -> None:
    """Raise DataError where arrays or manifest are not those of a Dataset of the module's kind."""
    keys, forms = FORMS[module.KIND]
    wrong = [f"the manifest lacks '{key}'" for key in keys if key not in manifest]
    wanted = {f"{split}.{part}": form for split in arrays.SPLITS for part, form in forms.items()}
    if {*made} != {*wanted}:
        wrong.append(f"its arrays are {', '.join(sorted(made))}, not {', '.join(wanted)}")
    for name in sorted({*made} & {*wanted}):
        shape = (len(made[name]), *(module.SHAPE if name.endswith("images") else ()))
        if made[name].dtype != wanted[name] or made[name].shape != shape:
            found = f"{made[name].dtype} {made[name].shape}"
            wrong.append(f"{name} is {found}, not {np.dtype(wanted[name])} {shape}")
    wrong += [f"{name} is empty" for name, array in made.items() if not len(array)]
    if wrong := wrong or _out_of_range(module, made, manifest):
        raise files.DataError(f"{module.__file__}, prepare: {'; '.join(wrong)}.")


def _miscounted(module: ModuleType, made: dict[str, np.ndarray]) -> list[str]:
    """Return where images and labels are not as many, or others than the module has declared."""
    counts = {split: len(made[f"{split}.images"]) for split in arrays.SPLITS}
    labels = {split: len(made[f"{split}.labels"]) for split in arrays.SPLITS}
    wrong = [
        f"{split}: {count:,} images have {labels[split]:,} labels"
        for split, count in counts.items()
        if count != labels[split]
    ]
    if counts["train"] != module.EXAMPLES:
        wrong.append(f"train: {counts['train']:,} images, and EXAMPLES says {module.EXAMPLES:,}")
    return wrong + [
        f"{split}: {counts[split]:,} images, and HELD_OUT says {said:,}"
        for split, said in getattr(module, "HELD_OUT", {}).items()
        if counts[split] != said
    ]


def _out_of_range(module: ModuleType, made: dict[str, np.ndarray], manifest: dict) -> list[str]:
    """Return which numbers are not possible in arrays and a manifest of the right form."""
    wrong = []
    if module.KIND == "images":
        wrong += _miscounted(module, made)
        part, lowest, highest = "labels", 0, manifest["classes"] - 1
        for key, above in (("mean", -math.inf), ("deviation", 0)):
            values = manifest[key]
            channels = (module.SHAPE[0],)
            if np.shape(values) != channels or not all(above < v < math.inf for v in values):
                bound = " above 0" if above == 0 else ""
                wrong.append(f"'{key}' is {values}, not a finite number{bound} for each channel")
    else:
        part, lowest, highest = "tokens", 1, manifest["vocabulary"] - 1  # 0 is padding
    return wrong + [
        f"{name} go from {array.min()} to {array.max()}, not {lowest} to {highest}"
        for name, array in made.items()
        if name.endswith(part) and not lowest <= array.min() <= array.max() <= highest
    ]
