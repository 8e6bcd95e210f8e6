"""Every data set: the contract of trainstudy.data, and what its prepared form holds."""

import hashlib
import importlib
import io
import json
import re
import sys
import tracemalloc
from pydoc_data.topics import topics
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from trainstudy import arrays, data, gpt1, prepare
from trainstudy.data import cifar10, digits, pydocs, wikitext2
from trainstudy.fetch import Source
from trainstudy.files import DataError

SPLITS = ("train", "validation", "test")


# The contract


def test_the_data_sets_of_the_study_are_found():
    assert {"cifar10", "digits", "pydocs", "wikitext2"} <= set(data.names())
    assert data.names() == sorted(data.names())


@pytest.mark.parametrize("name", data.names())
def test_a_data_set_keeps_the_contract(name):
    module = data.find(name)
    assert module.KIND in ("images", "text")
    if module.KIND == "images":
        channels, height, width = module.SHAPE
        assert channels >= 1
        assert height == width  # augmentation and patches take square images
    else:
        assert module.TOKENIZER
    assert isinstance(module.ORIGIN, str)
    assert "\n" not in module.ORIGIN
    assert isinstance(module.EMBEDDED, bool)
    assert module.EMBEDDED == (not module.SOURCES)
    assert all(isinstance(source, Source) for source in module.SOURCES.values())
    assert all(not path.startswith(("/", ".")) for path in module.SOURCES)
    assert callable(module.prepare)


def test_a_module_that_is_dropped_into_the_folder_is_a_data_set(tmp_path, monkeypatch):
    (tmp_path / "birds.py").write_text('KIND = "images"\nSHAPE = (3, 64, 64)\n')
    monkeypatch.setattr(data, "__path__", [*data.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "trainstudy.data.birds", raising=False)
    assert "birds" in data.names()
    assert data.find("birds").SHAPE == (3, 64, 64)
    del sys.modules["trainstudy.data.birds"]
    del data.birds


@pytest.fixture
def added(tmp_path, monkeypatch):
    """Return a function that adds a data set of one's own: {name: value} in the words of Python."""
    monkeypatch.setattr(data, "__path__", [*data.__path__, str(tmp_path)])
    made = []

    def add(name: str, **offered: str) -> None:
        words = GOOD | offered
        lines = [f"{key} = {value}" for key, value in words.items() if value is not None]
        text = "from trainstudy.fetch import Source\nimport numpy as np\n" + "\n".join(lines)
        (tmp_path / f"{name}.py").write_text(f"{text}\n")
        made.append(name)
        # Python keeps a folder's listing until its time changes, which on some systems it does
        # not in the same four milliseconds.
        importlib.invalidate_caches()

    yield add
    for name in made:
        sys.modules.pop(f"trainstudy.data.{name}", None)
        vars(data).pop(name, None)


GOOD = {
    "KIND": '"images"', "SHAPE": "(3, 4, 4)", "EXAMPLES": "5", "ORIGIN": '"birds"',
    "EMBEDDED": "True", "SOURCES": "{}",
    "FACTS": '{"classes": 2, "mean": [0.5] * 3, "deviation": [0.5] * 3}',
    "IMAGES": "np.zeros((5, 3, 4, 4), np.uint8)", "LABELS": "np.arange(5).astype(np.uint8) % 2",
    "prepare": """lambda sources: (
    {f"{s}.{p}": a for s in ("train", "validation", "test")
     for p, a in (("images", IMAGES), ("labels", LABELS))}, dict(FACTS))""",
}  # fmt: skip


def test_the_data_sets_of_the_study_have_no_problems():
    assert data.problems() == []


@pytest.mark.parametrize("lacks", ["KIND", "SHAPE", "EXAMPLES", "ORIGIN", "EMBEDDED", "SOURCES"])
def test_what_a_data_set_does_not_offer_is_named_before_anything_runs(added, lacks):
    added("birds", **{lacks: None})
    (problem,) = data.problems()
    assert problem.endswith("Add them, or move the file.")
    assert re.search(rf"birds\.py: lacks {lacks}, or has them of another type", problem)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("none", "NameError: name 'none' is not defined"),
        ("(1", "SyntaxError: '(' was never closed"),
    ],
)
def test_a_module_that_cannot_be_imported_is_named_before_anything_runs(added, value, said):
    added("birds", SHAPE=value)
    (problem,) = data.problems()
    assert re.search(rf"birds\.py: cannot be imported \({re.escape(said)}", problem)
    assert problem.endswith(" Fix or move it.")


SHAPE = "SHAPE has to be (channels, height, width), three whole numbers above 0."
HELD_OUT = "HELD_OUT has to be a mapping from validation and test to their numbers of images."
SOURCES = "SOURCES has to hold a fetch.Source for each path, which is text."


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"KIND": '"image"'}, "KIND has to be images or text."),
        *(({"SHAPE": shape}, SHAPE) for shape in ("(8, 8)", "(1, 8.0, 8.0)", "(0, 8, 8)")),
        *(
            ({"HELD_OUT": held_out}, HELD_OUT)
            for held_out in (
                '{"val": 143}',
                "24",
                '["validation", "test"]',
                '{"validation": "143", "test": 0}',
            )
        ),
        ({"SOURCES": '{"a.csv": "https://x"}'}, SOURCES),
        ({"SOURCES": '{b"a": Source("https://x", sha256="0" * 64)}'}, SOURCES),
        *(
            ({"EXAMPLES": count}, "EXAMPLES and VOCABULARY have to be above 0.")
            for count in ("0", "-1", "True")
        ),
    ],
)
def test_what_a_data_set_offers_of_another_form_is_named_before_anything_runs(added, changed, said):
    added("birds", **changed)
    (problem,) = data.problems()
    assert re.search(rf"birds\.py: {re.escape(said)}$", problem)


def test_two_data_sets_cannot_give_one_path_two_files(added):
    one, other = ('{"a/b": Source("https://x.example/b", sha256="%s")}' % (64 * c) for c in "01")
    added("birds", SOURCES=one, EMBEDDED="False")
    added("birds2", SOURCES=one, EMBEDDED="False")
    assert data.problems() == []
    added("other", SOURCES=other, EMBEDDED="False")
    (problem,) = data.problems()
    assert "other.py: its source 'a/b' is another file in birds.py" in problem


NUMPY = '{"classes": np.uint8(2), "mean": np.ones(3), "deviation": (0.5, np.float32(0.5), 0.5)}'


@pytest.mark.parametrize("facts", [{}, {"FACTS": NUMPY}], ids=["plain", "numpy"])
def test_what_is_of_the_prepared_form_is_prepared(added, tmp_path, facts):
    added("birds", **facts)
    prepare.dataset("birds", tmp_path, tmp_path / "b.safetensors", tmp_path / "b.json")
    manifest = arrays.load(tmp_path / "b.safetensors").manifest
    assert (manifest["classes"], manifest["deviation"]) == (2, [0.5] * 3)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"IMAGES": "np.zeros((5, 3, 4, 4), np.float32)"}, "test.images is float32 (5, 3, 4, 4)"),
        ({"IMAGES": "np.zeros((5, 4, 4, 3), np.uint8)"}, "not uint8 (5, 3, 4, 4)"),
        ({"LABELS": "np.arange(5)"}, "train.labels is int64 (5,), not uint8 (5,)"),
        ({"LABELS": "np.full(5, 2, np.uint8)"}, "train.labels go from 2 to 2, not 0 to 1"),
        ({"LABELS": "np.zeros(0, np.uint8)"}, "train.labels is empty"),
        ({"FACTS": '{"classes": 2, "mean": []}'}, "the manifest lacks 'deviation'"),
        (
            {"FACTS": '{"classes": 2, "mean": [0.5], "deviation": [0.2] * 3}'},
            "'mean' is [0.5], not a finite number for each channel",
        ),
        (
            {"FACTS": '{"classes": 2, "mean": [0.5] * 3, "deviation": [0.2, 0.0, 0.2]}'},
            "'deviation' is [0.2, 0.0, 0.2], not a finite number above 0 for each channel",
        ),
        ({"prepare": "lambda sources: ({'train.images': IMAGES}, dict(FACTS))"}, "its arrays are"),
        ({"LABELS": "np.array([0, 1, 1], np.uint8)"}, "test: 5 images have 3 labels"),
        (
            {"HELD_OUT": '{"validation": 5, "test": 1_000}'},
            "test: 5 images, and HELD_OUT says 1,000",
        ),
        ({"EXAMPLES": "1_000"}, "train: 5 images, and EXAMPLES says 1,000"),
        ({"FACTS": '{"classes": {2}}'}, "the manifest holds what JSON has not: "),
    ],
)
def test_what_is_not_of_the_prepared_form_is_refused(added, tmp_path, changed, said):
    added("birds", **changed)
    with pytest.raises(DataError, match=re.escape(said)) as refused:
        prepare.dataset("birds", tmp_path, tmp_path / "b.safetensors", tmp_path / "b.json")
    assert "birds.py, prepare: " in str(refused.value)
    assert not list(tmp_path.glob("b.*"))


def test_tokens_beyond_the_vocabulary_are_refused():
    manifest = {"vocabulary": 5}
    for tokens, said in (([1, 4], []), ([0, 4], ["go from 0 to 4"]), ([1, 5], ["go from 1 to 5"])):
        found = prepare._out_of_range(
            SimpleNamespace(KIND="text"), {"train.tokens": np.array(tokens)}, manifest
        )
        assert [text.partition(", ")[0].removeprefix("train.tokens ") for text in found] == said


def test_a_data_set_that_does_not_exist_is_not_found():
    assert "birds" not in data.names()
    with pytest.raises(ModuleNotFoundError, match="birds"):
        data.find("birds")


# Those that need no download


@pytest.fixture(scope="module", params=["digits", "pydocs"])
def embedded(request, tmp_path_factory) -> arrays.Dataset:
    folder = tmp_path_factory.mktemp(request.param)
    file = folder / "set.safetensors"
    prepare.dataset(request.param, folder, file, file.with_suffix(".json"))
    return arrays.load(file)


def test_embedded_data_are_prepared_without_any_source(embedded):
    module = data.find(embedded.manifest["dataset"])
    assert embedded.manifest["origin"] == "embedded"
    assert embedded.manifest["sources"] == {}
    assert embedded.manifest["kind"] == module.KIND
    assert embedded.manifest["description"] == module.ORIGIN
    assert len(embedded.manifest["sha256"]) == 64


def test_embedded_data_are_the_same_every_time(embedded):
    again, _ = data.find(embedded.manifest["dataset"]).prepare({})
    assert again.keys() == embedded.arrays.keys()
    for name, array in again.items():
        np.testing.assert_array_equal(embedded.arrays[name], array)


@pytest.fixture(scope="module")
def prepared_digits():
    return digits.prepare({})


def test_digits_have_the_shapes_of_their_splits(prepared_digits):
    prepared, _ = prepared_digits
    counts = {"train": 1295, "validation": 143, "test": 359}
    for split, count in counts.items():
        assert prepared[f"{split}.images"].shape == (count, *digits.SHAPE)
        assert prepared[f"{split}.labels"].shape == (count,)
        assert prepared[f"{split}.images"].dtype == prepared[f"{split}.labels"].dtype == np.uint8
    assert sum(counts.values()) == 1797


def test_the_sixteen_greys_of_digits_are_spread_over_256_to_the_nearest(prepared_digits):
    levels = {*np.unique(np.concatenate([a.ravel() for n, a in prepared_digits[0].items()
                                         if n.endswith("images")]))}  # fmt: skip
    assert levels == {round(level * 255 / 16) for level in range(17)}


def test_every_digit_is_in_one_split_with_its_label(prepared_digits):
    prepared, _ = prepared_digits
    source = load_digits()
    given = sorted(
        (image.tobytes(), label)
        for image, label in zip((source.images).astype(np.uint8), source.target, strict=True)
    )
    found = sorted(
        (np.rint(image / 255 * 16).astype(np.uint8).tobytes(), label)
        for split in SPLITS
        for image, label in zip(
            prepared[f"{split}.images"], prepared[f"{split}.labels"], strict=True
        )
    )
    assert found == given


def test_digits_use_the_full_range_of_a_byte(prepared_digits):
    prepared, manifest = prepared_digits
    pixels = prepared["train.images"]
    assert (pixels.min(), pixels.max()) == (0, 255)
    assert set(np.unique(prepared["train.labels"])) == set(range(manifest["classes"]))


def test_digits_are_normalised_by_their_training_images(prepared_digits):
    prepared, manifest = prepared_digits
    pixels = prepared["train.images"] / 255
    (mean,), (deviation,) = manifest["mean"], manifest["deviation"]
    normal = (pixels - mean) / deviation
    assert normal.mean() == pytest.approx(0, abs=1e-9)
    assert normal.std() == pytest.approx(1)


@pytest.fixture(scope="module")
def prepared_pydocs():
    return pydocs.prepare({})


def test_pydocs_are_tokens_of_a_vocabulary_of_2001(prepared_pydocs):
    prepared, manifest = prepared_pydocs
    assert manifest["vocabulary"] == 2001
    assert prepared.keys() == {f"{split}.tokens" for split in SPLITS}
    for tokens in prepared.values():
        assert tokens.ndim == 1
        assert tokens.dtype == np.uint16
        assert tokens.min() >= 1  # 0 is padding
        assert tokens.max() <= 2000


def test_pydocs_are_parted_by_topic(prepared_pydocs):
    prepared, manifest = prepared_pydocs
    text = sum(len(line.encode()) for topic in topics.values() for line in kept_lines(topic))
    assert sum(manifest["bytes"].values()) == text
    assert prepared["train.tokens"].size > 5 * prepared["validation.tokens"].size > 0
    assert prepared["test.tokens"].size > 0
    for split in SPLITS:  # a plausible tokenizer: one to ten bytes a token
        assert 1 < manifest["bytes"][split] / prepared[f"{split}.tokens"].size < 10


def test_no_topic_of_pydocs_is_in_two_parts_and_the_tokenizer_knows_the_first_alone(monkeypatch):
    given = {}

    def train_bpe(lines: list[str]) -> None:
        given["trained on"] = lines

    def tokenise(tokenizer: None, splits: dict) -> tuple[dict, dict]:
        given.update(splits)
        return {}, {}

    monkeypatch.setattr(pydocs, "_train_bpe", train_bpe)
    monkeypatch.setattr(arrays, "tokenise", tokenise)
    pydocs.prepare({})
    assert given["trained on"] == given["train"]
    left = {split: "".join(given[split]) for split in SPLITS}
    # The longest first: a short one may be part of a long one.
    for topic in sorted(topics.values(), key=len, reverse=True):
        text = "".join(kept_lines(topic))
        split = next(split for split in SPLITS if text in left[split])
        left[split] = left[split].replace(text, "\0", 1)
    assert {text.strip("\0") for text in left.values()} == {""}


def kept_lines(topic: str) -> list[str]:
    return [line for line in topic.splitlines(keepends=True) if line.strip()]


def test_the_manifest_of_pydocs_holds_the_checksum_of_the_text(prepared_pydocs):
    text = "".join(topics[topic] for topic in sorted(topics))
    assert prepared_pydocs[1]["embedded"]["sha256"] == {
        "pydoc_data.topics": hashlib.sha256(text.encode()).hexdigest()
    }


# CIFAR-10, from small files of the published schema


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "png")
    return stream.getvalue()


def parquet(file, images: list[bytes], labels: list[int], chunk: int = 7):
    """Write images as the published files hold them: {bytes, path} and a label, in row groups."""
    schema = pa.schema(
        {"img": pa.struct({"bytes": pa.binary(), "path": pa.string()}), "label": pa.int64()}
    )
    rows = [
        {"img": {"bytes": image, "path": None}, "label": label}
        for image, label in zip(images, labels, strict=True)
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), file, row_group_size=chunk)


PIXELS = np.random.default_rng(0).integers(0, 256, (24, 32, 32, 3), dtype=np.uint8)
LABELS = [index % 10 for index in range(24)]


def cifar_sources(folder, train: tuple, test: tuple) -> dict:
    sources = {path: folder / path for path in cifar10.SOURCES}
    for file, (images, labels) in zip(sources.values(), (train, test), strict=True):
        parquet(file, images, labels)
    return sources


def test_cifar10_is_decoded_pixel_by_pixel(tmp_path):
    images = [png(pixels) for pixels in PIXELS]
    sources = cifar_sources(tmp_path, (images[:20], LABELS[:20]), (images[20:], LABELS[20:]))
    prepared, _ = cifar10.prepare(sources)
    # (H, W, C) → (C, H, W): the red plane comes first.
    np.testing.assert_array_equal(prepared["test.images"], PIXELS[20:].transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(prepared["test.images"][:, 0], PIXELS[20:, :, :, 0])
    assert prepared["test.labels"].tolist() == LABELS[20:]
    assert {array.dtype for array in prepared.values()} == {np.dtype(np.uint8)}


def test_cifar10_is_parted_nine_to_one(tmp_path):
    images = [png(pixels) for pixels in PIXELS[:20]]
    sources = cifar_sources(tmp_path, (images, LABELS[:20]), (images[:1], [0]))
    prepared, _ = cifar10.prepare(sources)
    assert prepared["train.images"].shape == (18, 3, 32, 32)
    assert prepared["validation.images"].shape == (2, 3, 32, 32)
    found = sorted(
        (image.tobytes(), label)
        for split in ("train", "validation")
        for image, label in zip(
            prepared[f"{split}.images"], prepared[f"{split}.labels"], strict=True
        )
    )
    given = sorted((PIXELS[i].transpose(2, 0, 1).tobytes(), LABELS[i]) for i in range(20))
    assert found == given


def test_cifar10_is_normalised_as_in_the_reports(tmp_path):
    images = [png(pixels) for pixels in PIXELS[:10]]
    sources = cifar_sources(tmp_path, (images, LABELS[:10]), (images, LABELS[:10]))
    _, manifest = cifar10.prepare(sources)
    assert manifest["classes"] == 10
    assert manifest["mean"] == (0.49139968, 0.48215841, 0.44653091)
    assert manifest["deviation"] == (0.24703223, 0.24348513, 0.26158784)


@pytest.mark.parametrize(
    ("pixels", "found"),
    [
        (np.zeros((32, 31, 3), np.uint8), "31 × 32 RGB"),
        (np.zeros((28, 28, 3), np.uint8), "28 × 28 RGB"),
        (np.zeros((32, 32), np.uint8), "32 × 32 L"),
        (np.zeros((32, 32, 4), np.uint8), "32 × 32 RGBA"),
    ],
)
def test_an_image_of_another_kind_is_named_by_its_row(tmp_path, pixels, found):
    images = [png(p) for p in PIXELS[:9]] + [png(pixels)]
    parquet(tmp_path / "train.parquet", images, LABELS[:10])
    with pytest.raises(ValueError, match=f"row 9: .* found {found}. Delete ") as caught:
        cifar10._decode(tmp_path / "train.parquet")
    assert str(tmp_path / "train.parquet") in str(caught.value)


@pytest.mark.parametrize("label", [10, -1, 266])
def test_a_label_beyond_the_ten_classes_is_refused(tmp_path, label):
    images = [png(pixels) for pixels in PIXELS[:3]]
    parquet(tmp_path / "train.parquet", images, [0, label, 9])
    with pytest.raises(ValueError, match="labels must be 0–9") as caught:
        cifar10._decode(tmp_path / "train.parquet")
    assert str(label) in str(caught.value)


def other_picture(kind: str, size: tuple[int, int] = (32, 32)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size).save(stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize(
    "content",
    [None, b"", b"not an image", png(PIXELS[0])[:80], other_picture("gif"), other_picture("bmp"),
     b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n"],
    ids=["null", "empty", "text", "truncated", "gif", "bmp", "a program"],
)  # fmt: skip
def test_what_cannot_be_decoded_is_named_by_its_row(tmp_path, content):
    images = [png(pixels) for pixels in PIXELS[:3]]
    parquet(tmp_path / "train.parquet", [*images, content], LABELS[:4])
    with pytest.raises(DataError, match=r"row 3: .* cannot be decoded .* Delete ") as caught:
        cifar10._decode(tmp_path / "train.parquet")
    assert str(tmp_path / "train.parquet") in str(caught.value)


def test_a_huge_image_is_refused_before_it_is_decoded(tmp_path):
    parquet(tmp_path / "train.parquet", [other_picture("png", (9_000, 9_000))], [0])
    tracemalloc.start()
    with pytest.raises(DataError, match=r"row 0: .* found 9000 × 9000 RGB"):
        cifar10._decode(tmp_path / "train.parquet")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000  # of 243 MB


def test_a_file_without_images_is_refused(tmp_path):
    parquet(tmp_path / "train.parquet", [], [])
    with pytest.raises(DataError, match=f"{tmp_path}/train.parquet holds no image. Delete"):
        cifar10._decode(tmp_path / "train.parquet")


def test_cifar10_of_the_mirror_has_the_published_shapes(mirror):
    for path, count in zip(cifar10.SOURCES, (50_000, 10_000), strict=True):
        file = pq.ParquetFile(mirror / path)
        assert file.metadata.num_rows == count
        assert {"img", "label"} <= set(file.schema_arrow.names)


# WikiText-2


def test_wikitext2_keeps_the_lines_that_are_not_blank(tmp_path, monkeypatch):
    lines = [" = Title = \n", "", "  \n", " a line \n"]
    given: dict = {}
    monkeypatch.setattr(wikitext2.gpt1, "tokenizer", lambda vocabulary, merges: "tokenizer")
    monkeypatch.setattr(
        arrays, "tokenise", lambda tokenizer, splits: (given.update(splits), {"vocabulary": 3})
    )
    sources = {path: tmp_path / f"{n}" for n, path in enumerate(wikitext2.SOURCES)}
    for path, file in sources.items():
        if path.endswith(".parquet"):
            pq.write_table(pa.table({"text": [*lines, path.split("/")[-1].split("-")[0]]}), file)
    _, manifest = wikitext2.prepare(sources)
    assert given == {split: [" = Title = \n", " a line \n", split] for split in SPLITS}
    assert manifest["vocabulary"] == 3


def one_column(file, rows: list[bytes]):
    """Write text that need not be UTF-8."""
    offsets = pa.array(np.cumsum([0, *map(len, rows)]), pa.int32()).buffers()[1]
    text = pa.StringArray.from_buffers(len(rows), offsets, pa.py_buffer(b"".join(rows)))
    pq.write_table(pa.table({"text": text}), file)
    return file


def test_text_that_is_not_utf8_is_refused_by_file_and_row(tmp_path):
    file = one_column(tmp_path / "train.parquet", [b"good\n", b"\xff\xfe\n"])
    with pytest.raises(DataError, match=f"{file} is broken .*UTF8.*index 1.* Delete {file}"):
        wikitext2._lines(file)


@pytest.mark.parametrize("rows", [[], [b"", b" \n", b"\t"]])
def test_text_without_a_line_is_refused(tmp_path, rows):
    file = one_column(tmp_path / "train.parquet", rows)
    with pytest.raises(DataError, match=f"{file} holds no line of text. Delete {file}"):
        wikitext2._lines(file)


@pytest.fixture
def small_tokenizer(tmp_path):
    """GPT-1's tokenizer with five letters for a vocabulary."""
    tokens = ["<unk>", "a</w>", "b", "b</w>", "a", "ab</w>"]
    vocabulary, merges = tmp_path / "vocabulary.json", tmp_path / "merges.bpe"
    vocabulary.write_text(json.dumps({token: n for n, token in enumerate(tokens)}))
    merges.write_text("#version: 0.2\na b</w>\n")
    return gpt1.tokenizer(vocabulary, merges)


def test_nul_and_control_characters_are_dropped(small_tokenizer):
    clean = arrays.encode(small_tokenizer, ["ab a\n"])
    np.testing.assert_array_equal(arrays.encode(small_tokenizer, ["a\0b\x07 a\n"]), clean)


@pytest.mark.parametrize("lines", [[], ["\0\0", "\x07"]])
def test_text_without_a_token_is_refused(small_tokenizer, lines):
    with pytest.raises(DataError, match="holds no token"):
        arrays.encode(small_tokenizer, lines)


def test_a_line_of_a_megabyte_is_tokenised(small_tokenizer):
    word, words = ["a" * 1_000_000], ["ab " * 333_333]
    assert len(arrays.encode(small_tokenizer, word)) == 1_000_000
    assert len(arrays.encode(small_tokenizer, words)) == 333_333


def test_only_so_many_lines_are_tokenised_at_a_time(small_tokenizer):
    """Their tokens take 200 bytes each until they are numbers."""
    taken = []

    def encode(lines: list[str], **options):
        taken.append(len(lines))
        return small_tokenizer.encode_batch_fast(lines, **options)

    arrays.encode(SimpleNamespace(encode_batch_fast=encode), ["ab a"] * (2 * arrays.LINES + 1))
    assert taken == [arrays.LINES, arrays.LINES, 1]


def test_tokens_are_the_same_however_many_lines_are_taken_at_a_time(small_tokenizer, monkeypatch):
    lines = ["ab a\n", "b\n", "aab b\n"] * 7
    whole = arrays.encode(small_tokenizer, lines)
    monkeypatch.setattr(arrays, "LINES", 4)
    np.testing.assert_array_equal(arrays.encode(small_tokenizer, lines), whole)


def test_wikitext2_of_the_mirror_gives_the_published_counts(mirror):
    prepared, manifest = wikitext2.prepare({path: mirror / path for path in wikitext2.SOURCES})
    tokens = {split: len(prepared[f"{split}.tokens"]) for split in SPLITS}
    assert tokens == {"train": 2_356_376, "validation": 245_046, "test": 279_023}
    assert [-(-count // 256) for count in tokens.values()] == [9_205, 958, 1_090]
    assert manifest["vocabulary"] == 40_479
    assert all(array.min() >= 1 for array in prepared.values())
    assert max(array.max() for array in prepared.values()) <= 40_478
