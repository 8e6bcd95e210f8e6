"""Numbers in words: units, points and infinity."""

import math

import pytest

from trainstudy import quantities


@pytest.mark.parametrize(
    ("value", "column", "text"),
    [
        (0.6682, "accuracy", "66.82 %"),
        (193.21, "validation_perplexity_best", "193.2"),
        (38_925.47, "perplexity", "38,925"),
        (5.2638, "loss", "5.264 nat"),
        (math.inf, "perplexity", "∞"),
        (999_999_999_999.0, "perplexity", "999,999,999,999"),
        (1.5e200, "perplexity", "1.5e+200"),
        (123.4, "seconds_training", "123.4 s"),
        (3 * 2**20, "memory_allocated", "3 MiB"),
        (0.021, "rise", "2.10 %"),
    ],
)
def test_a_value_comes_with_its_unit_and_an_exponent_only_where_it_is_beyond_reading(
    value, column, text
):
    assert quantities.written(value, column) == text


@pytest.mark.parametrize(
    ("value", "column", "sign", "text"),
    [
        (0.155, "validation_accuracy_last", "", "15.5 points"),
        (0.01, "validation_accuracy_last", "", "1 point"),
        (-0.0258, "validation_accuracy_last", "+", "-2.58 points"),
        (1000.0, "validation_perplexity_last", "", "1,000"),
        (0.5, "gap_last", "+", "+0.5 nat"),
    ],
)
def test_a_difference_of_shares_is_in_points(value, column, sign, text):
    assert quantities.difference(value, column, sign) == text


@pytest.mark.parametrize(
    ("column", "time"),
    [("seconds_total", True), ("throughput", True), ("memory_resident", False)],
)
def test_what_is_told_per_time_is_a_time_as_well(column, time):
    assert quantities.is_time(column) is time


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("seconds_training", "training seconds per epoch"),
        ("validation_accuracy_after_600_s", "validation accuracy after 600 s"),
        ("test_perplexity_best", "test perplexity, best epoch"),
    ],
)
def test_columns_have_names_that_are_read(column, words):
    assert quantities.words(column) == words
