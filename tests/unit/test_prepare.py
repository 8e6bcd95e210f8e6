"""How a data set comes into its prepared form; each of those there are: data/test_datasets.py."""

import hashlib
from types import SimpleNamespace

import numpy as np
import pytest

from trainstudy import arrays, data, files, gpt1, prepare
from trainstudy.fetch import Source


@pytest.mark.parametrize(("pinned", "origin"), [(True, "original"), (False, "mirrored")])
def test_an_embedding_says_whether_its_weights_are_the_published_ones(
    tmp_path, monkeypatch, pinned, origin
):
    np.save(tmp_path / "weights.npy", np.arange(30, dtype=np.float32))
    digest = files.sha256(tmp_path / "weights.npy") if pinned else "0" * 64
    pins = {"weights.npy": Source("http://x.invalid", sha256=digest)}
    monkeypatch.setattr(gpt1, "EMBEDDING_SOURCES", pins)
    monkeypatch.setattr(gpt1.embeddings, "__defaults__", (5, 4, 2))
    prepare.embedding(tmp_path, tmp_path / "table.safetensors", tmp_path / "table.json")
    prepared = arrays.load(tmp_path / "table.safetensors")
    assert prepared.manifest["origin"] == origin
    assert prepared.arrays["embedding"].shape == (6, 4)


@pytest.mark.parametrize(
    ("embedded", "pinned", "origin"),
    [(True, True, "embedded"), (False, True, "original"), (False, False, "mirrored")],
)
def test_the_manifest_says_where_the_data_come_from(
    tmp_path, monkeypatch, embedded, pinned, origin
):
    (tmp_path / "source").write_bytes(b"content")
    (tmp_path / "other").write_bytes(b"other")
    checksum = hashlib.sha256(b"content").hexdigest()
    other = hashlib.sha256(b"other").hexdigest()
    module = SimpleNamespace(
        KIND="images",
        SHAPE=(1, 2, 2),
        EXAMPLES=3,
        ORIGIN="made for a test",
        EMBEDDED=embedded,
        SOURCES={} if embedded else {
            "source": Source("http://x.invalid", sha256=checksum),
            "other": Source("http://x.invalid", sha256=other if pinned else "0" * 64),
        },
        prepare=lambda sources: (
            {
                f"{split}.{part}": np.full(shape, len(sources) % 2, np.uint8)
                for split in arrays.SPLITS
                for part, shape in (("images", (3, 1, 2, 2)), ("labels", 3))
            },
            {"classes": 2, "mean": [0.5], "deviation": [0.5]},
        ),
    )  # fmt: skip
    monkeypatch.setattr(data, "find", {"made": module}.get)
    prepare.dataset("made", tmp_path, tmp_path / "made.safetensors", tmp_path / "made.json")
    prepared = arrays.load(tmp_path / "made.safetensors")
    assert prepared.manifest["origin"] == origin
    assert prepared.manifest["dataset"] == "made"
    assert prepared.manifest["kind"] == "images"
    assert prepared.manifest["description"] == "made for a test"
    assert prepared.manifest["classes"] == 2
    assert prepared.manifest["sources"] == (
        {} if embedded else {"source": checksum, "other": other}
    )
    assert (prepared.arrays["test.images"] == len(module.SOURCES) % 2).all()
