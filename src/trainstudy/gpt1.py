"""GPT-1's vocabulary and token embeddings, from its published weights."""

import json
from pathlib import Path

from trainstudy import files
from trainstudy.fetch import Source

_REPOSITORY = (
    "https://raw.githubusercontent.com/openai/finetune-transformer-lm/"
    "a69b5c43b0462452890bca8ff92fb75dee9290cf/model"
)
VOCABULARY, SIZE, POSITIONS = 40_478, 768, 512  # tokens, embedding size, positions
LARGEST = 64 << 20  # bytes of the vocabulary or of the merges; the originals have under 1 MB

BPE_SOURCES = {
    "gpt1/encoder_bpe_40000.json": Source(
        f"{_REPOSITORY}/encoder_bpe_40000.json",
        size=815_973,
        sha256="fdf49b19e7de236852091da09b84a7a3cd5e7b0e79916376cf45f6b8127b8078",
    ),
    "gpt1/vocab_40000.bpe": Source(
        f"{_REPOSITORY}/vocab_40000.bpe",
        size=458_495,
        sha256="0ea9b51ae695073cd871e0358f7016311d671a7ff3963e367d5236522f294725",
    ),
}
# The flat list of all weights, cut into numbered files; the embeddings end in the third.
EMBEDDING_SOURCES = {
    f"gpt1/params_{index}.npy": Source(f"{_REPOSITORY}/params_{index}.npy", blob=blob)
    for index, blob in enumerate(
        (
            "84d83ac1f1cc878f56f33b167482c184491875d2",
            "0f19f4d4cda3d8f908e3faffd2cb2a8b9a4039da",
            "25bc19c72fdff69505a828ec6d73b32063532148",
        )
    )
}


def tokenizer(vocabulary: Path, merges: Path):
    """Return GPT-1's tokenizer: lower-cased, BERT's normaliser and pre-tokeniser, BPE.

    BERT's normaliser drops NUL and other control characters. Raises DataError for a vocabulary or
    merges that are not of the published form, or that do not belong together.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    tokens, pairs = _vocabulary(vocabulary), _merges(merges)
    try:
        bpe = models.BPE(vocab=tokens, merges=pairs, unk_token="<unk>", end_of_word_suffix="</w>")
    except Exception as error:  # tokenizers has no type of its own for it
        raise files.DataError(
            f"{vocabulary} and {merges} do not belong together ({error}). {files.cure(merges)}"
        ) from error
    built = Tokenizer(bpe)
    built.normalizer = normalizers.BertNormalizer(lowercase=True)
    built.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return built


def _vocabulary(file: Path) -> dict[str, int]:
    """Read {token: id}; the ids are those of rows of an embedding, so none may be missing."""
    with files.sound(file):
        tokens = json.loads(_text(file))
    ids = list(tokens.values()) if isinstance(tokens, dict) else [-1]  # no id
    if not all(type(number) is int for number in ids) or sorted(ids) != list(range(len(ids))):
        raise files.DataError(f"{file} does not number its tokens 0, 1, 2, …. {files.cure(file)}")
    if "<unk>" not in tokens:
        raise files.DataError(f"{file} has no token <unk>. {files.cure(file)}")
    return tokens


def _text(file: Path) -> str:
    """Read a text. Raises DataError for one that is larger than a vocabulary or merges can be."""
    if file.stat().st_size > LARGEST:
        raise files.DataError(f"{file} holds more than {LARGEST:,} bytes. {files.cure(file)}")
    return file.read_text(encoding="utf-8")


def _merges(file: Path) -> list[tuple[str, str]]:
    """Read the pairs of tokens to merge, one a line below a heading."""
    with files.sound(file):
        lines = _text(file).split("\n")
    pairs = []
    for number, line in enumerate(lines[1:], start=2):
        left, *right = line.split(" ")
        if left and len(right) == 1 and right[0]:
            pairs.append((left, right[0]))
        elif line:
            raise files.DataError(
                f"{file}, line {number}: two tokens are expected, found {line[:40]!r}. "
                f"{files.cure(file)}"
            )
    return pairs


def embeddings(
    shards: list[Path], vocabulary: int = VOCABULARY, size: int = SIZE, positions: int = POSITIONS
):
    """Return the token embeddings (vocabulary + 1, size) float32 with a zero row for padding.

    The shards are read through a memory map, and only where the embeddings lie: behind the
    position table (positions, size). Raises DataError where the shards end too early, or hold
    anything but finite float32.
    """
    import numpy as np

    table = np.zeros((vocabulary + 1, size), dtype=np.float32)
    flat = table[1:].reshape(-1)
    begin, offset = positions * size, 0
    for shard in shards:
        with files.sound(shard):
            stored = np.load(shard, mmap_mode="r", allow_pickle=False)
        if not isinstance(stored, np.ndarray) or stored.ndim != 1 or stored.dtype != np.float32:
            found = (
                f"shape {stored.shape} and type {stored.dtype}"
                if hasattr(stored, "shape")
                else "an archive"
            )
            raise files.DataError(
                f"{shard} should hold a flat list of float32, but has {found}. {files.cure(shard)}"
            )
        low, high = max(begin, offset), min(begin + flat.size, offset + stored.size)
        if low < high:
            flat[low - begin : high - begin] = stored[low - offset : high - offset]
            if not np.isfinite(flat[low - begin : high - begin]).all():
                raise files.DataError(
                    f"{shard} holds numbers that are not finite. {files.cure(shard)}"
                )
        offset += stored.size
    if offset < begin + flat.size:
        raise files.DataError(
            f"the shards hold {offset:,} numbers, the embeddings end at "
            f"{begin + flat.size:,}; is one missing?"
        )
    return table
