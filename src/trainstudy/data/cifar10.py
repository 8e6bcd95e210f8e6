"""CIFAR-10: 60,000 colour photographs of ten kinds of things, 32 × 32 pixels."""

from pathlib import Path

from trainstudy import files
from trainstudy.fetch import Source

KIND = "images"
SHAPE = (3, 32, 32)
EXAMPLES = 45_000
HELD_OUT = {"validation": 5_000, "test": 10_000}
EMBEDDED = False
ORIGIN = "CIFAR-10 (Krizhevsky, 2009): 50,000 training and 10,000 test images in ten classes"

_FOLDER = "datasets/uoft-cs/cifar10/resolve/0b2714987fa478483af9968de7c934580d0bb9a2"
_FILES = {
    "train": (119_705_255, "8428b53a88a11ac374111006708df51469e315a22ac6d66470afd9c78d2ae883"),
    "test": (23_940_850, "841389e6f2d64f28bf17310e430aebac20ec3ba611a3c5e231dc93c645ce84de"),
}
LARGEST = 1 << 30  # bytes of one file, decompressed; the original has 120 MB
# Per channel, of the training images scaled to 0–1, as the published runs used them.
MEAN = (0.49139968, 0.48215841, 0.44653091)
DEVIATION = (0.24703223, 0.24348513, 0.26158784)


def _path(split: str) -> str:
    return f"hub/datasets/uoft-cs/cifar10/plain_text/{split}-00000-of-00001.parquet"


SOURCES = {
    _path(split): Source(
        f"https://huggingface.co/{_FOLDER}/plain_text/{split}-00000-of-00001.parquet",
        size=size,
        sha256=checksum,
    )
    for split, (size, checksum) in _FILES.items()
}


def prepare(sources: dict[str, Path]):
    """Decode all images; the training images are parted 45,000 : 5,000 (arrays.split_images)."""
    from trainstudy.arrays import split_images

    arrays = split_images(*_decode(sources[_path("train")]))
    arrays["test.images"], arrays["test.labels"] = _decode(sources[_path("test")])
    return arrays, {"classes": 10, "mean": MEAN, "deviation": DEVIATION}


def _decode(parquet: Path):
    """Return the images (N, 3, 32, 32) uint8 and labels (N,) uint8 of one file.

    Raises DataError for a file that is broken or empty, an image that cannot be decoded or is of
    another size or mode, or a label that is not 0–9.
    """
    import numpy as np
    import pyarrow as pa
    from tqdm import tqdm

    image = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    schema = pa.schema({"img": image, "label": pa.int64()})
    pixels: list = []
    labels: list[int] = []
    with tqdm(desc=parquet.name, unit=" images", mininterval=2, ncols=90) as bar:
        for batch in files.parquet(parquet, schema, limit=LARGEST):
            rows = range(len(labels), len(labels) + len(batch))
            contents = batch["img"].field("bytes")
            pixels += [_pixels(c.as_py(), parquet, r) for r, c in zip(rows, contents, strict=True)]
            labels += batch["label"].to_pylist()
            bar.update(len(batch))
    if not labels:
        raise files.DataError(f"{parquet} holds no image. {files.cure(parquet)}")
    if min(labels) < 0 or max(labels) > 9:
        raise files.DataError(
            f"{parquet}: labels must be 0–9, found {min(labels)}–{max(labels)}. "
            f"{files.cure(parquet)}"
        )
    return np.stack(pixels), np.array(labels, dtype=np.uint8)


def _pixels(content: bytes | None, parquet: Path, row: int):
    """Return one image as an array (3, 32, 32) uint8."""
    import io

    import numpy as np
    from PIL import Image

    try:  # two formats only: Pillow knows some that start other programs
        with Image.open(io.BytesIO(content or b""), formats=("PNG", "JPEG")) as image:
            if image.size == (32, 32) and image.mode == "RGB":
                return np.asarray(image).transpose(2, 0, 1)
            found = f"{image.size[0]} × {image.size[1]} {image.mode}"
    except Exception as error:  # Pillow raises SyntaxError, struct.error, … for broken images
        found = f"one that cannot be decoded ({error})"
    raise files.DataError(
        f"{parquet}, row {row}: a 32 × 32 RGB image is expected, found {found}. "
        f"{files.cure(parquet)}"
    )
