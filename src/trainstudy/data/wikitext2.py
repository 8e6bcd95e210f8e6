"""WikiText-2 (raw): articles of Wikipedia, tokenised with GPT-1's vocabulary."""

from pathlib import Path

from trainstudy import files, gpt1
from trainstudy.fetch import Source

KIND = "text"
TOKENIZER = "gpt1"
VOCABULARY = gpt1.VOCABULARY
EXAMPLES = 2_356_376
EMBEDDED = False
ORIGIN = "WikiText-2 raw: text of Wikipedia (CC BY-SA 3.0 and GFDL), tokenised with GPT-1's BPE"

_FOLDER = "datasets/Salesforce/wikitext/resolve/b08601e04326c79dfdd32d625aee71d232d685c3"
_FILES = {
    "train": (6_357_543, "e83889baabc497075506f91975be5fac0d45c5290b6b20582c8cd1e853d0c9f7"),
    "validation": (657_209, "204929b7ff9d6184953f867dedb860e40aa69c078fc1e54b3baaa8fb28511c4c"),
    "test": (732_610, "5f1bea067869d04849c0f975a2b29c4ff47d867f484f5010ea5e861eab246d91"),
}
LARGEST = 1 << 28  # bytes of one file, decompressed; the original has 11 MB


def _path(split: str) -> str:
    return f"hub/datasets/Salesforce/wikitext/wikitext-2-raw-v1/{split}-00000-of-00001.parquet"


SOURCES = gpt1.BPE_SOURCES | {
    _path(split): Source(
        f"https://huggingface.co/{_FOLDER}/wikitext-2-raw-v1/{split}-00000-of-00001.parquet",
        size=size,
        sha256=checksum,
    )
    for split, (size, checksum) in _FILES.items()
}


def prepare(sources: dict[str, Path]):
    """Tokenise every non-empty line of the three splits; see arrays.tokenise.

    Raises DataError for a file that is broken, or has no such line.
    """
    from trainstudy.arrays import tokenise

    vocabulary, merges = (sources[path] for path in gpt1.BPE_SOURCES)
    splits = {split: _lines(sources[_path(split)]) for split in _FILES}
    arrays, manifest = tokenise(gpt1.tokenizer(vocabulary, merges), splits)
    return arrays, manifest | {"tokenizer": "GPT-1's BPE, 40,478 tokens, ids shifted by 1"}


def _lines(parquet: Path) -> list[str]:
    import pyarrow as pa

    batches = files.parquet(parquet, pa.schema({"text": pa.string()}), limit=LARGEST)
    lines = [line for batch in batches for line in batch["text"].to_pylist() if line.strip()]
    if not lines:
        raise files.DataError(f"{parquet} holds no line of text. {files.cure(parquet)}")
    return lines
