"""scikit-learn's 1,797 handwritten digits, 8 × 8 pixels: real images, no download."""

from pathlib import Path

KIND = "images"
SHAPE = (1, 8, 8)
EXAMPLES = 1_295
HELD_OUT = {"validation": 143, "test": 359}
EMBEDDED = True
ORIGIN = "1,797 handwritten digits (UCI, 1998), as embedded in scikit-learn"
SOURCES: dict = {}

TEST_SEED = 42


def prepare(sources: dict[str, Path]):
    """Hold out 20 % for testing by a seeded permutation; arrays.split_images parts the rest."""
    import hashlib

    import numpy as np
    import sklearn
    from sklearn.datasets import load_digits

    from trainstudy.arrays import split_images

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)[:, None]  # 0–16 → 0–255
    labels = digits.target.astype(np.uint8)
    order = np.random.default_rng(TEST_SEED).permutation(len(pixels))
    test, rest = np.split(order, [len(order) // 5])
    arrays = split_images(pixels[rest], labels[rest])
    arrays["test.images"], arrays["test.labels"] = pixels[test], labels[test]
    scaled = arrays["train.images"] / 255
    checksum = hashlib.sha256(digits.images.tobytes() + digits.target.tobytes()).hexdigest()
    return arrays, {
        "classes": 10,
        "mean": [float(scaled.mean())],
        "deviation": [float(scaled.std())],
        "embedded": {
            "sha256": {"sklearn.datasets.load_digits": checksum},
            "scikit-learn": sklearn.__version__,
        },
    }
