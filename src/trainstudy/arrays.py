"""The prepared form of every data set: one safetensors file and one JSON manifest."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from trainstudy import files

SPLITS = ("train", "validation", "test")
LINES = 5_000  # that are tokenised at a time; each token needs 200 bytes meanwhile
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


def save(arrays: dict[str, np.ndarray], manifest: dict, file: Path, manifest_file: Path) -> None:
    """Write a data set; the manifest gains the shape of every array and two checksums.

    sha256: of the file of arrays; manifest_sha256: of all else that the manifest says.
    """
    with files.whole(file) as part:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, part)
    shapes = {name: [*array.shape] for name, array in arrays.items()}
    complete = {**manifest, "shapes": shapes, "sha256": files.sha256(file)}
    complete["manifest_sha256"] = _checksum(complete)
    with files.whole(manifest_file) as part:
        part.write_text(json.dumps(complete, indent=2, sort_keys=True) + "\n")


def load(file: Path) -> Dataset:
    """Read a data set; the manifest lies beside it with the ending .json.

    Raises DataError where the file is not, byte for byte, the one that the manifest describes, or
    where that has changed itself.
    """
    manifest = read_manifest(file.with_suffix(".json"))
    if files.sha256(file) != manifest["sha256"]:
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
