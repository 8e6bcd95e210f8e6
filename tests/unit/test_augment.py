"""The batched augmentation against torchvision's, for given parameters and in distribution."""

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as tv
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Generator, Tensor
from torchvision.transforms import RandomResizedCrop

from trainstudy.augment import augment, crop_and_flip, sample_crops

PUBLISHED = {"flip": 0.5, "crop_scale": [0.8, 1.0], "crop_ratio": [0.9, 1.1]}
DRAWS = 20_000
SURELY_OTHER = 1e-4  # a p-value below it


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def torchvision_crops(size: int, scale: list[float], ratio: list[float]) -> Tensor:
    image = torch.empty(3, size, size)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        draws = [RandomResizedCrop.get_params(image, scale, ratio) for _ in range(DRAWS)]
    return torch.tensor(draws)


def p_value(a: Tensor, b: Tensor) -> float:
    """Return that of the chi-square test whether rows (N, K) of a and b are drawn alike."""
    values, inverse = np.unique(np.concatenate([a, b]), axis=0, return_inverse=True)
    table = np.stack(
        [
            np.bincount(part, minlength=len(values))
            for part in (inverse.ravel()[: len(a)], inverse.ravel()[len(a) :])
        ]
    )
    rare = table.sum(axis=0) < 20
    bins = np.concatenate([table[:, ~rare], table[:, rare].sum(axis=1, keepdims=True)], axis=1)
    return stats.chi2_contingency(bins[:, bins.sum(axis=0) > 0]).pvalue


@pytest.mark.parametrize("size", [8, 32])
def test_given_parameters_yield_what_torchvision_yields(size):
    images = torch.rand(64, 3, size, size, generator=seeded())
    crops = sample_crops(len(images), size, [0.3, 1.0], [0.5, 2.0], seeded(1))
    crops[0] = torch.tensor([0, 0, size, size])
    crops[1] = torch.tensor([size - 1, 0, 1, size])
    flips = torch.arange(len(images)) % 3 == 0
    expected = []
    for image, (top, left, height, width), flip in zip(images, crops.int(), flips, strict=True):
        flipped = tv.horizontal_flip(image) if flip else image
        expected.append(
            tv.resized_crop(flipped, top, left, height, width, [size, size], antialias=True)
        )
    torch.testing.assert_close(
        crop_and_flip(images, crops, flips), torch.stack(expected), rtol=0, atol=2e-5
    )


def test_whole_unflipped_image_stays_as_it_is():
    images = torch.rand(2, 3, 32, 32, generator=seeded())
    whole = torch.tensor([[0.0, 0, 32, 32]] * 2)
    result = crop_and_flip(images, whole, torch.tensor([False, False]))
    torch.testing.assert_close(result, images, rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    ("scale", "ratio"),
    [([0.8, 1.0], [0.9, 1.1]), ([0.9, 1.0], [0.5, 2.0])],
    ids=["published", "often rejected"],
)
def test_crops_are_distributed_as_in_torchvision(scale, ratio):
    ours = sample_crops(DRAWS, 32, scale, ratio, seeded())
    theirs = torchvision_crops(32, scale, ratio)
    top, left, height, width = range(4)
    for columns in ([height, width], [top], [left], [height, top], [width, left], [top, left]):
        assert p_value(ours[:, columns], theirs[:, columns]) > SURELY_OTHER, columns


def test_whole_image_is_taken_as_often_as_in_torchvision_where_no_crop_fits_in_ten_attempts():
    # Crops of 99 % of the area fit only when they are almost square.
    scale, ratio = [0.99, 1.0], [0.1, 10.0]
    ours = sample_crops(DRAWS, 32, scale, ratio, seeded())
    theirs = torchvision_crops(32, scale, ratio)
    assert 0.5 < (ours[:, 2:] == 32).all(dim=1).float().mean() < 1
    assert p_value(ours, theirs) > SURELY_OTHER


@pytest.mark.parametrize("ratio", [[1.5, 2.0], [0.5, 0.7]], ids=["wide", "high"])
def test_where_the_whole_image_has_no_allowed_ratio_the_largest_central_crop_is_taken(ratio):
    image = torch.empty(3, 32, 32)
    with torch.random.fork_rng():
        expected = RandomResizedCrop.get_params(image, [1.0, 1.0], ratio)
    assert sample_crops(1, 32, [1.0, 1.0], ratio, seeded()).tolist() == [list(expected)]


@pytest.mark.parametrize("flip", [0.0, 0.2, 0.5, 1.0])
def test_flips_that_share_of_the_images(flip):
    images = torch.rand(1, 1, 4, 4, generator=seeded()).expand(4000, -1, -1, -1)
    whole = {"flip": flip, "crop_scale": [1.0, 1.0], "crop_ratio": [1.0, 1.0]}
    results = augment(images, whole, seeded(1))
    flipped = (results - images.flip(-1)).abs().amax(dim=(1, 2, 3)) < 1e-5
    kept = (results - images).abs().amax(dim=(1, 2, 3)) < 1e-5
    assert torch.equal(kept, ~flipped)
    assert stats.binomtest(int(flipped.sum()), len(images), flip).pvalue > SURELY_OTHER


def test_every_image_of_a_batch_gets_parameters_of_its_own():
    image = torch.rand(1, 3, 32, 32, generator=seeded())
    varied = PUBLISHED | {"crop_scale": [0.2, 1.0], "crop_ratio": [0.5, 2.0]}
    results = augment(image.expand(20, -1, -1, -1), varied, seeded(1))
    assert len(results.flatten(1).unique(dim=0)) == 20


def test_the_generator_alone_decides_the_result():
    images = torch.rand(20, 3, 32, 32, generator=seeded())
    before = torch.get_rng_state()
    first = augment(images, PUBLISHED, seeded(1))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(1)
    assert torch.equal(augment(images, PUBLISHED, seeded(1)), first)
    assert not torch.equal(augment(images, PUBLISHED, seeded(2)), first)


ranges = st.tuples(st.floats(0.05, 4.0), st.floats(0.05, 4.0)).map(sorted)
shares = st.tuples(st.floats(0.001, 1.0), st.floats(0.001, 1.0)).map(sorted)


@given(size=st.integers(1, 64), scale=shares, ratio=ranges, seed=st.integers(0, 2**32))
def test_crops_lie_inside_the_image_and_on_whole_pixels(size, scale, ratio, seed):
    crops = sample_crops(200, size, scale, ratio, seeded(seed))
    assert crops.shape == (200, 4)
    assert torch.equal(crops, crops.round())
    corner, side = crops[:, :2], crops[:, 2:]
    assert (corner >= 0).all()
    assert (side >= 1).all()
    assert (corner + side <= size).all()
