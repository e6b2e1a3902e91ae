"""Checks that the notebook's outputs agree with each other, and with what it concludes.

Bands are as wide as networks vary. What is checked here holds on every machine: in six
runs with other seeds, each was met by at least four standard deviations.
"""

import re

import pytest
from common import texts


@pytest.fixture
def printed(executed):
    """What the cells put out, as {cell id: text}."""
    return texts(executed)


def numbers(pattern, text):
    """Return all numbers that the groups of a pattern find, as a list for each match."""
    return [[float(n) for n in m.groups()] for m in re.finditer(pattern, text)]


def test_confusion_matrix_shows_all_images_and_no_zeros(printed):
    (shown,) = re.findall(r"texts: (.*)", printed["confusion-plot"])
    counts = [int(count) for count in shown.split(", ")]
    assert sum(counts) == 10_000
    assert 0 not in counts


def test_falling_rate_is_better(printed):
    low, _, falling = numbers(r"accuracy ([\d.]+)%", printed["train-falling"])
    assert falling > low


def test_early_stopping_takes_back_the_best_weights(printed):
    ((loss,),) = numbers(r"validation loss ([\d.]+)", printed["early-stopping"])
    lowest, last = numbers(
        r"(?m)^\d+ +[\d.]+ +[\d.]+ +[\d.]+ +([\d.]+)$", printed["too-long"]
    )
    assert loss == pytest.approx(*lowest, abs=0.002)
    assert last[0] > 1.3 * loss


def test_scoreboard_agrees_with_what_is_counted(printed):
    row = r"(?m)\d+ +\d+ +([\d.]+) +(0\.\d{4}) +[\d.]+(?: +0\.\d+)? *$"
    seconds, accuracies = zip(*numbers(row, printed["scoreboard"]))
    assert len(seconds) == 8
    assert min(seconds) > 0
    assert max(accuracies) == accuracies[-1]
    ((first,),) = numbers(r"(\d+) misread", printed["mistakes"])
    ((best,),) = numbers(r"(\d+) of 10,000 misread", printed["remaining"])
    assert 10_000 * (1 - accuracies[0]) == pytest.approx(first, abs=1)
    assert 10_000 * (1 - accuracies[-1]) == pytest.approx(best, abs=1)


def test_augmentation_helps(printed):
    plain, augmented = numbers(r": ([\d.]+)%", printed["train-augmented"])
    assert augmented > plain


def test_preparation_helps(printed):
    shares = dict(
        re.findall(r"(\w+ network, \w+): ([\d.]+)%", printed["evidence-plot"])
    )
    for name in ("first", "best"):
        prepared, resized = (
            shares[f"{name} network, {k}"] for k in ("prepared", "resized")
        )
        assert float(prepared) > float(resized)


def test_teaching_mends_other_writers_digits(printed):
    ((before, after),) = numbers(
        r"other writers +([\d.]+) +([\d.]+)", printed["taught"]
    )
    assert after < 0.75 * before
