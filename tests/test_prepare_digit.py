"""Gives the notebook's `prepare_digit` all kinds of pictures, good, odd and bad."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageFilter
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

    def prepare(picture):
        with suppress(ValueError):
            return prepare_digit(picture)
        return np.zeros((28, 28))  # it is refused

    def read_all(pictures):
        with ThreadPoolExecutor() as pool:
            images = np.stack(list(pool.map(prepare, pictures)))
        shares = network_of_pad()(images).numpy() * images.any(axis=(1, 2))[:, None]
        return np.where(shares.any(axis=1), shares.argmax(axis=1), -1), shares.max(axis=1)

    return read_all


def test_makes_it_as_mnist_was_made(prepare_digit):
    for scan in SCANS[:20]:
        prepared = prepare_digit(scan)
        assert prepared.dtype == np.float32
        assert max(prepared.any(axis=axis).sum() for axis in (0, 1)) == 20
        # MNIST's centre of mass is at pixel 14, to within the rounding to whole pixels.
        np.testing.assert_allclose(ndimage.center_of_mass(prepared), 14, atol=0.51)


def turned_file(scan):
    """Return a PNG file as a camera writes it, that is upright after a quarter turn right."""
    file, exif = BytesIO(), Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.fromarray(np.rot90(scan)).save(file, "PNG", exif=exif)
    return file


SAME = {
    "dark on bright": lambda scan: 255 - scan,
    "float from 0 to 1": lambda scan: scan / 255,
    "16 bit": lambda scan: scan.astype("uint16") * 257,
    "one channel": lambda scan: scan[..., None],
    "RGB": lambda scan: np.stack([scan] * 3, axis=-1),
    "RGBA, bright ink": lambda scan: np.dstack([np.full((8, 8, 3), 255, np.uint8), scan]),
    "PIL RGBA, transparent": lambda scan: Image.fromarray(np.dstack([0 * scan] * 3 + [scan])),
    "PIL palette": lambda scan: Image.fromarray(scan).convert("P"),
    "bytes of a file": lambda scan: turned_file(scan).getvalue(),
    "an opened file": lambda scan: Image.open(turned_file(scan)),
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


def camera(page):
    """Return a page, RGB, with the grain of a camera."""
    page = np.float32(page)
    grain = np.random.default_rng(0).normal(0, 3, (*page.shape[:2], 1))
    return np.uint8(np.clip(page + np.float32(grain), 0, 255))


CIRCLE = np.abs(np.hypot(*np.mgrid[-140:140, -140:140]) - 130) < 4
TABLE = np.zeros((400, 400, 1), bool)
for line in (30, 390):
    TABLE[line : line + 3] = TABLE[:, line : line + 3] = True
DUST = np.random.default_rng(0).random((280, 280)) < 0.001
DUST[20:30, 20:30] = True  # a crumb, a ninetieth of the digit
PICTURES = {
    "a sheet on a dark desk": lambda d: camera(expand(on_paper(ink(d)), 120, "#3c2d23")),
    "a frame": lambda d: np.asarray(expand(on_paper(cropped(d), 20), 6, "#141414")),
    "a cell of a table": lambda d: np.where(TABLE, np.uint8(20), on_paper(ink(d))),
    "with dust": lambda d: np.where(DUST, np.uint8(0), drawing(d)),
    "in a circle": lambda d: np.asarray(on_paper(np.maximum(ink(d, pen=12), CIRCLE))),
    "a pencil of 1 pixel": lambda d: np.asarray(drawing(d, pen=1)),
    "small on a large photo": lambda d: camera(on_paper(cropped(d, 120, 8), 900)),
    "cropped to its ink": lambda d: np.uint8(255 - 255 * cropped(d)),
    "red on green": lambda d: np.asarray(on_paper(ink(d), 9, (255, 0, 0), (0, 130, 0))),
    "0 and 1": lambda d: np.uint8(ink(d) > 0.5),
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
KINDS = ["ruled", "squared", "edge", "cropped", "shadow"]  # with more than a digit on paper
CRISP = {"sizes": (450, 450), "share": (0.35, 0.75), "contrast": (0.8, 1), "blur": 0.1}


def ramp(rng, height, width):
    """Return (height, width) numbers that grow from −0.7 to 0.7 at most, in any direction."""
    y, x = np.ogrid[-0.5 : 0.5 : height * 1j, -0.5 : 0.5 : width * 1j]
    angle = rng.uniform(0, 6.3)
    return np.float32(x * np.cos(angle)) + np.float32(y * np.sin(angle))


def softened(ink, sigma):
    """Return a blurred image from 0 to 1; PIL's filter is fast where the blur is wide."""
    image = Image.fromarray(np.uint8(255 * ink)).filter(ImageFilter.GaussianBlur(float(sigma)))
    return np.float32(image)[..., None] / 255


def photograph(
    digit, rng, kind="", sizes=(60, 900), share=(0.15, 0.9), contrast=(0.2, 1), blur=1 / 3
):
    """Return a photograph of a digit of MNIST, uint8 RGB, drawn at random by `rng`.

    It is `sizes` pixels high, the digit a share of that, but at least 14 pixels, as a person
    could not read less; its edges are as soft as `blur` of the strokes. Without a kind, one in
    ten is of KINDS.
    """
    height = int(np.exp(rng.uniform(*np.log(sizes))))
    tall = max(14, int(height * rng.uniform(*share)))
    # The digit larger, tilted, with a pen of any width
    smooth = ndimage.gaussian_filter(ndimage.zoom(np.pad(digit[box(digit, 0)] / 255, 1), 8), 2.7)
    ink = np.pad(np.clip(8 * (smooth - rng.uniform(0.4, 0.7)) + 0.5, 0, 1), 64)
    ink = ndimage.rotate(ink, rng.uniform(-15, 15), order=1).clip(0, 1)
    ink = ink[box(ink, 0.5)]
    depth = ndimage.distance_transform_edt(np.pad(ink > 0.5, 1))
    # Within a stroke that is w pixels wide, the mean distance to its edge is w / 4 + 1 / 2.
    thick = (4 * depth[depth > 0].mean() - 2) * tall / len(ink)
    broad = max(1, ink.shape[1] * tall // len(ink))
    width = int(max(height * rng.uniform(0.75, 4 / 3), 1.1 * broad + 4))
    top, left = (int(rng.uniform(0, n)) for n in (height - tall, width - broad))
    page = Image.new("L", (width, height))
    page.paste(Image.fromarray(np.uint8(255 * ink)).resize((broad, tall)), (left, top))
    ink = softened(np.divide(page, 255), rng.uniform(0, blur) * thick)
    strength, drawn = rng.uniform(*contrast), rng.choice(["plain"] * 45 + KINDS)
    kind, paper = kind or drawn, np.float32(rng.choice(PAPERS))
    step, slope = height / rng.uniform(6, 14), rng.uniform(-0.03, 0.03)
    start, wide = rng.uniform(0, step), max(1, int(step * rng.uniform(0.02, 0.06)))
    y, x = np.ogrid[:height, :width]
    rows = kind in ("ruled", "squared") and (y - slope * x - start) % step < wide
    columns = kind == "squared" and (x + slope * y - start) % step < wide
    lines = np.atleast_3d(rows | columns) * np.float32(rng.choice(PENS))
    page = paper * (1 - rng.uniform(0.1, 0.5) * strength * lines)
    if rng.random() < 0.1:  # chalk
        page = 0.2 * page + strength * ink * (1 - 0.2 * page) * np.float32(rng.choice(PENS))
    else:
        page = page * (1 - strength * ink * np.float32(rng.choice(PENS)))
    if kind == "edge":  # a strip of the table, at most halfway to the digit
        side = rng.integers(4)
        bare = [left, top, width - left - broad, height - top - tall][side]
        strip = int(rng.uniform(0.2, 0.5) * bare)
        # A view of the page, turned such that this side is on the left.
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


def photographs(digits, n, **options):
    """Return n photographs and their labels; the seeds are not those of the tuning."""
    generators = [np.random.default_rng(10_000 + seed) for seed in range(n)]
    which = [rng.integers(len(digits[0])) for rng in generators]
    made = (photograph(digits[0][i], rng, **options) for i, rng in zip(which, generators))
    return made, digits[1][which]


# How many photographs; how many may be lost, and how many of these refused
MANY = [(1000, 30, 15, {"sizes": (60, 3000)}), (200, 3, 2, CRISP | {"sizes": (60, 60)})]
MANY += [(200, 3, 2 + (kind == "shadow"), CRISP | {"kind": kind}) for kind in KINDS]
MANY = [(40, 3, 2, {}), *(pytest.param(*many, marks=pytest.mark.slow) for many in MANY)]


@pytest.mark.parametrize(("n", "lost", "refused", "options"), MANY)
def test_reads_photographs(read_all, digits, n, lost, refused, options):
    made, labels = photographs(digits, n, **options)
    found, sure = read_all(made)
    wrong = (found != labels) & (found != -1)
    assert np.sum(found != labels) <= lost
    assert np.sum(found == -1) <= refused
    assert np.sum(wrong & (sure > 0.5)) <= max(2, 0.015 * n)


@pytest.mark.slow
def test_each_rule_alone_refuses_few_photographs(names, digits, monkeypatch):
    """One in 200 at most; several digits are no matter of the rules, but counted elsewhere."""
    rules, pictures = names["rules"](), list(photographs(digits, 200)[0])
    for name in rules:
        # `prepare_digit` takes the rules from here, as it was made with these names.
        monkeypatch.setitem(names, "rules", lambda name=name: {name: rules[name]})
        refused = 0
        for picture in pictures:
            try:
                names["prepare_digit"](picture)
            except ValueError as error:
                refused += "several" not in str(error)
        assert refused <= 1, name


def test_takes_a_path(prepare_digit, tmp_path):
    path = tmp_path / "digit.jpg"
    drawing(3).save(path)
    for name in (path, str(path)):
        np.testing.assert_allclose(prepare_digit(name), prepare_digit(drawing(3)), atol=0.1)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("n", [2, 3, 4])
def test_says_that_there_are_several_digits(prepare_digit, n, axis):
    for digit in range(10):
        row = np.concatenate([ink((digit + 3 * i) % 10) for i in range(n)], axis=axis)
        with pytest.raises(ValueError, match="several"):
            prepare_digit(camera(on_paper(row)))


Y, X = np.mgrid[:450, :600]
AWAY, TURN = np.hypot(X - 300, Y - 220), np.arctan2(Y - 220, X - 300)
NO_DIGIT = {  # the rule that refuses it: how bright a sheet is
    "blank": np.where(Y % 40 == 7, 0.65, 1),  # but ruled
    "too pale": np.where(X > 300, 0.6, 1),  # a shadow, of which only a pale edge is left
    "a blot": 1 - 0.26 * np.exp(-((X - 300) ** 2 + (Y - 200) ** 2) / 3200),
    "blurred": 1 - 0.25 * (((X - 300) / 300) ** 2 + ((Y - 225) / 225) ** 2),  # dark corners
    "uneven": 1 - 0.25 * (1 + np.sin(TURN)) * np.exp(-(((AWAY - 110) / 9) ** 2)),  # coffee
    "a frame": 1 - 0.5 * (abs(np.maximum(abs(X - 300) - 100, abs(Y - 225)) - 150) < 5),
    "cut off": np.where(X < 90, 0.3, 1),  # a table beside the paper
    "a fold": 1 - 0.25 * np.exp(-(np.minimum(abs(X - 300), abs(Y - 200)) ** 2) / 18),
}
BAD = {
    f"{rule}, of a sheet": (camera(light[..., None] * [230, 226, 220]), f"this is {rule}[.]")
    for rule, light in NO_DIGIT.items()
}
BAD |= {
    "blank": (np.zeros((28, 28)), "blank"),
    "NaN": (np.where(SCANS[0] > 99, np.nan, 0), "finite numbers.*NaN"),
    "complex": (SCANS[0] * 1j, "finite numbers.*complex"),
    "empty": (np.empty((0, 28)), "finite numbers.*zero-size"),
    "many images": (np.zeros((5, 28, 28, 1)), "height, width.*28, 1"),
    "None": (None, "JPEG or PNG.*got 0"),  # sides, of the two that a picture has
    "no file": ("nowhere.png", "JPEG or PNG.*No such file.*nowhere.png"),
    "bytes": (b"%PDF-1.7", "^Give a JPEG or PNG, [^<>]* cannot identify image file[.]$"),
    "too pale": (np.uint8(255 - 0.08 * (255 - np.asarray(drawing(3)))), "is too pale"),
    "too small": (np.uint8(np.pad(drawing(3, 9, 1), 300, constant_values=255)), "is too small"),
}


@pytest.mark.parametrize(("image", "message"), BAD.values(), ids=BAD)
def test_bad_input_ends_in_a_clear_error(prepare_digit, image, message):
    with pytest.raises(ValueError, match=message):
        prepare_digit(image)


def test_odd_input_is_prepared_or_refused(prepare_digit):
    rng, prepared = np.random.default_rng(0), 0
    for n in range(100):
        height, width = rng.integers(1, 200, 2)
        picture = rng.normal(size=(height, width, rng.choice([1, 3, 4])))
        picture *= 10.0 ** rng.integers(-300, 300)
        if n % 3:
            picture[:], top, left = 0, rng.integers(height), rng.integers(width)
            picture[top : top + 40, left : left + 10] = rng.normal() * 200
        with np.errstate(all="ignore"):
            picture = picture.astype(rng.choice([*"?bBHilLefd"]))  # bool, int8, ..., float64
        with suppress(ValueError):
            result = prepare_digit(picture)
            prepared += 1
            assert result.shape == (28, 28)
            assert 0 <= result.min() <= result.max() == 1
    assert prepared > 30
