"""GPT-1's embeddings out of cut-up weights, and its tokenizer."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainstudy import gpt1
from trainstudy.files import DataError

VOCABULARY, SIZE, POSITIONS = 7, 4, 3
BEGIN, END = POSITIONS * SIZE, (POSITIONS + VOCABULARY) * SIZE  # of the embeddings
# Like the published weights: one flat list, positions first, then embeddings, then all the rest.
WEIGHTS = np.arange(END + 9, dtype=np.float32) + 0.5
EXPECTED = np.vstack([np.zeros(SIZE), WEIGHTS[BEGIN:END].reshape(VOCABULARY, SIZE)])


def shards(folder, *cuts: int, weights: np.ndarray = WEIGHTS) -> list:
    """Write the weights in numbered files, cut at the given places."""
    files = []
    for index, part in enumerate(np.split(weights, sorted(cuts))):
        files.append(folder / f"params_{index}.npy")
        np.save(files[-1], part)
    return files


def table(files: list) -> np.ndarray:
    return gpt1.embeddings(files, VOCABULARY, SIZE, POSITIONS)


def test_embeddings_lie_behind_the_positions_with_a_zero_row_in_front(tmp_path):
    embeddings = table(shards(tmp_path, 15, 30))
    assert embeddings.dtype == np.float32
    assert embeddings.shape == (VOCABULARY + 1, SIZE)
    np.testing.assert_array_equal(embeddings, EXPECTED)
    assert embeddings[0].tolist() == [0, 0, 0, 0]
    assert embeddings[1].tolist() == [12.5, 13.5, 14.5, 15.5]  # the first token's


@given(st.lists(st.integers(0, len(WEIGHTS)), max_size=5))
def test_where_the_files_are_cut_changes_nothing(tmp_path_factory, cuts):
    files = shards(tmp_path_factory.mktemp("shards"), *cuts)
    np.testing.assert_array_equal(table(files), EXPECTED)


@pytest.mark.parametrize("end", [0, BEGIN, BEGIN + 5, END - 1])
def test_weights_that_end_too_early_are_refused(tmp_path, end):
    files = shards(tmp_path, end // 2, weights=WEIGHTS[:end])
    with pytest.raises(ValueError, match=f"hold {end} numbers, the embeddings end at {END}"):
        table(files)


def test_weights_may_end_with_the_embeddings(tmp_path):
    np.testing.assert_array_equal(table(shards(tmp_path, 20, weights=WEIGHTS[:END])), EXPECTED)


@pytest.mark.parametrize(
    "weights", [WEIGHTS.astype(np.float64), WEIGHTS.astype(np.int32), WEIGHTS.reshape(7, 7)]
)
def test_weights_of_another_type_or_shape_are_refused(tmp_path, weights):
    np.save(tmp_path / "params_0.npy", weights)
    with pytest.raises(ValueError, match=r"params_0.npy should hold a flat list of float32"):
        table([tmp_path / "params_0.npy"])


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return (open, (str(self.file), "w"))


def test_a_pickle_in_place_of_the_weights_is_refused_and_not_run(tmp_path):
    trace, shard = tmp_path / "trace", tmp_path / "params_0.npy"
    np.save(shard, np.array([Evil(trace)] * END, dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"[Oo]bject"):
        table([shard])
    assert not trace.exists()


@pytest.mark.parametrize("kept", [0, 5, 60, 130])
def test_truncated_weights_are_named(tmp_path, kept):
    (shard,) = shards(tmp_path)
    shard.write_bytes(shard.read_bytes()[:kept])
    with pytest.raises(DataError, match=f"{shard} is broken .* Delete {shard}"):
        table([shard])


def test_an_archive_in_place_of_the_weights_is_refused(tmp_path):
    np.savez(tmp_path / "params_0.npz", WEIGHTS)
    with pytest.raises(DataError, match=r"flat list of float32, but has an archive"):
        table([tmp_path / "params_0.npz"])


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(tmp_path, number):
    weights = WEIGHTS.copy()
    weights[BEGIN + 1] = number
    with pytest.raises(DataError, match=r"params_0.npy holds numbers that are not finite"):
        table(shards(tmp_path, weights=weights))


def test_shards_are_read_through_a_memory_map(tmp_path, monkeypatch):
    files, asked, real = shards(tmp_path, 15, 30), [], np.load

    def load(file, **options):
        asked.append((file, options))
        return real(file, **options)

    monkeypatch.setattr(np, "load", load)
    table(files)
    assert asked == [(file, {"mmap_mode": "r", "allow_pickle": False}) for file in files]


def test_the_published_layout_is_the_default():
    assert (gpt1.VOCABULARY, gpt1.SIZE, gpt1.POSITIONS) == (40_478, 768, 512)
    assert list(gpt1.EMBEDDING_SOURCES) == [f"gpt1/params_{index}.npy" for index in range(3)]


# The tokenizer


@pytest.fixture
def tiny(tmp_path):
    """Return a tokenizer that knows the word "low", the ending "er" and a few letters."""
    tokens = ["<unk>", "l", "o", "w", "e", "r</w>", "w</w>", "!</w>", "lo", "low</w>", "er</w>"]
    (tmp_path / "vocabulary.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
    merges = "#version: 0.2\nl o\nlo w</w>\ne r</w>\n\n"
    (tmp_path / "merges.bpe").write_text(merges)
    return gpt1.tokenizer(tmp_path / "vocabulary.json", tmp_path / "merges.bpe")


def test_words_are_merged_and_end_with_the_suffix(tiny):
    assert tiny.encode("low").tokens == ["low</w>"]
    assert tiny.encode("lower").tokens == ["lo", "w", "er</w>"]


def test_text_is_lower_cased_and_stripped_of_accents(tiny):
    assert tiny.encode("LOW Löw").tokens == ["low</w>", "low</w>"]


def test_punctuation_is_a_word_of_its_own(tiny):
    assert tiny.encode("low!low").tokens == ["low</w>", "!</w>", "low</w>"]


def test_what_is_not_in_the_vocabulary_is_unknown(tiny):
    assert tiny.encode("z").ids == [0]
    assert tiny.encode("z").tokens == ["<unk>"]


def test_the_first_line_of_the_merges_is_a_comment(tmp_path, tiny):
    (tmp_path / "merges.bpe").write_text("l o\nlo w</w>\n")
    tokenizer = gpt1.tokenizer(tmp_path / "vocabulary.json", tmp_path / "merges.bpe")
    assert tokenizer.encode("low").tokens == ["l", "o", "w</w>"]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[1]", b'"text"', b"5", b"null",
     b'{"<unk>": 1}', b'{"<unk>": 0, "a": 2}',
     b'{"<unk>": 0, "a": 0}', b'{"<unk>": 0, "a": "1"}', b'{"<unk>": 0.0}', b'{"<unk>": null}',
     b'{"a": 0}', b"{}", b'{"<unk>": true}', b"[" * 100_000],
)  # fmt: skip
def test_a_broken_vocabulary_is_named_with_the_cure(tmp_path, content):
    vocabulary, merges = tmp_path / "vocabulary.json", tmp_path / "merges.bpe"
    vocabulary.write_bytes(content)
    merges.write_text("#version: 0.2\n")
    with pytest.raises(DataError, match=f"{vocabulary}.* Delete {vocabulary} and run again"):
        gpt1.tokenizer(vocabulary, merges)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"#version\n\xff\xfe\n", " is broken"),
        (b"#version\nl o\nlo\n", ", line 3: two tokens are expected, found 'lo'"),
        (b"#version\nl o w\n", ", line 2: two tokens are expected, found 'l o w'"),
        (b"#version\nl \n", ", line 2: two tokens are expected"),
        (b"#version\nx y\n", " do not belong together"),
    ],
)
def test_broken_merges_are_named_with_the_cure(tmp_path, tiny, content, said):
    merges = tmp_path / "merges.bpe"
    merges.write_bytes(content)
    with pytest.raises(DataError, match=f"{merges}{said}.* Delete {merges} and run again"):
        gpt1.tokenizer(tmp_path / "vocabulary.json", merges)


def test_a_vocabulary_or_merges_of_enormous_size_are_not_read(tmp_path, monkeypatch, tiny):
    monkeypatch.setattr(gpt1, "LARGEST", 100)  # the vocabulary has more, the merges fewer
    vocabulary, merges = tmp_path / "vocabulary.json", tmp_path / "merges.bpe"
    with pytest.raises(DataError, match=f"{vocabulary} holds more than 100 bytes. Delete"):
        gpt1.tokenizer(vocabulary, merges)
    vocabulary.write_text('{"<unk>": 0}')
    merges.write_text("#" * 101)
    with pytest.raises(DataError, match=f"{merges} holds more than 100 bytes. Delete {merges} and"):
        gpt1.tokenizer(vocabulary, merges)


def test_the_real_vocabulary(mirror):
    tokenizer = gpt1.tokenizer(*(mirror / path for path in gpt1.BPE_SOURCES))
    assert tokenizer.get_vocab_size() == gpt1.VOCABULARY
    encoded = tokenizer.encode("The Transformer was proposed in 2017.")
    words = "".join(encoded.tokens).replace("</w>", " ").split()
    assert words == ["the", "transformer", "was", "proposed", "in", "2017", "."]
    vocabulary = json.loads((mirror / "gpt1/encoder_bpe_40000.json").read_text())
    assert encoded.ids == [vocabulary[token] for token in encoded.tokens]
    assert vocabulary["the</w>"] in encoded.ids
