"""CIFAR-10: 60,000 colour photographs of ten kinds of things, 32 × 32 pixels."""

from pathlib import Path

from trainstudy.fetch import Source

KIND = "images"
SHAPE = (3, 32, 32)
EXAMPLES = 45_000
EMBEDDED = False
ORIGIN = "CIFAR-10 (Krizhevsky, 2009): 50,000 training and 10,000 test images in ten classes"

_FOLDER = "datasets/uoft-cs/cifar10/resolve/0b2714987fa478483af9968de7c934580d0bb9a2"
_FILES = {
    "train": (119_705_255, "8428b53a88a11ac374111006708df51469e315a22ac6d66470afd9c78d2ae883"),
    "test": (23_940_850, "841389e6f2d64f28bf17310e430aebac20ec3ba611a3c5e231dc93c645ce84de"),
}
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


def load(file: Path):
    """Read the prepared images."""
    from trainstudy import arrays

    return arrays.load(file)


def _decode(parquet: Path):
    """Return the images (N, 3, 32, 32) uint8 and labels (N,) uint8 of one file.

    Raises ValueError for an image of another size or mode, or a label that is not 0–9.
    """
    import io

    import numpy as np
    import pyarrow.parquet as pq
    from PIL import Image
    from tqdm import tqdm

    table = pq.read_table(parquet, columns=["img", "label"])
    labels = table["label"].to_numpy()
    if labels.min() < 0 or labels.max() > 9:
        raise ValueError(f"{parquet}: labels must be 0–9, found {labels.min()}–{labels.max()}")
    pixels = np.empty((len(labels), 3, 32, 32), dtype=np.uint8)
    rows = table["img"].combine_chunks().field("bytes")
    for index, content in enumerate(tqdm(rows, desc=parquet.name, mininterval=2, ncols=90)):
        with Image.open(io.BytesIO(content.as_py())) as image:
            if image.size != (32, 32) or image.mode != "RGB":
                raise ValueError(
                    f"{parquet}, row {index}: a 32 × 32 RGB image is expected, "
                    f"found {image.size[0]} × {image.size[1]} {image.mode}"
                )
            pixels[index] = np.asarray(image).transpose(2, 0, 1)
    return pixels, labels.astype(np.uint8)
