"""Gives the notebook's `prepare_digit` all kinds of pictures, good, odd and bad."""

from contextlib import suppress

import numpy as np
import pytest
from PIL import ExifTags, Image
from scipy import ndimage
from sklearn.datasets import load_digits

from common import read
from helpers import KINDS, drawing, network_of_pad, photograph

SCANS = np.uint8(load_digits().images * 15.9)  # 8×8, bright ink on black


@pytest.fixture(scope="module")
def prepare_digit(names):
    return names["prepare_digit"]


def test_makes_it_as_mnist_was_made(prepare_digit):
    for scan in SCANS[:20]:
        prepared = prepare_digit(scan)
        assert prepared.shape == (28, 28)
        assert prepared.dtype == np.float32
        assert [prepared.min(), prepared.max()] == [0, 1]
        assert max(prepared.any(axis=axis).sum() for axis in (0, 1)) == 20
        # MNIST's centre of mass is at pixel 14, to within the rounding to whole pixels.
        np.testing.assert_allclose(ndimage.center_of_mass(prepared), 14, atol=0.51)


TRANSPARENT = np.zeros((8, 8, 3), dtype=np.uint8)
SAME = {
    "dark on bright": lambda scan: 255 - scan,
    "float from 0 to 1": lambda scan: scan / 255,
    "float from 0 to 255": lambda scan: scan.astype("float32"),
    "16 bit": lambda scan: scan.astype("uint16") * 257,
    "one channel": lambda scan: scan[..., None],
    "RGB": lambda scan: np.stack([scan] * 3, axis=-1),
    "RGB float": lambda scan: np.stack([scan] * 3, axis=-1) / 255,
    "RGBA": lambda scan: np.dstack([TRANSPARENT, scan]),
    "RGBA, bright ink": lambda scan: np.dstack([255 - TRANSPARENT, scan]),
    "PIL": Image.fromarray,
    "PIL RGBA": lambda scan: Image.fromarray(scan).convert("RGBA"),
    "PIL palette": lambda scan: Image.fromarray(scan).convert("P"),
}


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_takes_any_kind_of_picture(prepare_digit, change):
    for scan in SCANS[:10]:
        before = scan.copy()
        np.testing.assert_allclose(prepare_digit(change(scan)), prepare_digit(scan), atol=0.03)
        np.testing.assert_array_equal(scan, before)


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp"])
def test_takes_a_file(prepare_digit, tmp_path, ending):
    path = tmp_path / f"digit.{ending}"
    drawing(3).save(path)
    for name in (path, str(path)):
        np.testing.assert_allclose(prepare_digit(name), prepare_digit(drawing(3)), atol=0.1)


def test_takes_a_photo_of_a_camera_that_was_turned(prepare_digit, tmp_path):
    path, turned = tmp_path / "digit.jpg", Image.Exif()
    turned[ExifTags.Base.Orientation] = 6  # a quarter turn to the right sets it upright
    drawing(3).rotate(90).save(path, exif=turned)
    np.testing.assert_allclose(prepare_digit(path), prepare_digit(drawing(3)), atol=0.1)


def test_takes_a_picture_with_dust(prepare_digit):
    clean = np.asarray(drawing(2))
    dusty = clean.copy()
    dusty[np.random.default_rng(0).random(clean.shape) < 0.001] = 0
    dusty[20:30, 20:30] = 0  # a crumb, a ninetieth of the digit
    found, expected = prepare_digit(dusty), prepare_digit(clean)
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [30, pytest.param(200, marks=pytest.mark.slow)])
def test_reads_photographs(prepare_digit, digits, kind, n):
    images, labels = digits
    n = n // 4 if kind == "12 megapixels" else n
    rng, prepared = np.random.default_rng(0), {}
    for i, image in enumerate(images[:n]):
        with suppress(ValueError):  # it is refused
            prepared[i] = prepare_digit(photograph([image / 255], kind, rng))
    answers = network_of_pad(read()).predict(np.stack(list(prepared.values())), verbose=0)
    wrong = n - np.sum(answers.argmax(axis=1) == labels[list(prepared)])
    assert wrong <= max(2, 0.02 * n)
    assert n - len(prepared) <= max(1, 0.01 * n)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_says_that_there_are_several_digits(prepare_digit, digits, n):
    images, rng = digits[0] / 255, np.random.default_rng(0)
    for i in range(20):
        photo = photograph(images[n * i : n * (i + 1)], "plain paper", rng)
        with pytest.raises(ValueError, match="several"):
            prepare_digit(photo)


GRAIN = np.random.default_rng(0).normal(128, 4, size=(200, 200)).astype(np.uint8)
BAD = {
    "blank": (np.zeros((28, 28)), "blank"),
    "blank paper with grain": (GRAIN, "blank"),
    "transparent": (np.zeros((28, 28, 4), dtype=np.uint8), "blank"),
    "NaN": (np.where(SCANS[0] > 99, np.nan, 0), "finite"),
    "infinite": (np.where(SCANS[0] > 99, np.inf, 0), "finite"),
    "complex": (SCANS[0] * 1j, "finite numbers"),
    "text": (np.array([["a", "b"], ["c", "d"]]), "finite numbers"),
    "empty": (np.empty((0, 28)), "empty"),
    "one dimension": (np.arange(784), "shape"),
    "two channels": (np.zeros((28, 28, 2)), "shape"),
    "many images": (np.zeros((5, 28, 28, 1)), "shape"),
    "None": (None, "shape"),
    "no file": ("nowhere.png", "path of a picture"),
    "no picture": (__file__, "path of a picture"),
}


@pytest.mark.parametrize(("image", "message"), BAD.values(), ids=BAD)
def test_bad_input_ends_in_a_clear_error(prepare_digit, image, message):
    with pytest.raises(ValueError, match=message):
        prepare_digit(image)


def test_odd_input_is_prepared_or_refused(prepare_digit):
    rng, prepared = np.random.default_rng(0), 0
    for _ in range(1000):
        shape = rng.integers(1, 200, 2)
        picture = rng.normal(size=shape) * 10.0 ** rng.integers(-300, 300)
        if rng.random() < 0.7:
            picture = np.zeros(shape)
            top, left = (rng.integers(0, n) for n in shape)
            picture[top : top + 40, left : left + 10] = rng.normal() * 200
        if channels := rng.choice([0, 1, 3, 4]):
            picture = np.repeat(picture[..., None], channels, axis=2)
        with np.errstate(all="ignore"):
            picture = picture.astype(rng.choice([*"?bBHilLefd"]))  # bool, int8, ..., float64
        with suppress(ValueError):
            result = prepare_digit(picture)
            prepared += 1
            assert result.shape == (28, 28)
            assert 0 <= result.min() <= result.max() == 1
    assert prepared > 300
