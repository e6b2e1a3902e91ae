"""Gives the notebook's `prepare_digit` photographs as people take them, to read."""

import keras
import numpy as np
import pytest
from photos import KINDS, photograph


@pytest.fixture(scope="module")
def digits():
    """MNIST's validation digits and what they show; skipped if MNIST can't be had."""
    try:
        (images, labels), _ = keras.datasets.mnist.load_data()
    except Exception as error:  # noqa: BLE001, Keras raises nothing narrower
        pytest.skip(f"MNIST can't be had: {error}")
    return np.float32(images[-6000:]) / 255, labels[-6000:]


@pytest.mark.parametrize("kind", KINDS)
def test_reads_photographs(network, notebook_names, digits, kind):
    images, labels = digits
    n, rng = (20 if kind == "12 megapixels" else 200), np.random.default_rng(0)
    read, refused = [], 0
    for image in images[:n]:
        try:
            prepared = notebook_names["prepare_digit"](photograph([image], kind, rng))
            read.append(np.argmax(network(prepared[None], training=False)))
        except ValueError:
            refused += 1
            read.append(-1)
    assert np.mean(read == labels[:n]) >= 0.98
    assert refused <= 0.01 * n


@pytest.mark.parametrize("n", [2, 3, 4])
def test_says_that_there_are_several_digits(notebook_names, digits, n):
    images, rng = digits[0], np.random.default_rng(0)
    for i in range(20):
        photo = photograph(images[n * i : n * (i + 1)], "plain paper", rng)
        with pytest.raises(ValueError, match="several"):
            notebook_names["prepare_digit"](photo)
