"""Gives the notebook's `prepare_digit` all kinds of pictures, good, odd and bad."""

import numpy as np
import pytest
from drawings import drawing
from PIL import Image
from scipy import ndimage
from sklearn.datasets import load_digits
from test_notebook import definitions

SCANS = np.uint8(load_digits().images * 15.9)  # 8×8, bright ink on black


@pytest.fixture(scope="module")
def prepare_digit():
    return definitions()["prepare_digit"]


def correlation(prepared, expected):
    """Return how alike two prepared digits are, 1 if they are the same."""
    return np.corrcoef(prepared.ravel(), expected.ravel())[0, 1]


def alike(prepared, expected):
    """Return the correlation where they fit best; rounding may move one by a pixel."""
    moves = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    moved = [np.roll(prepared, move, axis=(0, 1)) for move in moves]
    return max(correlation(image, expected) for image in moved)


@pytest.mark.parametrize("scan", SCANS[:20], ids=range(20))
def test_makes_it_as_mnist_was_made(prepare_digit, scan):
    prepared = prepare_digit(scan)
    assert prepared.shape == (28, 28)
    assert prepared.dtype == np.float32
    assert prepared.min() == 0
    assert prepared.max() == 1
    rows, columns = prepared.any(axis=1).sum(), prepared.any(axis=0).sum()
    assert max(rows, columns) == 20
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
        prepared, expected = prepare_digit(change(scan)), prepare_digit(scan)
        np.testing.assert_allclose(prepared, expected, atol=0.03)


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp"])
def test_takes_a_file(prepare_digit, tmp_path, ending):
    large = np.kron(255 - SCANS[3], np.ones((20, 20), dtype=np.uint8))
    path = tmp_path / f"digit.{ending}"
    Image.fromarray(large).save(path)
    assert correlation(prepare_digit(path), prepare_digit(large)) > 0.99
    assert correlation(prepare_digit(str(path)), prepare_digit(large)) > 0.99


@pytest.mark.parametrize("digit", range(10))
def test_finds_the_ink_in_a_photo(prepare_digit, digit):
    light = np.linspace(0.6, 1, 600) * np.linspace(1, 0.8, 450)[:, None]
    photo = 220 * light + np.random.default_rng(0).normal(scale=4, size=(450, 600))
    pen = 1 - np.asarray(drawing(digit)) / 255
    photo[100:380, 200:480] -= 100 * light[100:380, 200:480] * pen
    found = prepare_digit(np.uint8(np.clip(photo, 0, 255)))
    # A 1 becomes a bar of two or three pixels: 0.85. The others reach 0.92 to 1.
    assert alike(found, prepare_digit(drawing(digit))) > 0.8


@pytest.mark.parametrize("digit", range(10))
def test_takes_a_digit_cropped_to_its_ink(prepare_digit, digit):
    pixels = np.asarray(drawing(digit))
    rows, columns = (np.flatnonzero((pixels < 128).any(axis=a)) for a in (1, 0))
    tight = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if digit == 1:  # a bare stroke leaves no paper
        tight = np.pad(tight, [(0, 0), (15, 15)], constant_values=255)
    assert alike(prepare_digit(tight), prepare_digit(pixels)) > 0.99


def test_takes_a_picture_with_dust(prepare_digit):
    clean = np.asarray(drawing(2))
    dusty = clean.copy()
    dusty[np.random.default_rng(0).random(clean.shape) < 0.001] = 0
    assert alike(prepare_digit(dusty), prepare_digit(clean)) > 0.99


def test_leaves_out_the_table(prepare_digit):
    clean = np.asarray(drawing(2))
    on_a_table = clean.copy()
    on_a_table[:, :40] = 60
    assert alike(prepare_digit(on_a_table), prepare_digit(clean)) > 0.99


def test_leaves_the_callers_picture_as_it_is(prepare_digit):
    array, picture = SCANS[0].copy(), Image.fromarray(SCANS[0])
    prepare_digit(array)
    prepare_digit(picture)
    np.testing.assert_array_equal(array, SCANS[0])
    np.testing.assert_array_equal(picture, SCANS[0])


GRAIN = np.random.default_rng(0).normal(128, 4, size=(200, 200)).astype(np.uint8)
BAD = {
    "blank": (np.zeros((28, 28)), "blank"),
    "blank paper with grain": (GRAIN, "blank"),
    "transparent": (np.zeros((28, 28, 4), dtype=np.uint8), "blank"),
    "two digits": (np.hstack([drawing(3), drawing(5)]), "several"),
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
    rng = np.random.default_rng(0)
    kinds = [
        "bool",
        "uint8",
        "int8",
        "uint16",
        "int32",
        "int64",
        "uint64",
        "float16",
        "float32",
        "float64",
    ]
    prepared = 0
    for _ in range(1000):
        shape = rng.integers(1, 200, 2)
        picture = rng.normal(size=shape) * 10.0 ** rng.integers(-300, 300)
        if rng.random() < 0.7:
            picture = np.zeros(shape)
            top, left = (rng.integers(0, n) for n in shape)
            picture[top : top + 40, left : left + 10] = rng.normal() * 200
        channels = rng.choice([0, 1, 3, 4])
        if channels:
            picture = np.repeat(picture[..., None], channels, axis=2)
        with np.errstate(all="ignore"):
            picture = picture.astype(rng.choice(kinds))
        try:
            result = prepare_digit(picture)
        except ValueError:
            continue
        prepared += 1
        assert result.shape == (28, 28)
        assert 0 <= result.min() <= result.max() == 1
    assert prepared > 300
