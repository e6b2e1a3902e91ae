"""Gives the notebook's `prepare_digit` all kinds of pictures, good, odd and bad."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageDraw, ImageFilter
from PIL.ImageOps import expand
from scipy import ndimage
from sklearn.datasets import load_digits

from helpers import drawing, network_of_pad

SCANS = np.uint8(load_digits().images * 15.9)  # 8×8, bright ink on black


@pytest.fixture(scope="module")
def prepare_digit(names):
    return names["prepare_digit"]


@pytest.fixture(scope="module")
def read_all(prepare_digit):
    """A function of pictures: what the pad's network reads, -1 if refused, and how surely."""
    network = network_of_pad()

    def prepare(picture):
        with suppress(ValueError):
            return prepare_digit(picture)
        return np.zeros((28, 28))  # it is refused

    def read_all(pictures):
        with ThreadPoolExecutor() as pool:
            images = np.stack(list(pool.map(prepare, pictures)))
        shares = network(images).numpy() * images.any(axis=(1, 2))[:, None]
        return np.where(shares.any(axis=1), shares.argmax(axis=1), -1), shares.max(axis=1)

    return read_all


def test_makes_it_as_mnist_was_made(prepare_digit):
    for scan in SCANS[:20]:
        prepared = prepare_digit(scan)
        assert prepared.shape == (28, 28)
        assert prepared.dtype == np.float32
        assert [prepared.min(), prepared.max()] == [0, 1]
        assert max(prepared.any(axis=axis).sum() for axis in (0, 1)) == 20
        # MNIST's centre of mass is at pixel 14, to within the rounding to whole pixels.
        np.testing.assert_allclose(ndimage.center_of_mass(prepared), 14, atol=0.51)


def file_of(scan, orientation=1):
    """Return a PNG file; 6: a quarter turn to the right sets it upright."""
    file, exif = BytesIO(), Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(scan).save(file, "PNG", exif=exif)
    return file


BLACK = np.zeros((8, 8, 3), dtype=np.uint8)
SAME = {
    "dark on bright": lambda scan: 255 - scan,
    "float from 0 to 1": lambda scan: scan / 255,
    "float from 0 to 255": lambda scan: scan.astype("float32"),
    "16 bit": lambda scan: scan.astype("uint16") * 257,
    "one channel": lambda scan: scan[..., None],
    "RGB": lambda scan: np.stack([scan] * 3, axis=-1),
    "RGB float": lambda scan: np.stack([scan] * 3, axis=-1) / 255,
    "RGBA": lambda scan: np.dstack([BLACK, scan]),
    "RGBA, bright ink": lambda scan: np.dstack([255 - BLACK, scan]),
    "PIL": Image.fromarray,
    "PIL RGBA": lambda scan: Image.fromarray(scan).convert("RGBA"),
    "PIL RGBA, transparent": lambda scan: Image.fromarray(np.dstack([BLACK, scan])),
    "PIL palette": lambda scan: Image.fromarray(scan).convert("P"),
    "bytes of a file": lambda scan: file_of(scan).getvalue(),
    "a file, turned by a camera": lambda scan: file_of(np.rot90(scan), 6),
    "opened, turned by a camera": lambda scan: Image.open(file_of(np.rot90(scan), 6)),
}


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_takes_any_kind_of_picture(prepare_digit, change):
    for scan in SCANS[:10]:
        before = scan.copy()
        np.testing.assert_allclose(prepare_digit(change(scan)), prepare_digit(scan), atol=0.03)
        np.testing.assert_array_equal(scan, before)


def box(ink, least):
    """Return the slices of rows and columns that hold more ink than `least`."""
    return ndimage.find_objects(np.int8(ink > least))[0]


def ink(digit, size=280, pen=22):
    return 1 - np.asarray(drawing(digit, size, pen)) / 255


def cropped(digit, size=280, pen=22):
    return ink(digit, size, pen)[box(ink(digit, size, pen), 0.3)]


def on_paper(ink, margin=60, colour=(30, 50, 150), paper=(228, 224, 215)):
    """Return ink, (height, width) from 0 to 1, on a sheet with a margin in pixels."""
    height, width = np.add(ink.shape, 2 * margin).tolist()
    sheet = Image.new("RGB", (width, height), paper)
    sheet.paste(colour, (margin, margin), Image.fromarray(np.uint8(255 * ink)))
    return sheet


def crossed(page):
    """Return a page with the lines of a table, which run out of it on all sides."""
    lines = (np.indices(page.size[::-1]) % 360 // 3 == 10).any(axis=0)  # 3 pixels wide
    return np.where(lines[..., None], np.uint8(20), page)


def camera(page, seed=0):
    """Return a page, RGB, with the grain of a camera; its seed may be a generator."""
    page = np.float32(page)
    grain = np.random.default_rng(seed).normal(0, 3, (*page.shape[:2], 1))
    return np.uint8(np.clip(page + np.float32(grain), 0, 255))


CIRCLE = np.abs(np.hypot(*np.mgrid[-140:140, -140:140]) - 130) < 4
PICTURES = {
    "a sheet on a dark desk": lambda d: camera(expand(on_paper(ink(d)), 120, "#3c2d23")),
    "a frame": lambda d: np.asarray(expand(on_paper(cropped(d), 20), 6, "#141414")),
    "a thin frame": lambda d: expand(on_paper(cropped(d, 100, 7), 9), 1, "#141414"),
    "a cell of a table": lambda d: crossed(on_paper(ink(d))),
    "in a circle": lambda d: np.asarray(on_paper(np.maximum(ink(d, pen=12), CIRCLE))),
    "a pencil of 1 pixel": lambda d: np.asarray(drawing(d, pen=1)),
    "a pencil of 2 pixels": lambda d: np.asarray(drawing(d, 400, 2)),
    "small on a large photo": lambda d: camera(on_paper(cropped(d, 120, 8), 900)),
    "cropped to its ink": lambda d: np.uint8(255 - 255 * cropped(d)),
    "red on green": lambda d: np.asarray(on_paper(ink(d), 9, (255, 0, 0), (0, 130, 0))),
    "0 and 1": lambda d: np.uint8(ink(d) > 0.5),
    "a file object": lambda d: file_of(np.asarray(drawing(d))),
}


@pytest.mark.parametrize("make", PICTURES.values(), ids=PICTURES)
def test_reads_pictures_as_people_make_them(read_all, make):
    digits, sure = read_all(make(digit) for digit in range(10))
    right = digits == range(10)
    assert right.sum() >= 9
    assert np.sum(~right & (sure > 0.5)) <= 1  # a cropped 1 is but a bar


# Share of the light that paper reflects, and that a pen takes away, of red, green and blue.
PAPERS = [(1, 1, 1), (0.98, 0.94, 0.84), (0.86, 0.94, 1), (1, 0.88, 0.84), (0.8, 0.69, 0.53)]
PENS = [(1, 1, 1), (1, 0.85, 0.4), (0.4, 1, 0.9), (1, 0.6, 0.9), (0.7, 1, 0.5)]


def ramp(rng, height, width):
    """Return (height, width) numbers that grow from −0.7 to 0.7 at most, in any direction."""
    y, x = np.ogrid[-0.5 : 0.5 : height * 1j, -0.5 : 0.5 : width * 1j]
    angle = rng.uniform(0, 6.3)
    return np.float32(x * np.cos(angle)) + np.float32(y * np.sin(angle))


def softened(mask, sigma):
    mask = Image.fromarray(np.uint8(255 * mask)).filter(ImageFilter.GaussianBlur(float(sigma)))
    return np.float32(mask)[..., None] / 255


def strokes_of(digit, rng):
    """Return a digit of MNIST drawn larger, tilted, with a pen of any width, from 0 to 1."""
    smooth = ndimage.gaussian_filter(ndimage.zoom(np.pad(digit[box(digit, 0)] / 255, 1), 8), 2.7)
    ink = np.pad(np.clip(8 * (smooth - rng.uniform(0.4, 0.7)) + 0.5, 0, 1), 64)
    ink = ndimage.rotate(ink, rng.uniform(-15, 15), order=1).clip(0, 1)
    return ink[box(ink, 0.5)]


def photograph(digit, rng, largest=3000):
    """Return a photograph of a digit of MNIST, uint8 RGB, drawn at random by `rng`.

    The picture is 60 to `largest` pixels high, the digit 15 to 90 % of it, but at least
    14 pixels, as a person could not read less.
    """
    height = int(np.exp(rng.uniform(np.log(60), np.log(largest))))
    tall = max(14, int(height * rng.uniform(0.15, 0.9)))
    ink = strokes_of(digit, rng)
    depth = ndimage.distance_transform_edt(np.pad(ink > 0.5, 1))
    # Within a stroke that is w pixels wide, the mean distance to its edge is w / 4 + 1 / 2.
    thick = (4 * depth.sum() / (ink > 0.5).sum() - 2) * tall / len(ink)
    broad = max(1, ink.shape[1] * tall // len(ink))
    width = int(max(height * rng.uniform(0.75, 4 / 3), 1.1 * broad + 4))
    top, left = (int(rng.uniform(0, n)) for n in (height - tall, width - broad))
    page = np.zeros((height, width))
    page[top : top + tall, left : left + broad] = (
        np.asarray(Image.fromarray(np.uint8(255 * ink)).resize((broad, tall))) / 255
    )
    ink, contrast = softened(page, rng.uniform(0, 1 / 3) * thick), rng.uniform(0.2, 1)
    # One in ten shows more than a digit on paper.
    kind = rng.choice(["plain"] * 45 + ["ruled", "squared", "edge", "cropped", "shadow"])
    paper, page = np.float32(rng.choice(PAPERS)), Image.new("L", (width, height))
    step, slope = height / rng.uniform(6, 14), rng.uniform(-0.03, 0.03)
    start, wide = rng.uniform(0, step), max(1, int(step * rng.uniform(0.02, 0.06)))
    for n in np.arange(start - step, max(width, height) + step, step):
        if kind in ("ruled", "squared"):
            ImageDraw.Draw(page).line([(0, n), (width, n + slope * width)], 255, wide)
        if kind == "squared":
            ImageDraw.Draw(page).line([(n, 0), (n - slope * height, height)], 255, wide)
    lines = np.float32(page)[..., None] / 255 * np.float32(rng.choice(PENS))
    page = paper * (1 - rng.uniform(0.1, 0.5) * contrast * lines)
    if rng.random() < 0.1:  # chalk
        page = 0.2 * page
        page += contrast * ink * (1 - page) * np.float32(rng.choice(PENS))
    else:
        page *= 1 - contrast * ink * np.float32(rng.choice(PENS))
    if kind == "edge":  # a strip of the table, at most halfway to the digit
        side = rng.integers(4)
        bare = [left, top, width - left - broad, height - top - tall][side]
        strip = int(rng.uniform(0.2, 0.5) * bare)
        np.rot90(page, side)[:, :strip] = np.array([0.35, 0.25, 0.18]) * rng.uniform(0.5, 2)
    light = rng.uniform(0.5, 1) * (1 - rng.uniform(0, 0.4) * (0.5 + ramp(rng, height, width)))
    if kind == "shadow":
        shadow = ramp(rng, height, width) > rng.uniform(-0.3, 0.3)
        shadow = softened(shadow, height * rng.uniform(0.003, 0.03))[..., 0]
        light *= 1 - rng.uniform(0.1, 0.45) * shadow
    page = page * light[..., None]
    grain = rng.standard_normal((height, width, 1), dtype="float32")
    page += rng.uniform(0, 0.03) * page.max() * grain
    page = np.uint8(255 * page.clip(0, 1))
    return page[box(ink[..., 0], 0.5)] if kind == "cropped" else page


def photographs(digits, n, largest):
    """Return n photographs and their labels; the seeds are not those of the tuning."""
    images, labels = digits
    generators = [np.random.default_rng(10_000 + seed) for seed in range(n)]
    which = [rng.integers(len(images)) for rng in generators]
    made = (photograph(images[i], rng, largest) for i, rng in zip(which, generators))
    return made, labels[which]


@pytest.mark.parametrize(
    ("n", "largest"), [(40, 900), pytest.param(1000, 3000, marks=pytest.mark.slow)]
)
def test_reads_photographs(read_all, digits, n, largest):
    pictures, labels = photographs(digits, n, largest)
    found, sure = read_all(pictures)
    wrong = (found != labels) & (found != -1)
    assert np.sum(found == labels) >= min(n - 3, 0.97 * n)
    assert np.sum(found == -1) <= max(2, 0.015 * n)
    assert np.sum(wrong & (sure > 0.5)) <= max(2, 0.015 * n)


@pytest.mark.slow
def test_each_rule_alone_refuses_few_photographs(names, digits, monkeypatch):
    rules, refused = names["rules"](), dict.fromkeys(names["rules"](), 0)
    for picture in photographs(digits, 200, 900)[0]:
        for name, rule in rules.items():
            monkeypatch.setitem(names, "rules", lambda alone=(name, rule): dict([alone]))
            try:
                names["prepare_digit"](picture)
            except ValueError as error:
                refused[name] += "several" not in str(error)
    assert max(refused.values()) <= 1, refused


KINDS_PENS = {
    "pencil": [(70, 70, 70)] * 2,
    "coloured ink": [(30, 50, 150), (190, 30, 40), (20, 110, 60), (110, 40, 140)],
}
KINDS = [
    *("plain paper", "ruled paper", "squared paper", "pencil", "coloured ink"),
    *("a shadow's edge", "the paper's edge", "a tilt of 15 degrees"),
    *("cropped to its ink", "60 pixels", "12 megapixels"),
]
WIDTH, HEIGHT, LINES = 600, 450, "#a0b2d7"
SCALED = {"60 pixels": (60, 45), "12 megapixels": (4000, 3000)}


def photograph_of(digit, kind, rng):
    """Return a crisp photograph of a digit of MNIST, uint8 RGB, of a kind.

    Size, place, pen, light and grain are drawn by `rng`, a NumPy generator.
    """
    tall = int(HEIGHT * rng.uniform(0.35, 0.75))
    digit = np.pad(digit[box(digit, 0)] / 255, 1)
    smooth = ndimage.gaussian_filter(ndimage.zoom(digit, tall / len(digit)), tall / 60)
    thin = rng.uniform(0.4, 0.7)  # a thick pen, a fine one
    ink = np.clip(4 * (smooth - thin) + 0.5, 0, 1)[:, :WIDTH]
    if kind == "a tilt of 15 degrees":
        ink = ndimage.rotate(ink, rng.choice([-15, 15]), order=1).clip(0, 1)
        ink = ink[box(ink, 0.1)]
    spare = np.array([HEIGHT, WIDTH]) - ink.shape
    top, left = (spare * rng.uniform(0.1, 0.9, 2)).astype(int).tolist()
    page, step = Image.new("RGB", (WIDTH, HEIGHT), (235, 230, 222)), HEIGHT / rng.uniform(8, 14)
    if kind in ("ruled paper", "squared paper"):
        for y in np.arange(rng.uniform(0, step), HEIGHT, step):
            ImageDraw.Draw(page).line([(0, y), (WIDTH, y + 5)], LINES, 2)
    if kind == "squared paper":
        for x in np.arange(rng.uniform(0, step), WIDTH, step):
            ImageDraw.Draw(page).line([(x, 0), (x - 5, HEIGHT)], LINES, 2)
    pen = tuple(rng.choice(KINDS_PENS.get(kind, [(30, 30, 35), (30, 50, 150)])).tolist())
    strength = rng.uniform(0.35, 0.5) if kind == "pencil" else 1
    page.paste(pen, (left, top), Image.fromarray(np.uint8(255 * strength * ink)))
    page = np.float32(page)
    if kind == "the paper's edge":  # a strip of the table, at most halfway to the digit
        share, side = rng.uniform(0.2, 0.5), rng.integers(4)
        bare = [left, top, spare[1] - left, spare[0] - top][side]
        np.rot90(page, side)[:, : int(share * bare)] = 90, 65, 45  # a view of that side
    light = 1 - rng.uniform(0.1, 0.3) * (0.5 + ramp(rng, HEIGHT, WIDTH))
    if kind == "a shadow's edge":
        shadow = ramp(rng, HEIGHT, WIDTH) > rng.uniform(-0.3, 0.3)
        light = light * (1 - rng.uniform(0.2, 0.4) * ndimage.gaussian_filter(np.float32(shadow), 3))
    page = camera(page * light[..., None], rng)
    if kind == "cropped to its ink":
        page = page[top:, left:][box(ink, 0.5)]
    if kind in SCALED:
        page = np.asarray(Image.fromarray(page).resize(SCALED[kind]))
    return page


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.slow
def test_reads_photographs_of_each_kind(read_all, digits, kind):
    n, rng = 50 if kind == "12 megapixels" else 200, np.random.default_rng(0)
    found, _ = read_all(photograph_of(image, kind, rng) for image in digits[0][:n])
    assert np.sum(found != digits[1][:n]) <= max(2, 0.015 * n)
    assert np.sum(found == -1) <= max(1, 0.01 * n)


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


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("n", [2, 3, 4])
def test_says_that_there_are_several_digits(prepare_digit, n, axis):
    for digit in range(10):
        row = np.concatenate([ink((digit + 3 * i) % 10) for i in range(n)], axis=axis)
        with pytest.raises(ValueError, match="several"):
            prepare_digit(camera(on_paper(row)))


Y, X = np.mgrid[:450, :600]
NO_DIGIT = {
    "blank, with grain": np.ones_like(X),
    "a shadow": np.where(X > 300, 0.6, 1),
    "dark corners": 1 - 0.25 * (((X - 300) / 300) ** 2 + ((Y - 225) / 225) ** 2),
    "a speck": 1 - 0.8 * ((abs(X - 300) < 3) & (abs(Y - 200) < 3)),
    "a smudge": 1 - 0.26 * np.exp(-((X - 300) ** 2 + (Y - 200) ** 2) / 3200),
    "a soft shadow": 1 - 0.4 / (1 + np.exp((np.hypot(X - 300, Y - 200) - 90) / 9)),
    "crossed folds": 1 - 0.25 * np.exp(-(np.minimum(abs(X - 300), abs(Y - 200)) ** 2) / 18),
    "ruled": np.where(Y % 40 == 7, 0.65, 1),
    "squared": np.where((Y % 40 == 7) | (X % 40 == 7), 0.65, 1),
}
BAD = {
    name: (camera(light[..., None] * [230, 226, 220]), "large, dark digit")
    for name, light in NO_DIGIT.items()
}
BAD |= {
    "blank": (np.zeros((28, 28)), "blank"),
    "transparent": (np.zeros((28, 28, 4), dtype=np.uint8), "blank"),
    "NaN": (np.where(SCANS[0] > 99, np.nan, 0), "finite numbers.*NaN"),
    "infinite": (np.where(SCANS[0] > 99, np.inf, 0), "finite numbers.*infs"),
    "complex": (SCANS[0] * 1j, "finite numbers.*complex"),
    "text": (np.array([["a", "b"], ["c", "d"]]), "finite numbers"),
    "empty": (np.empty((0, 28)), "finite numbers.*zero-size"),
    "one dimension": (np.arange(784), "height, width.*got 1"),
    "many images": (np.zeros((5, 28, 28, 1)), "height, width.*28, 1"),
    "None": (None, "JPEG or PNG.*got 0"),
    "no file": ("nowhere.png", "JPEG or PNG.*No such file.*nowhere.png"),
    "no picture": (__file__, "JPEG or PNG.*identify"),
    "bytes": (b"%PDF-1.7", "^Give a JPEG or PNG, [^<>]* cannot identify image file[.]$"),
    "too pale": (np.uint8(255 - 0.08 * (255 - np.asarray(drawing(3)))), "is too pale"),
    "too small": (np.uint8(np.pad(drawing(3, 9, 1), 300, constant_values=255)), "is too small"),
}


@pytest.mark.parametrize(("image", "message"), BAD.values(), ids=BAD)
def test_bad_input_ends_in_a_clear_error(prepare_digit, image, message):
    with pytest.raises(ValueError, match=message):
        prepare_digit(image)


@pytest.mark.parametrize("n", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_odd_input_is_prepared_or_refused(prepare_digit, n):
    rng, prepared = np.random.default_rng(0), 0
    for _ in range(n):
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
    assert prepared > 0.3 * n
