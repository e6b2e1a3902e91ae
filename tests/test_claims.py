"""Checks that this run's outputs bear out what the text concludes, and agree with each other.

Bands are as wide as networks vary. Here, one number is compared with another.
"""

import re

import pytest

# The number behind the first text, a regex, is smaller than that behind the second.
CLAIMS = r"""
nearest-mean: Read right by the nearest mean: < test: Test accuracy:
train-falling: 0.003: validation accuracy < train-falling: falling: validation accuracy
early-stopping: validation loss < too-long: 100 0.00.
search: \[8]: < search: \[32]:
compare: first 101770 < compare: first, falling rate 101770
compare: first, falling rate 101770 < compare: convolutional 54218
evidence: first, prepared: < evidence: augmented, prepared:
evidence: first, resized: < evidence: first, prepared:
others-resized: Read right: < evidence: augmented, prepared:
evidence: convolutional, prepared: < evidence: augmented, prepared:
taught: Misread after: < taught: Misread before:
"""


def number(printed, place):
    """Return the number behind a text that a cell has printed, from "cell: text"."""
    cell_id, text = place.split(": ", 1)
    if not printed:
        pytest.skip("the notebook's cells were not run")
    lines = " ".join(printed[cell_id].split())
    return float(re.search(rf"{text} ([\d.]+)", lines)[1])


@pytest.mark.parametrize("claim", CLAIMS.strip().splitlines())
def test_outputs_bear_out_what_the_text_concludes(printed, claim):
    smaller, larger = (number(printed, place) for place in claim.split(" < "))
    assert smaller < larger


def test_a_network_has_the_same_accuracy_in_all_cells(printed):
    accuracy = number(printed, "test: Test accuracy:")
    (misread,) = re.findall(r"(\d+) misread", printed["mistakes"])
    assert 100 * accuracy == pytest.approx(10_000 - int(misread))
    best = number(printed, "compare: convolutional, augmented 54218")
    (remaining,) = re.findall(r"(\d+) of", printed["remaining"])
    assert best * 10_000 == pytest.approx(10_000 - int(remaining))
    *_, last = re.findall(r"val_accuracy: ([\d.]+)", printed["fit"])
    said = number(printed, "train-falling: 0.001: validation accuracy")
    assert 100 * float(last) == pytest.approx(said, abs=0.06)
