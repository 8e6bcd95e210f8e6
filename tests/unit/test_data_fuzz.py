"""Whatever bytes or columns stand in a Parquet file: sound data, or a DataError that names it."""

import io
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from PIL import Image

from results import a_run, curve
from trainstudy import records
from trainstudy.data import cifar10, wikitext2
from trainstudy.files import DataError

OUTCOMES: Counter[str] = Counter()
PLACE = st.integers(0, 10**9)
GENERATOR = np.random.default_rng(0)


def picture(kind: str, width: int = 32, height: int = 32, mode: str = "RGB") -> bytes:
    pixels = GENERATOR.integers(0, 256, (height, width, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, kind)
    return stream.getvalue()


IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})
PICTURES = [picture(kind) for kind in ("png", "jpeg") * 6]
TABLES = {
    "images": pa.table(
        {
            "img": pa.array([{"bytes": p, "path": "a.png"} for p in PICTURES], IMAGE),
            "label": pa.array([n % 10 for n in range(len(PICTURES))], pa.int64()),
        }
    ),
    "text": pa.table({"text": [" = Title = \n", "", " a line of words \n", "ä 語\0\n"] * 20}),
    "metrics": pa.Table.from_pylist(
        curve(a_run("vit-a"), "train", "loss", *range(9)), schema=records.METRICS
    ),
    "runs": pa.Table.from_pylist([a_run("lstm-a", best_epoch=2)], schema=records.RUNS),
}


def stored(table: pa.Table, **options) -> bytes:
    stream = io.BytesIO()
    pq.write_table(table, stream, **options)
    return stream.getvalue()


FILES = {
    name: [
        stored(table),
        stored(table, compression="none", use_dictionary=False, row_group_size=5),
        stored(table, compression="zstd", data_page_version="2.0", write_page_index=True),
    ]
    for name, table in TABLES.items()
}


# Reading


def read(name: str, file: Path) -> None:
    """Read a file as the study does and check that what is let through is sound."""
    if name == "images":
        pixels, labels = cifar10._decode(file)
        assert pixels.dtype == labels.dtype == np.uint8
        assert pixels.shape == (len(labels), 3, 32, 32)
        assert len(labels)
        assert labels.max() <= 9
    elif name == "text":
        lines = wikitext2._lines(file)
        assert lines
        assert all(line.strip() and line.encode() for line in lines)
    else:
        target = file.with_name("all.parquet")
        target.unlink(missing_ok=True)
        try:
            records.gather([file], name, target)
        except DataError:
            assert not target.exists()
            raise
        table = pq.read_table(target)
        table.validate(full=True)
        assert table.schema.equals(records.SCHEMAS[name])


def outcome(folder: Path, name: str, content: bytes) -> str:
    file = folder / f"{name}.parquet"
    file.write_bytes(content)
    said = None
    try:
        read(name, file)
    except DataError as error:
        said = str(error)
    assert not list(folder.glob("*.part*"))
    if said is None:
        return "accepted"
    assert str(file) in said or "all.parquet: two rows have" in said
    assert "elete" in said
    assert len(said) < 1_200
    return "refused"


# Mutating bytes


@st.composite
def broken_bytes(draw) -> tuple[str, bytes]:
    name = draw(st.sampled_from(sorted(FILES)))
    content = bytearray(draw(st.sampled_from(FILES[name])))
    for kind, place, other in draw(
        st.lists(st.tuples(st.integers(0, 6), PLACE, PLACE), min_size=1, max_size=3)
    ):
        size = len(content)
        if not size:
            break
        # Half of the changes fall on the last kilobyte: schema and offsets.
        at = place % size if other % 2 else size - 1 - place % min(size, 1_000)
        if kind < 3:  # one bit
            content[at] ^= 1 << other % 8
        elif kind == 3:
            content[at] = other % 256
        elif kind == 4:  # a piece is missing
            del content[at : at + 1 + other % 64]
        elif kind == 5:  # or zeroed, as a disk without power leaves it
            end = min(size, at + 1 + other % 64)
            content[at:end] = bytes(end - at)
        elif kind == 6 and other % 4 == 0:  # cut short
            del content[at:]
        else:
            content[at:at] = content[max(0, at - other % 64) : at]
    return name, bytes(content)


# Mutating columns

TYPES = [pa.int8(), pa.int32(), pa.float64(), pa.string(), pa.binary(), pa.bool_(), pa.date32(),
         pa.large_string(), pa.list_(pa.int64()), pa.struct({"bytes": pa.binary()}), pa.null(),
         pa.dictionary(pa.int32(), pa.string()), pa.timestamp("us")]  # fmt: skip
ODD_PICTURES = [
    b"", b"\0" * 9, PICTURES[0][:60], PICTURES[1][:300], PICTURES[0] + b"more", picture("gif"),
    picture("bmp"), picture("png", 31), picture("jpeg", 33, 8), picture("png", mode="L"),
    picture("png", mode="RGBA"), picture("png", mode="P"), picture("jpeg", mode="CMYK"),
    picture("png", 2_000, 2_000), b"GIF89a" + b"\xff" * 40, b"%!PS-Adobe-3.0 EPSF-3.0\n",
]  # fmt: skip


def odd_values(draw, name: str, column: str, count: int) -> pa.Array:
    """Return a column of the right type whose content is odd."""
    if column == "img":
        odd = [draw(st.sampled_from(ODD_PICTURES)) for _ in range(count)]
        mixed = [draw(st.sampled_from([p, o])) for p, o in zip(PICTURES, odd, strict=False)]
        return pa.array([{"bytes": p, "path": None} for p in mixed + odd[len(mixed) :]], IMAGE)
    if column == "label":
        return pa.array([draw(st.integers(-2, 12)) for _ in range(count)], pa.int64())
    if column == "text":  # bytes that are no UTF-8, NUL, separators, and long lines
        parts = [b"\xff\xfe", b"\0\0", b"\xed\xa0\x80", "\u2028x".encode(), b"x" * 100_000, b" \n"]
        lengths, body = [0], b""
        for _ in range(count):
            body += draw(st.sampled_from(parts))
            lengths.append(len(body))
        offsets = pa.array(lengths, pa.int32()).buffers()[1]
        return pa.StringArray.from_buffers(count, offsets, pa.py_buffer(body))
    value = draw(st.sampled_from([None, "x", float("nan"), float("inf"), -1, 0]))
    kind = TABLES[name].schema.field(column).type
    try:
        return pa.array([value] * count, kind)
    except (pa.ArrowException, TypeError, ValueError):
        return pa.nulls(count, kind)


@st.composite
def broken_columns(draw) -> tuple[str, bytes]:
    name = draw(st.sampled_from(sorted(TABLES)))
    table = TABLES[name]
    for _ in range(draw(st.integers(1, 2))):
        if not table.num_columns:
            break
        at = draw(PLACE) % table.num_columns
        column, count = table.column_names[at], table.num_rows
        kind = draw(
            st.sampled_from(["drop", "rename", "twice", "type", "nulls", "rows", "odd", "odd"])
        )
        if kind == "drop":
            table = table.remove_column(at)
        elif kind == "rename":
            names = [
                n if i != at else n.upper() + "\ud7ff" for i, n in enumerate(table.column_names)
            ]
            table = table.rename_columns(names)
        elif kind == "twice":
            table = table.append_column(column, table.column(at))
        elif kind == "type":
            table = table.set_column(at, column, pa.nulls(count, draw(st.sampled_from(TYPES))))
        elif kind == "nulls":
            table = table.set_column(at, column, pa.nulls(count, table.schema.field(at).type))
        elif kind == "rows":
            table = table.slice(0, draw(st.integers(0, 1)))
        elif column in TABLES[name].column_names:
            table = table.set_column(at, column, odd_values(draw, name, column, count))
    return name, stored(table)


def fuzz(folder: Path, cases: int, number: int) -> None:
    @seed(number)
    @settings(
        max_examples=cases,
        derandomize=False,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(broken_bytes() | broken_columns())
    def check(case: tuple[str, bytes]) -> None:
        OUTCOMES[f"{case[0]} {outcome(folder, *case)}"] += 1

    OUTCOMES.clear()
    check()
    print(f"seed {number}: {OUTCOMES.total()} cases, {dict(sorted(OUTCOMES.items()))}")
    assert OUTCOMES.total() >= cases
    assert all(OUTCOMES[f"{name} {how}"] for name in TABLES for how in ("refused", "accepted"))


@pytest.mark.parametrize("name", sorted(FILES))
def test_the_files_are_sound_before_they_are_broken(tmp_path, name):
    for content in FILES[name]:
        assert outcome(tmp_path, name, content) == "accepted"


def test_300_broken_parquet_files_give_clean_errors(tmp_path):
    fuzz(tmp_path, cases=300, number=42)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(5))
def test_10000_broken_parquet_files_give_clean_errors(tmp_path, number):
    fuzz(tmp_path, cases=2_000, number=number)
