"""Files from outside that are broken, and files of ours that must never be half-written."""

import errno
import fcntl
import io
import os
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from trainstudy import files
from trainstudy.files import DataError

SCHEMA = pa.schema({"text": pa.string()})


def read(file, schema=SCHEMA, limit=10**6) -> list:
    return [row for batch in files.parquet(file, schema, limit) for row in batch.to_pylist()]


# Writing


def test_a_file_has_its_name_only_once_it_is_complete(tmp_path):
    file = tmp_path / "a.json"
    file.write_text("before")
    with files.whole(file) as part:
        part.write_text("after")
        assert file.read_text() == "before"
        assert part.suffix == file.suffix  # writers that go by the ending, such as numpy's
    assert file.read_text() == "after"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_who_may_read_a_file_follows_from_the_umask(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        with files.whole(tmp_path / "a.safetensors") as part:
            save_file({"one": np.ones(3)}, part)  # which writes for its owner alone
    finally:
        os.umask(before)
    assert (tmp_path / "a.safetensors").stat().st_mode & 0o777 == mode


def test_content_and_name_are_on_the_disk_in_that_order(tmp_path, monkeypatch):
    done, sync, replace = [], files.sync, Path.replace
    monkeypatch.setattr(files, "sync", lambda p: done.append(("sync", p.name)) or sync(p))
    monkeypatch.setattr(
        Path, "replace", lambda p, to: done.append((p.name, to.name)) or replace(p, to)
    )
    with files.whole(tmp_path / "a.json") as part:
        part.write_text("content")
    assert done == [("sync", "a.part.json"), ("a.part.json", "a.json"), ("sync", tmp_path.name)]


@pytest.mark.parametrize("able", [True, False])
def test_on_macos_a_file_is_flushed_to_the_disk_itself(tmp_path, monkeypatch, able):
    asked = []

    def control(handle: int, command: int) -> None:
        asked.append(command)
        if not able:
            raise OSError(errno.ENOTSUP, "by the file system")

    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", control)
    monkeypatch.setattr(os, "fsync", lambda handle: asked.append("fsync"))
    files.sync(tmp_path)
    assert asked == [51] if able else [51, "fsync"]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO])
def test_a_file_system_that_cannot_sync_folders_is_no_failure(tmp_path, monkeypatch, number):
    def refuse(handle) -> None:
        raise OSError(number, "by the file system")

    monkeypatch.setattr(os, "fsync", refuse)
    with nullcontext() if number == errno.EINVAL else pytest.raises(OSError, match="by the file"):
        files.sync(tmp_path)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_a_failed_write_leaves_what_was_there_and_is_named(tmp_path, error):
    file = tmp_path / "a.json"
    file.write_text("before")

    def fail() -> None:
        with files.whole(file) as part:
            part.write_text("half")
            raise error

    with pytest.raises(type(error)) as caught:
        fail()
    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]
    assert caught.value.__notes__ == [f"{file} was not written."]


def test_a_parquet_file_that_does_not_fit_leaves_nothing(tmp_path, file_limit):
    table = pa.table({"value": np.random.default_rng(0).random(100_000)})
    with (
        pytest.raises(OSError, match="File too large"),
        file_limit(10_000),
        files.whole(tmp_path / "a.parquet") as part,
    ):
        pq.write_table(table, part)
    assert list(tmp_path.iterdir()) == []


# Reading


def test_columns_come_batch_by_batch(tmp_path):
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"more": range(2_500), "text": [f"{n}" for n in range(2_500)]}), file)
    assert read(file) == [{"text": f"{n}"} for n in range(2_500)]
    assert [len(batch) for batch in files.parquet(file, SCHEMA, 10**6)] == [1000, 1000, 500]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"txt": ["a"]}, "has no column text, but txt"),
        ({"text": [1]}, "the column text should hold string, found int64"),
        ({"text": ["a", None]}, "the column text has empty cells"),
    ],
)
def test_another_schema_is_named_with_the_cure(tmp_path, table, said):
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table(table), file)
    with pytest.raises(DataError) as caught:
        read(file)
    assert said in str(caught.value)
    assert f"Delete {file} and run again" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1PAR1", b"text\n" * 100])
def test_what_is_no_parquet_file_is_named(tmp_path, content):
    file = tmp_path / "a.parquet"
    file.write_bytes(content)
    with pytest.raises(DataError, match=f"{file} is broken"):
        read(file)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_named(tmp_path, kept):
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [f"line {n}" for n in range(1000)]}), file)
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(DataError, match=f"{file} is broken"):
        read(file)


def test_text_that_is_not_utf8_is_refused(tmp_path):
    file = tmp_path / "a.parquet"
    offsets = pa.array([0, 2, 4], pa.int32()).buffers()[1]
    text = pa.StringArray.from_buffers(2, offsets, pa.py_buffer(b"ok\xff\xfe"))
    pq.write_table(pa.table({"text": text}), file)
    with pytest.raises(DataError, match=r"is broken \(ArrowInvalid: .*UTF8.*index 1"):
        read(file)


def test_a_small_file_that_stands_for_a_gigabyte_is_refused_in_bounded_memory(tmp_path):
    file = tmp_path / "a.parquet"
    text = pa.DictionaryArray.from_arrays(np.zeros(10_000, np.int32), ["x" * 100_000])
    pq.write_table(pa.table({"text": text}), file, store_schema=False)
    assert file.stat().st_size < 200_000
    before = pa.default_memory_pool().max_memory()
    with pytest.raises(DataError, match="holds more than 1,000,000 bytes"):
        read(file)
    assert pa.default_memory_pool().max_memory() - before < 400_000_000  # a batch, not all


def test_a_missing_file_is_not_called_broken(tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.parquet")


def test_pickles_in_numpy_files_are_refused_as_broken(tmp_path):
    file, stream = tmp_path / "a.npy", io.BytesIO()
    np.save(stream, np.array([{"any": "object"}], dtype=object), allow_pickle=True)
    file.write_bytes(stream.getvalue())
    with pytest.raises(DataError, match=f"{file} is broken"), files.sound(file):
        np.load(file, allow_pickle=False)
