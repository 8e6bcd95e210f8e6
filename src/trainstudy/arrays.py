"""The prepared form of every data set: one safetensors file and one JSON manifest."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from trainstudy import data, fetch, files

SPLITS = ("train", "validation", "test")
LINES = 5_000  # that are tokenised at a time; each token needs 200 bytes meanwhile
# By kind: what the manifest must tell, and the type of the arrays of every split.
FORMS: dict[str, tuple[tuple[str, ...], dict[str, type]]] = {
    "images": (("classes", "mean", "deviation"), {"images": np.uint8, "labels": np.uint8}),
    "text": (("vocabulary", "bytes"), {"tokens": np.uint16}),
}
SPLIT_SEED = 42  # the published split: 10 % of the training images, by a seeded permutation


@dataclass(frozen=True)
class Dataset:
    """A prepared data set.

    arrays: for images "<split>.images" (N, C, H, W) uint8 and "<split>.labels" (N,) uint8; for
    text "<split>.tokens" (N,) uint16, where 0 is padding and never occurs.
    manifest: counts, shapes, checksums of the inputs and what the trainer must know (classes, mean
    and standard deviation per channel; vocabulary, bytes per split).
    """

    arrays: dict[str, np.ndarray]
    manifest: dict


def prepare(name: str, downloads: Path, file: Path, manifest_file: Path) -> None:
    """Bring one data set from its downloaded sources into its prepared form.

    The manifest says where the data come from: "original" (every input is the pinned file),
    "mirrored" (some input differs from it) or "embedded" (they ship inside a package). Raises
    DataError where the module makes something else than the prepared form.
    """
    module = data.find(name)
    sources = {path: downloads / path for path in module.SOURCES}
    pinned = [fetch.is_pinned(sources[path], pin) for path, pin in module.SOURCES.items()]
    arrays, manifest = module.prepare(sources)
    _check_form(module, arrays, manifest)
    manifest |= {
        "dataset": name,
        "kind": module.KIND,
        "description": module.ORIGIN,
        "origin": "embedded" if module.EMBEDDED else "original" if all(pinned) else "mirrored",
        "sources": {path: fetch.sha256(local) for path, local in sources.items()},
    }
    save(arrays, manifest, file, manifest_file)


def _check_form(module: ModuleType, arrays: dict[str, np.ndarray], manifest: dict) -> None:
    """Raise DataError where arrays or manifest are not those of a Dataset of the module's kind."""
    keys, forms = FORMS[module.KIND]
    wrong = [f"the manifest lacks '{key}'" for key in keys if key not in manifest]
    wanted = {f"{split}.{part}": form for split in SPLITS for part, form in forms.items()}
    if {*arrays} != {*wanted}:
        wrong.append(f"its arrays are {', '.join(sorted(arrays))}, not {', '.join(wanted)}")
    for name in sorted({*arrays} & {*wanted}):
        shape = (len(arrays[name]), *(module.SHAPE if name.endswith("images") else ()))
        if arrays[name].dtype != wanted[name] or arrays[name].shape != shape:
            found = f"{arrays[name].dtype} {arrays[name].shape}"
            wrong.append(f"{name} is {found}, not {np.dtype(wanted[name])} {shape}")
    wrong += [f"{name} is empty" for name, array in arrays.items() if not len(array)]
    if wrong := wrong or _out_of_range(module.KIND, arrays, manifest):
        raise files.DataError(f"{module.__file__}, prepare: {'; '.join(wrong)}.")


def _out_of_range(kind: str, arrays: dict[str, np.ndarray], manifest: dict) -> list[str]:
    """Return which labels or tokens of arrays of the right form are not possible."""
    if kind == "images":
        part, lowest, highest = "labels", 0, manifest["classes"] - 1
    else:
        part, lowest, highest = "tokens", 1, manifest["vocabulary"] - 1  # 0 is padding
    return [
        f"{name} go from {array.min()} to {array.max()}, not {lowest} to {highest}"
        for name, array in arrays.items()
        if name.endswith(part) and not lowest <= array.min() <= array.max() <= highest
    ]


def save(arrays: dict[str, np.ndarray], manifest: dict, file: Path, manifest_file: Path) -> None:
    """Write a data set; the manifest gains the shape of every array and two checksums.

    sha256: of the file of arrays; manifest_sha256: of all else that the manifest says.
    """
    with files.whole(file) as part:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, part)
    shapes = {name: [*array.shape] for name, array in arrays.items()}
    complete = {**manifest, "shapes": shapes, "sha256": fetch.sha256(file)}
    complete["manifest_sha256"] = _checksum(complete)
    with files.whole(manifest_file) as part:
        part.write_text(json.dumps(complete, indent=2, sort_keys=True) + "\n")


def load(file: Path) -> Dataset:
    """Read a data set; the manifest lies beside it with the ending .json.

    Raises DataError where the file is not, byte for byte, the one that the manifest describes, or
    where that has changed itself.
    """
    manifest = read_manifest(file.with_suffix(".json"))
    if fetch.sha256(file) != manifest["sha256"]:
        raise files.DataError(f"{file} has changed since it was prepared. {_cure(file)}")
    with safe_open(file, framework="numpy") as stored:
        arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118, no dict
    return Dataset(arrays, manifest)


def read_manifest(file: Path) -> dict:
    """Read a manifest. Raises DataError where it does not say what was written."""
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        expected = manifest["manifest_sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise files.DataError(f"{file} is broken ({error!r}). {_cure(file)}") from error
    if _checksum(manifest) != expected:
        raise files.DataError(f"{file} has changed since it was prepared. {_cure(file)}")
    return manifest


def _checksum(manifest: dict) -> str:
    """Return the SHA-256 of what a manifest says, but for its own."""
    content = {key: value for key, value in manifest.items() if key != "manifest_sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _cure(file: Path) -> str:
    pair = f"{file.with_suffix('.safetensors')} and {file.with_suffix('.json')}"
    return f"Delete {pair} and run again."


def split_images(images: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Part a training set (N, C, H, W), (N,) into 90 % training and 10 % validation.

    Raises DataError for fewer than ten images, a tenth of which would be none.
    """
    held_out = len(images) // 10
    if not held_out:
        raise files.DataError(
            f"{len(images)} training images are too few: a tenth is held out for validation, so "
            "at least 10 are needed."
        )
    order = np.random.default_rng(SPLIT_SEED).permutation(len(images))
    train, validation = order[:-held_out], order[-held_out:]
    return {
        "train.images": images[train],
        "train.labels": labels[train],
        "validation.images": images[validation],
        "validation.labels": labels[validation],
    }


def encode(tokenizer, lines: list[str]) -> np.ndarray:
    """Return the tokens of all lines in a row, (N,) uint16; ids are shifted by 1, 0 is padding.

    Raises DataError where the lines hold no token at all, or one beyond 16 bits.
    """
    parts = [np.empty(0, dtype=np.int64)]
    for first in range(0, len(lines), LINES):
        encoded = tokenizer.encode_batch_fast(
            lines[first : first + LINES], add_special_tokens=False
        )
        parts += [np.asarray(line.ids, dtype=np.int64) for line in encoded]
    tokens = np.concatenate(parts) + 1
    if not tokens.size:
        raise files.DataError("a split of the text holds no token; its source is empty or broken.")
    if tokens.max() > np.iinfo(np.uint16).max:
        raise files.DataError(f"token {tokens.max()} does not fit the prepared form (16 bits)")
    return tokens.astype(np.uint16)


def tokenise(tokenizer, splits: dict[str, list[str]]) -> tuple[dict[str, np.ndarray], dict]:
    """Return the arrays of a text data set, and the part of its manifest that follows from them.

    `splits` holds the lines of each split. bytes: UTF-8 bytes of the lines as they came, with
    their line ends, the denominator of bits per byte.
    """
    arrays = {f"{name}.tokens": encode(tokenizer, lines) for name, lines in splits.items()}
    size = {name: sum(len(line.encode()) for line in lines) for name, lines in splits.items()}
    return arrays, {"vocabulary": tokenizer.get_vocab_size() + 1, "bytes": size}
