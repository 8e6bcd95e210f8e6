"""The language reference that ships inside every CPython: real prose, no download."""

from pathlib import Path

KIND = "text"
TOKENIZER = "pydocs"
EMBEDDED = True
ORIGIN = "Python's own language reference, as embedded in the interpreter (pydoc_data.topics)"
SOURCES: dict = {}
VOCABULARY = 2_000  # of the BPE that is trained on the training part
EXAMPLES = 101_000  # about, with Python 3.11; 139,000 with 3.14, as the text grows

SPLIT_SEED = 42


def prepare(sources: dict[str, Path]):
    """Part the topics 80:10:10, train a BPE on the training part, tokenise all three."""
    import hashlib
    import platform
    from pydoc_data.topics import topics

    import numpy as np

    from trainstudy.arrays import tokenise

    order = [sorted(topics)[i] for i in np.random.default_rng(SPLIT_SEED).permutation(len(topics))]
    tenth = len(order) // 10
    parts = {
        "train": order[2 * tenth :],
        "validation": order[:tenth],
        "test": order[tenth : 2 * tenth],
    }
    splits = {
        split: [
            line
            for topic in part
            for line in topics[topic].splitlines(keepends=True)
            if line.strip()
        ]
        for split, part in parts.items()
    }
    tokenizer = _train_bpe(splits["train"])
    arrays, manifest = tokenise(tokenizer, splits)
    everything = "".join(topics[topic] for topic in sorted(topics))
    checksum = {"pydoc_data.topics": hashlib.sha256(everything.encode()).hexdigest()}
    return arrays, manifest | {
        "tokenizer": f"BPE of {VOCABULARY:,} tokens, trained on the training part",
        "embedded": {"sha256": checksum, "python": platform.python_version()},
    }


def _train_bpe(lines: list[str]):
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    # A mark in front of every word: with an end-of-word suffix, as GPT-1 has, the trainer numbers
    # the tokens differently each time.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<unk>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(lines, trainer)
    return tokenizer
