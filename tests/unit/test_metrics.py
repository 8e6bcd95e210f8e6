"""Both estimators of every score, worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainstudy import metrics

FINITE = st.floats(0, 50, width=32)


def test_classification_with_a_short_last_batch():
    loss = np.array([1, 2, 3, 4, 8], dtype=np.float32)
    correct = np.array([1, 0, 1, 1, 1], dtype=np.float32)
    assert metrics.classification(loss, correct, batch_size=2) == {
        "loss": 3.6,  # (1 + 2 + 3 + 4 + 8) / 5
        "loss_published": pytest.approx(13 / 3),  # (1.5 + 3.5 + 8) / 3
        "accuracy": 0.8,  # 4 / 5
        "accuracy_published": pytest.approx(2.5 / 3),  # (1/2 + 2/2 + 1/1) / 3
    }


def test_language_modelling_with_a_short_last_batch_and_padding():
    # Three sequences of up to 4 tokens in batches of 2; the last has 3 tokens.
    loss = np.array([6, 4, 5], dtype=np.float32)
    tokens = np.array([4, 4, 3], dtype=np.float32)
    scores = metrics.language_modelling(loss, tokens, batch_size=2, sequence_length=4, size=30)
    assert scores == {
        "loss": pytest.approx(15 / 11),  # (6 + 4 + 5) / (4 + 4 + 3)
        "loss_published": 0.9375,  # ((6 + 4) / 8 + 5 / 8) / 2
        "perplexity": pytest.approx(3.910_387),  # exp(1.363 636)
        "perplexity_published": pytest.approx(2.553_589),  # exp(0.9375)
        "bits_per_byte": pytest.approx(0.721_348),  # 15 / 0.693 147 / 30
    }


def test_one_bit_for_every_byte():
    # Two tokens of 8 · ln 2 nat each, that is 8 bits each, for 16 bytes.
    loss = np.array([16 * math.log(2)], dtype=np.float64)
    scores = metrics.language_modelling(loss, np.array([2.0]), 1, 2, size=16)
    assert scores["bits_per_byte"] == pytest.approx(1)
    assert scores["perplexity"] == pytest.approx(256)


def test_many_small_losses_do_not_drown_in_the_total():
    # In float32, 16,777,216 + 1 = 16,777,216.
    loss = np.ones(1001, dtype=np.float32)
    loss[0] = 2.0**24
    scores = metrics.language_modelling(loss, np.ones(1001), 1, 1, size=1)
    assert scores["loss"] * 1001 == pytest.approx(2**24 + 1000, abs=0.01)


@given(st.data(), st.integers(1, 5), st.integers(1, 5))
def test_estimators_of_classification_agree_where_batches_are_equal(data, batch_size, batches):
    count = batch_size * batches
    loss = np.array(data.draw(st.lists(FINITE, min_size=count, max_size=count)), np.float32)
    correct = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)), "f4")
    scores = metrics.classification(loss, correct, batch_size)
    assert scores["loss_published"] == pytest.approx(scores["loss"], rel=1e-9)
    assert scores["accuracy_published"] == pytest.approx(scores["accuracy"], rel=1e-9)


@given(st.data(), st.integers(1, 5), st.integers(1, 5), st.integers(1, 7))
def test_estimators_of_language_modelling_agree_where_batches_are_full(
    data, batch_size, batches, length
):
    count = batch_size * batches
    loss = np.array(data.draw(st.lists(FINITE, min_size=count, max_size=count)), np.float32)
    tokens = np.full(count, length, dtype=np.float32)
    scores = metrics.language_modelling(loss, tokens, batch_size, length, size=100)
    assert scores["loss_published"] == pytest.approx(scores["loss"], rel=1e-9)
    assert scores["perplexity_published"] == pytest.approx(scores["perplexity"], rel=1e-6)


@pytest.mark.parametrize(
    ("loss", "perplexity"), [(500.0, math.exp(500)), (800.0, math.inf), (math.nan, math.nan)]
)
def test_a_perplexity_is_infinite_only_beyond_all_numbers(loss, perplexity):
    losses, tokens = np.array([loss * 4]), np.array([4])
    found = metrics.language_modelling(losses, tokens, 1, 4, 10)
    assert found["perplexity"] == pytest.approx(perplexity, nan_ok=True)
    assert found["perplexity_published"] == pytest.approx(perplexity, nan_ok=True)
    assert found["loss"] == pytest.approx(loss, nan_ok=True)


def test_norms_of_the_gradient_are_averaged_and_the_largest_need_not_be_the_last():
    found = metrics.gradient(np.array([1.0, 5.0, 3.0], dtype=np.float32))
    assert found == {"gradient_norm": 3.0, "gradient_norm_largest": 5.0}
