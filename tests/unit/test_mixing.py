"""Mixup and CutMix against their papers' formulas, and the shares against SciPy's beta."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Generator, Tensor

from trainstudy import mixing
from trainstudy.mixing import mix, mixes, symmetric_beta

SURELY_OTHER = 1e-4  # a p-value below it
CLASSES, SIZE = 10, 8


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def of(mixup: float | None = None, cutmix: float | None = None) -> dict:
    return {"mixup": mixup, "cutmix": cutmix}


def numbered(count: int = 6) -> tuple[Tensor, Tensor]:
    """Return images all of whose pixels are their number, and that as their label."""
    labels = torch.arange(count)
    return labels.float().view(-1, 1, 1, 1).expand(-1, 3, SIZE, SIZE), labels


def published_box(size: int, share: float, x: int, y: int) -> np.ndarray:
    """Return what rand_bbox of CutMix's own code cuts out, as True inside (S, S)."""
    cut = int(size * np.sqrt(1.0 - share))
    x1, x2 = np.clip(x - cut // 2, 0, size), np.clip(x + cut // 2, 0, size)
    y1, y2 = np.clip(y - cut // 2, 0, size), np.clip(y + cut // 2, 0, size)
    inside = np.zeros((size, size), bool)
    inside[y1:y2, x1:x2] = True
    return inside


@pytest.mark.parametrize("alpha", [0.2, 0.3, 0.5, 0.7, 1, 1.0, 2.5, 8.0, 200.0])
def test_shares_are_those_of_a_beta_distribution(alpha):
    u, v = torch.rand(2, 50_000, generator=seeded(), dtype=torch.float64)
    shares = symmetric_beta(alpha, u, v)
    assert stats.kstest(shares, stats.beta(alpha, alpha).cdf).pvalue > SURELY_OTHER


@given(st.floats(0, exclude_min=True, allow_infinity=False), st.floats(0, 1, exclude_max=True))
def test_a_share_is_a_share_whatever_alpha_is(alpha, u):
    v = torch.linspace(0, 1, 1001, dtype=torch.float64)[:-1]
    shares = symmetric_beta(alpha, torch.full_like(v, u), v)
    assert ((shares >= 0) & (shares <= 1)).all()


def test_mixup_adds_two_images_and_their_labels_in_one_share():
    shares = []
    for seed in range(200):
        images, labels = numbered()
        mixed, targets = mix(images, labels, CLASSES, of(mixup=0.4), seeded(seed))
        assert mixed.shape == images.shape
        assert mixed.dtype == targets.dtype == torch.float32
        assert targets.shape == (6, CLASSES)
        torch.testing.assert_close(targets.sum(dim=1), torch.ones(6))
        # An image's value is the mean of its labels: both were mixed with the same share.
        means = targets @ torch.arange(10.0)
        torch.testing.assert_close(mixed, means.view(-1, 1, 1, 1).expand_as(mixed))
        pairs = (targets > 0).sum(dim=1)
        assert (pairs <= 2).all()
        own = targets.gather(1, labels[:, None])[pairs == 2]
        assert own.numel() == 0 or own.max() - own.min() < 1e-6
        shares += own[:1].flatten().tolist()
    assert stats.kstest(shares, stats.beta(0.4, 0.4).cdf).pvalue > SURELY_OTHER


def test_partners_are_a_permutation():
    images, labels = numbered(10)
    seen = set()
    for seed in range(50):
        _, targets = mix(images, labels, CLASSES, of(mixup=1.0), seeded(seed))
        torch.testing.assert_close(targets.sum(dim=0), torch.ones(10))  # each is a partner once
        seen |= {tuple(pair) for pair in (targets > 0).nonzero().tolist()}
    assert len(seen) > 80  # of 100: any image may be that of any other


def test_cutmix_puts_a_box_of_one_image_into_another_and_labels_by_its_pixels():
    sizes = set()
    for seed in range(200):
        images, labels = numbered()
        mixed, targets = mix(images, labels, CLASSES, of(cutmix=1.0), seeded(seed))
        for image, target, label in zip(mixed, targets, labels.tolist(), strict=True):
            assert torch.equal(image[0], image[1])
            inside = image[0] != label
            rows, columns = inside.any(dim=1), inside.any(dim=0)
            assert torch.equal(inside, rows[:, None] & columns)  # a box
            other = image[0][inside].unique()
            assert len(other) <= 1
            expected = torch.zeros(CLASSES)
            expected[label] = 1 - inside.float().mean()
            if len(other):
                expected[int(other)] = inside.float().mean()
                sizes.add((int(rows.sum()), int(columns.sum())))
            torch.testing.assert_close(target, expected)
    assert {(2, 2), (4, 4), (6, 6)} <= sizes
    assert any(height != width for height, width in sizes)  # cut off at a border


@given(st.floats(0, 1), st.integers(0, SIZE - 1), st.integers(0, SIZE - 1))
def test_the_box_is_that_of_the_published_code(share, x, y):
    place = torch.tensor([y + 0.5, x + 0.5], dtype=torch.float64) / SIZE
    found = mixing._box(SIZE, torch.tensor(1 - share, dtype=torch.float64), place)
    assert np.array_equal(found.numpy() == 1, published_box(SIZE, share, x, y))


def is_mixup(seed: int, settings: dict) -> bool:
    mixed, _ = mix(*numbered(40), 40, settings, seeded(seed))
    return bool((mixed.flatten(1) == mixed[:, :1, 0, 0]).all())  # every image of one value


def test_each_batch_takes_one_of_both_with_equal_chance():
    # With such an alpha half of every image is that of its partner: no box is empty or whole.
    count = sum(is_mixup(seed, of(1e6, 1e6)) for seed in range(600))
    assert stats.binomtest(count, 600, 0.5).pvalue > SURELY_OTHER
    assert all(is_mixup(seed, of(mixup=1e6)) for seed in range(20))
    assert not any(is_mixup(seed, of(cutmix=1e6)) for seed in range(20))


def test_where_both_are_given_each_keeps_its_own_alpha():
    shares: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(600):
        own = mixing._weights(SIZE, of(mixup=1e9, cutmix=1e-3), seeded(seed))
        shares[bool((own == own[0, 0]).all() and 0 < own[0, 0] < 1)].append(own.mean().item())
    assert shares[True] == pytest.approx([0.5] * len(shares[True]), abs=1e-3)
    # CutMix with so small an alpha keeps all or pastes the largest box, off the centre mostly.
    assert np.isclose(shares[False], 1).mean() == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize("settings", [of(0.4), of(None, 0.4), of(0.4, 0.4)])
def test_the_generator_alone_decides_the_result(settings):
    images, labels = numbered()
    before = torch.get_rng_state()
    one = mix(images, labels, CLASSES, settings, seeded(1))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(1)
    again, other = (mix(images, labels, CLASSES, settings, seeded(n)) for n in (1, 4))
    assert all(map(torch.equal, one, again))
    assert not all(map(torch.equal, one, other))


def test_null_mixes_nothing():
    assert [mixes(of(*pair)) for pair in ((None, None), (1.0, None), (None, 0.1))] == [
        False, True, True,
    ]  # fmt: skip


def test_the_same_image_stays_as_it_is():
    images = torch.rand(1, 3, SIZE, SIZE, generator=seeded()).expand(5, -1, -1, -1)
    for settings in (of(1.0), of(None, 1.0)):
        mixed, targets = mix(images, torch.full((5,), 2), CLASSES, settings, seeded(3))
        torch.testing.assert_close(mixed, images)
        torch.testing.assert_close(targets[:, 2], torch.ones(5))
        assert math.isclose(targets.sum().item(), 5, rel_tol=1e-6)


def test_which_of_both_is_taken_says_nothing_about_the_share():
    generator = seeded()
    drawn = [mixing._weights(SIZE, of(1.0, 1.0), generator) for _ in range(600)]
    of_mixup = [float(own.mean()) for own in drawn if own.unique().numel() == 1 and own.mean() < 1]
    assert stats.kstest(of_mixup, stats.uniform.cdf).pvalue > SURELY_OTHER


def test_boxes_lie_anywhere_along_both_sides():
    generator, rows, columns = seeded(), [], []
    for _ in range(600):
        own = mixing._weights(64, of(1.0, 1.0), generator).squeeze()
        inside = (own == 0).nonzero()
        if len(inside):  # else it was mixup, or too small a box
            middle = inside.double().mean(0)
            rows.append(float(middle[0]))
            columns.append(float(middle[1]))
    assert stats.ks_2samp(rows, columns).pvalue > SURELY_OTHER
    assert abs(stats.pearsonr(rows, columns).statistic) < 0.2
