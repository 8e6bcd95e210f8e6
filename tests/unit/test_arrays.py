"""The prepared form of data sets: files, manifests, splits, tokens."""

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from trainstudy import arrays
from trainstudy.files import DataError

ARRAYS = {
    "train.images": np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4),
    "train.labels": np.array([3, 9], dtype=np.uint8),
    "train.tokens": np.array([1, 65_535], dtype=np.uint16),
}


# Files


def test_what_is_saved_is_loaded_again(tmp_path):
    file = tmp_path / "set.safetensors"
    arrays.save(ARRAYS, {"classes": 10}, file, tmp_path / "set.json")
    loaded = arrays.load(file)
    assert loaded.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert loaded.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(loaded.arrays[name], array)


def test_a_changed_bit_is_found(tmp_path):
    file, manifest = tmp_path / "set.safetensors", tmp_path / "set.json"
    arrays.save(ARRAYS, {}, file, manifest)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataError, match=f"{file} has changed .* Delete {file} and {manifest} and"):
        arrays.load(file)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mean", [0.25]),
        ("bytes", {"train": 401}),
        ("shapes", {}),
        ("more", 1),
        ("sha256", "0" * 64),
    ],
)
def test_a_changed_manifest_is_found(tmp_path, key, value):
    file, manifest = tmp_path / "set.safetensors", tmp_path / "set.json"
    arrays.save(ARRAYS, {"mean": (0.5,), "bytes": {"train": 400}}, file, manifest)
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {key: value}))
    said = f"{manifest} has changed since .* Delete {file} and {manifest} and run again"
    with pytest.raises(DataError, match=said):
        arrays.load(file)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Return a prepared file, the manifest beside it, and what that holds."""
    file = tmp_path_factory.mktemp("pair") / "set.safetensors"
    arrays.save(ARRAYS, {"mean": [0.5], "origin": "größer"}, file, file.with_suffix(".json"))
    return file, file.with_suffix(".json").read_bytes()


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_changed_bit_of_a_manifest_changes_what_it_says(pair, place, bit):
    file, whole = pair
    content = bytearray(whole)
    content[int(place * len(content))] ^= 1 << bit
    file.with_suffix(".json").write_bytes(content)
    try:
        found = arrays.load(file).manifest
    except DataError:
        return
    assert found == json.loads(whole)  # \u00F6 for \u00f6


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff", b"1"])
def test_a_broken_manifest_is_named(tmp_path, content):
    file, manifest = tmp_path / "set.safetensors", tmp_path / "set.json"
    arrays.save(ARRAYS, {}, file, manifest)
    manifest.write_bytes(content)
    with pytest.raises(DataError, match=f"{manifest} is broken .* Delete {file} and {manifest}"):
        arrays.load(file)


def test_nothing_half_written_has_a_name(tmp_path, file_limit):
    file = tmp_path / "set.safetensors"
    with pytest.raises(Exception, match="File too large"), file_limit(10):
        arrays.save(ARRAYS, {}, file, tmp_path / "set.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("count", [0, 1, 9])
def test_fewer_than_ten_images_cannot_be_parted(count):
    with pytest.raises(DataError, match=f"^{count} training images are too few: .* at least 10"):
        arrays.split_images(np.zeros((count, 1, 8, 8), np.uint8), np.zeros(count, np.uint8))


def test_an_array_that_lies_crosswise_in_memory_is_saved_right(tmp_path):
    crosswise = ARRAYS["train.images"].transpose(0, 2, 3, 1)
    arrays.save({"a": crosswise}, {}, tmp_path / "set.safetensors", tmp_path / "set.json")
    loaded = arrays.load(tmp_path / "set.safetensors").arrays["a"]
    np.testing.assert_array_equal(loaded, crosswise)


def test_the_manifest_gains_shapes_and_checksums_of_the_file_and_of_itself(tmp_path):
    file, manifest = tmp_path / "set.safetensors", tmp_path / "set.json"
    arrays.save(ARRAYS, {"classes": 10}, file, manifest)
    found = arrays.load(file).manifest
    assert json.loads(manifest.read_text()) == found
    own = found.pop("manifest_sha256")
    assert own == hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()
    assert found == {
        "classes": 10,
        "shapes": {"train.images": [2, 3, 4, 4], "train.labels": [2], "train.tokens": [2]},
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }


def test_equal_data_give_equal_files(tmp_path):
    for name, order in (("a", ARRAYS), ("b", dict(reversed(ARRAYS.items())))):
        arrays.save(order, {"x": 1}, tmp_path / f"{name}.safetensors", tmp_path / f"{name}.json")
    for ending in ("safetensors", "json"):
        assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()


# Splits


@pytest.mark.parametrize("count", [10, 19, 1797, 50_000])
def test_split_images_parts_all_rows_nine_to_one(count):
    numbers = np.arange(count, dtype=np.int64)
    parts = arrays.split_images(numbers[:, None, None, None], numbers)
    assert len(parts["validation.labels"]) == count // 10
    together = np.concatenate([parts["train.labels"], parts["validation.labels"]])
    assert sorted(together) == list(range(count))
    for split in ("train", "validation"):  # an image keeps its label
        np.testing.assert_array_equal(
            parts[f"{split}.images"][:, 0, 0, 0], parts[f"{split}.labels"]
        )


def test_split_images_follows_the_published_seed():
    numbers = np.arange(50_000)
    parts = arrays.split_images(numbers, numbers)
    order = np.random.default_rng(42).permutation(50_000)
    np.testing.assert_array_equal(parts["train.labels"], order[:45_000])
    np.testing.assert_array_equal(parts["validation.labels"], order[45_000:])


# Tokens


def words(*vocabulary: str, first: int = 0) -> Tokenizer:
    """Return a tokenizer that knows whole words, with ids from `first` on."""
    ids = {word: first + index for index, word in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token=vocabulary[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def test_ids_are_shifted_by_one_and_lines_follow_each_other():
    tokens = arrays.encode(words("?", "a", "b"), ["a b\n", "", "b new\n"])
    assert tokens.dtype == np.uint16
    assert tokens.tolist() == [2, 3, 3, 1]


@given(st.lists(st.text("ab? \n"), min_size=1).filter(lambda lines: "".join(lines).strip()))
def test_padding_never_occurs_among_tokens(lines):
    tokens = arrays.encode(words("?", "a", "b"), lines)
    assert tokens.min() >= 1
    assert len(tokens) == sum(len(words("?").encode(line).ids) for line in lines)


def test_special_tokens_are_not_added():
    tokenizer = words("?", "a")
    begin = ("<s>", tokenizer.add_special_tokens(["<s>"]) + 1)
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[begin])
    assert tokenizer.encode("a").tokens == ["<s>", "a"]
    assert arrays.encode(tokenizer, ["a", "a"]).tolist() == [2, 2]


def test_the_largest_id_that_fits_is_stored():
    assert arrays.encode(words("a", first=65_534), ["a"]).tolist() == [65_535]


def test_an_id_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="token 65536 does not fit"):
        arrays.encode(words("a", first=65_535), ["a"])


def test_tokenise_gives_arrays_and_their_part_of_the_manifest():
    splits = {"train": ["a b\n", "bä\n"], "validation": ["a\n"], "test": ["ü"]}
    prepared, manifest = arrays.tokenise(words("?", "a", "b"), splits)
    assert {name: array.tolist() for name, array in prepared.items()} == {
        "train.tokens": [2, 3, 1],
        "validation.tokens": [2],
        "test.tokens": [1],
    }
    assert manifest["vocabulary"] == 4  # the three, and padding
    assert manifest["bytes"] == {"train": 8, "validation": 2, "test": 2}  # ä and ü are two bytes


@given(arrays_of.arrays(np.uint8, arrays_of.array_shapes(min_dims=1, max_dims=4)))
def test_any_shape_survives_the_file(tmp_path_factory, array):
    folder = tmp_path_factory.mktemp("shapes")
    arrays.save({"a": array}, {}, folder / "set.safetensors", folder / "set.json")
    loaded = arrays.load(folder / "set.safetensors")
    np.testing.assert_array_equal(loaded.arrays["a"], array)
    assert loaded.manifest["shapes"] == {"a": list(array.shape)}
