"""GPT-1's vocabulary and token embeddings, from its published weights."""

import json
from pathlib import Path

from trainstudy.fetch import Source

_REPOSITORY = (
    "https://raw.githubusercontent.com/openai/finetune-transformer-lm/"
    "a69b5c43b0462452890bca8ff92fb75dee9290cf/model"
)
VOCABULARY, SIZE, POSITIONS = 40_478, 768, 512  # tokens, embedding size, positions

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
    """Return GPT-1's tokenizer: lower-cased, BERT's normaliser and pre-tokeniser, BPE."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    pairs = [tuple(line.split()) for line in merges.read_text(encoding="utf-8").splitlines()[1:]]
    bpe = models.BPE(
        vocab=json.loads(vocabulary.read_text(encoding="utf-8")),
        merges=[pair for pair in pairs if len(pair) == 2],
        unk_token="<unk>",
        end_of_word_suffix="</w>",
    )
    built = Tokenizer(bpe)
    built.normalizer = normalizers.BertNormalizer(lowercase=True)
    built.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return built


def embeddings(
    shards: list[Path], vocabulary: int = VOCABULARY, size: int = SIZE, positions: int = POSITIONS
):
    """Return the token embeddings (vocabulary + 1, size) float32 with a zero row for padding.

    The shards are read through a memory map, and only where the embeddings lie: behind the
    position table (positions, size). Raises ValueError where the shards end too early.
    """
    import numpy as np

    table = np.zeros((vocabulary + 1, size), dtype=np.float32)
    flat = table[1:].reshape(-1)
    begin, offset = positions * size, 0
    for shard in shards:
        stored = np.load(shard, mmap_mode="r", allow_pickle=False)
        if stored.ndim != 1 or stored.dtype != np.float32:
            raise ValueError(
                f"{shard} should hold a flat list of float32, "
                f"but has shape {stored.shape} and type {stored.dtype}"
            )
        low, high = max(begin, offset), min(begin + flat.size, offset + stored.size)
        if low < high:
            flat[low - begin : high - begin] = stored[low - offset : high - offset]
        offset += stored.size
    if offset < begin + flat.size:
        raise ValueError(
            f"the shards hold {offset:,} numbers, the embeddings end at "
            f"{begin + flat.size:,}; is one missing?"
        )
    return table
