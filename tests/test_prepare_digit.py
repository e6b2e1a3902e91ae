"""Gives the notebook's `prepare_digit` all kinds of pictures, good, odd and bad."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO

import numpy as np
import pytest
from PIL import ExifTags, Image
from scipy import ndimage
from sklearn.datasets import load_digits

from common import read
from helpers import KINDS, box, drawing, network_of_pad, photograph

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


def on_paper(ink, margin=60, colour=(30, 50, 150), paper=(228, 224, 215)):
    """Return a picture, float RGB, of ink (height, width) on a sheet with a margin in pixels."""
    ink = np.pad(ink, margin)[..., None]
    return paper + ink * (np.array(colour) - paper)


def framed(page, thick, colour):
    """Return a page with a frame or a table around it, thick in pixels."""
    frame = np.full((page.shape[0] + 2 * thick, page.shape[1] + 2 * thick, 3), colour, float)
    frame[thick:-thick, thick:-thick] = page
    return frame


def crossed(page):
    """Return a page with the lines of a table, which run out of it on all sides."""
    lines = (np.indices(page.shape)[:2] % 360 // 3 == 10).any(axis=0)
    return np.where(lines, 20, page)


def camera(page):
    noise = np.random.default_rng(0).normal(0, 3, (*page.shape[:2], 1))
    return np.uint8(np.clip(page + noise, 0, 255))


def file_of(picture, **options):
    file = BytesIO()
    picture.save(file, "PNG", **options)
    return file


def turned(picture):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # a quarter turn to the right sets it upright
    return file_of(picture.rotate(90), exif=exif)


def ink(digit, size=280, pen=22):
    return 1 - np.asarray(drawing(digit, size, pen)) / 255


def cropped(digit, size=280, pen=22):
    return ink(digit, size, pen)[box(ink(digit, size, pen), 0.3)]


CIRCLE = np.abs(np.hypot(*np.mgrid[-140:140, -140:140]) - 130) < 4
PICTURES = {
    "a sheet on a dark desk": lambda d: camera(framed(on_paper(ink(d)), 120, (60, 45, 35))),
    "a frame": lambda d: np.uint8(framed(on_paper(cropped(d), 20), 6, (20, 20, 20))),
    "a thin frame": lambda d: np.uint8(framed(on_paper(cropped(d, 100, 7), 9), 1, (20, 20, 20))),
    "a cell of a table": lambda d: np.uint8(crossed(on_paper(ink(d)))),
    "in a circle": lambda d: np.uint8(on_paper(np.maximum(ink(d, pen=12), CIRCLE))),
    "a pencil of 1 pixel": lambda d: np.uint8(255 - 255 * ink(d, pen=1)),
    "a pencil of 2 pixels": lambda d: np.uint8(255 - 255 * ink(d, 400, 2)),
    "small on a large photo": lambda d: camera(on_paper(cropped(d, 120, 8), 900)),
    "cropped to its ink": lambda d: np.uint8(255 - 255 * cropped(d)),
    "red on green": lambda d: np.uint8(on_paper(ink(d), 9, (255, 0, 0), (0, 130, 0))),
    "0 and 1": lambda d: np.uint8(ink(d) > 0.5),
    "a file object": lambda d: file_of(drawing(d)),
    "bytes of a file": lambda d: file_of(drawing(d)).getvalue(),
    "opened, turned by a camera": lambda d: Image.open(turned(drawing(d))),
    "a file, turned by a camera": lambda d: turned(drawing(d)),
}


@pytest.mark.parametrize("make", PICTURES.values(), ids=PICTURES)
def test_reads_pictures_as_people_make_them(prepare_digit, make):
    prepared = {}
    for digit in range(10):
        with suppress(ValueError):  # it is refused
            prepared[digit] = prepare_digit(make(digit))
    shares = network_of_pad(read()).predict(np.stack(list(prepared.values())), verbose=0)
    wrong = shares.argmax(axis=1) != list(prepared)
    assert len(prepared) - wrong.sum() >= 9
    assert np.sum(wrong & (shares.max(axis=1) > 0.5)) <= 1  # a cropped 1 is but a bar


Y, X = np.mgrid[:450, :600]
NO_DIGIT = {
    "plain": np.ones_like(X),
    "a shadow": np.where(X > 300, 0.6, 1),
    "dark corners": 1 - 0.25 * (((X - 300) / 300) ** 2 + ((Y - 225) / 225) ** 2),
    "a speck": 1 - 0.8 * ((abs(X - 300) < 3) & (abs(Y - 200) < 3)),
    "a smudge": 1 - 0.26 * np.exp(-((X - 300) ** 2 + (Y - 200) ** 2) / 3200),
    "a soft shadow": 1 - 0.4 / (1 + np.exp((np.hypot(X - 300, Y - 200) - 90) / 9)),
    "crossed folds": 1 - 0.25 * np.exp(-(np.minimum(abs(X - 300), abs(Y - 200)) ** 2) / 18),
    "ruled": np.where(Y % 40 == 7, 0.65, 1),
    "squared": np.where((Y % 40 == 7) | (X % 40 == 7), 0.65, 1),
}


@pytest.mark.parametrize("light", NO_DIGIT.values(), ids=NO_DIGIT)
def test_says_that_there_is_no_digit(prepare_digit, light):
    with pytest.raises(ValueError, match="blank"):
        prepare_digit(camera(light[..., None] * [230, 226, 220]))


def test_takes_a_path(prepare_digit, tmp_path):
    path = tmp_path / "digit.jpg"
    drawing(3).save(path)
    for name in (path, str(path)):
        np.testing.assert_allclose(prepare_digit(name), prepare_digit(drawing(3)), atol=0.1)


def test_takes_a_picture_with_dust(prepare_digit):
    clean = np.asarray(drawing(2))
    dusty = clean.copy()
    dusty[np.random.default_rng(0).random(clean.shape) < 0.001] = 0
    dusty[20:30, 20:30] = 0  # a crumb, a ninetieth of the digit
    found, expected = prepare_digit(dusty), prepare_digit(clean)
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.slow
def test_reads_photographs(prepare_digit, digits, kind):
    images, labels = digits
    n = 50 if kind == "12 megapixels" else 200
    rng, prepared = np.random.default_rng(0), {}

    def prepare(i, picture):
        with suppress(ValueError):  # it is refused
            prepared[i] = prepare_digit(picture)

    with ThreadPoolExecutor() as pool:
        pictures = (photograph(image / 255, kind, rng) for image in images[:n])
        list(pool.map(prepare, range(n), pictures))
    answers = network_of_pad(read()).predict(np.stack(list(prepared.values())), verbose=0)
    wrong = n - np.sum(answers.argmax(axis=1) == labels[list(prepared)])
    assert wrong <= max(2, 0.015 * n)
    assert n - len(prepared) <= max(1, 0.01 * n)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("n", [2, 3, 4])
def test_says_that_there_are_several_digits(prepare_digit, n, axis):
    for digit in range(10):
        row = np.concatenate([ink((digit + 3 * i) % 10) for i in range(n)], axis=axis)
        with pytest.raises(ValueError, match="several"):
            prepare_digit(camera(on_paper(row)))


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
