"""What tests share: the pad's network, strokes to draw, photographs as people take them."""

import base64
import json
import re

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from common import code_cells


def network_of_pad(notebook):
    """Return the network in the pad of a notebook's page, as a Keras model."""
    import keras  # here, as it takes seconds, and most runs collect more than they use

    html = code_cells(notebook)["pad"].outputs[0].data["text/html"]
    weights = np.frombuffer(
        base64.b64decode(re.search(r'atob\("([^"]+)"\)', html)[1]), "<f2"
    ).astype("float32")
    layers = json.loads(re.search(r"layers = (\[.*\]);", html)[1])
    model = keras.Sequential([keras.Input((28, 28)), keras.layers.Reshape((28, 28, 1))])
    for layer in layers:
        last = "softmax" if layer is layers[-1] else "relu"
        filters, width = layer["filters"], layer["width"]
        conv = keras.layers.Conv2D(filters, width, layer["stride"], activation=last)
        model.add(conv)
        sizes = np.cumsum([conv.kernel.shape.num_elements(), filters])
        kernel, bias, weights = np.split(weights, sizes)
        conv.set_weights([kernel.reshape(conv.kernel.shape), bias])
        model.add(keras.layers.MaxPooling2D(layer["pool"]))
    assert not len(weights)
    model.add(keras.layers.Flatten())
    return model


def strokes(text):
    """Return strokes as lists of (x, y), from "x,y x,y; x,y x,y" on 280×280 pixels."""
    return [
        [tuple(map(float, corner.split(","))) for corner in stroke.split()]
        for stroke in text.split(";")
    ]


# One way to write each digit.
STROKES = [
    strokes("140,60 95,95 85,165 120,225 165,225 195,165 140,60"),
    strokes("140,50 140,230"),
    strokes("90,100 110,65 160,60 185,95 170,140 90,225 195,225"),
    strokes("95,70 150,55 185,85 130,138 190,190 160,225 95,220"),
    strokes("105,55 90,150 195,150; 170,60 165,235"),
    strokes("185,60 105,60 100,130 150,125 188,160 175,210 130,228 95,215"),
    strokes("165,55 95,165 110,220 155,225 182,190 165,155 98,185"),
    strokes("90,65 190,65 130,230"),
    strokes("145,135 105,100 115,62 160,58 178,95 105,170 105,215 150,230 185,200 145,135"),
    strokes("180,95 110,75 105,115 140,135 182,90 175,160 150,230"),
]
# Forms that MNIST's writers hardly used: {name: (digit, strokes)}.
FOREIGN = {
    "1 with a long upstroke": (1, strokes("50,160 165,50 165,235")),
    "9 with a curled tail": (
        9,
        strokes("170,65 145,55 130,72 145,88 172,70 195,150 165,220 110,232 65,205"),
    ),
    "7 with a low bar": (7, strokes("80,60 195,60 120,220; 80,200 185,200")),
}


def moved(strokes, rng):
    """Return strokes as another hand would draw them: every corner a little elsewhere."""
    return [[(x + rng.uniform(-8, 8), y + rng.uniform(-8, 8)) for x, y in s] for s in strokes]


def drawing(digit, size=280, pen=22):
    """Return a digit drawn with a pen as a PIL image of size×size pixels, black on white."""
    sheet, reach = Image.new("L", (size, size), "white"), pen / 2
    for stroke in STROKES[digit]:
        corners = [(x * size / 280, y * size / 280) for x, y in stroke]
        ImageDraw.Draw(sheet).line(corners, "black", pen, "curve")
        for x, y in corners if pen > 1 else []:
            ends = [x - reach, y - reach, x + reach, y + reach]
            ImageDraw.Draw(sheet).ellipse(ends, "black")
    return sheet


def draw(page, strokes):
    """Draw strokes on the cleared pad of a page; return what it says about them."""
    page.get_by_role("button", name="Clear").click()
    box = page.locator(".digit-pad canvas").first.bounding_box()
    for (x, y), *corners in strokes:
        page.mouse.move(box["x"] + x, box["y"] + y)
        page.mouse.down()
        for x, y in corners:
            page.mouse.move(box["x"] + x, box["y"] + y)
        page.mouse.up()
    return page.evaluate("document.querySelectorAll('.digit-pad output')[1].value")


PAPER, LINES, TABLE, PENCIL = (235, 230, 222), (160, 178, 215), (90, 65, 45), (70,) * 3
PENS = [(30, 30, 35), (30, 50, 150)]
COLOURS = [(30, 50, 150), (190, 30, 40), (20, 110, 60), (110, 40, 140)]
KINDS = [
    *("plain paper", "ruled paper", "squared paper", "pencil", "coloured ink"),
    *("a shadow's edge", "the paper's edge", "a tilt of 15 degrees"),
    *("cropped to its ink", "60 pixels", "12 megapixels"),
]
WIDTH, HEIGHT = 600, 450  # pixels
SCALED = {"60 pixels": 60, "12 megapixels": 4000}  # to this width


def box(ink, least):
    """Return the slices of rows and columns that hold more ink than `least`."""
    sides = (np.flatnonzero((ink > least).any(axis=a)) for a in (1, 0))
    return tuple(slice(side[0], side[-1] + 1) for side in sides)


def ink_of(digit, height, thin):
    """Return a digit of MNIST as smooth ink (height, width) from 0 to 1, cropped.

    thin: from 0.4, a thick pen, to 0.7, a fine one.
    """
    digit = np.pad(digit[box(digit, 0)], 1)
    large = ndimage.zoom(np.float64(digit), height / len(digit), order=3)
    return np.clip(4 * (ndimage.gaussian_filter(large, height / 60) - thin) + 0.5, 0, 1)


def ramp(rng):
    """Return (height, width) numbers that grow from −0.7 to 0.7 at most, in any direction."""
    y, x = np.mgrid[-0.5 : 0.5 : HEIGHT * 1j, -0.5 : 0.5 : WIDTH * 1j]
    angle = rng.uniform(0, 6.3)
    return x * np.cos(angle) + y * np.sin(angle)


def photograph(digit, kind, rng):
    """Return a photograph of a digit (28, 28), uint8 RGB.

    Size, place, pen, light and grain are drawn by `rng`, a NumPy generator.
    """
    tall = int(HEIGHT * rng.uniform(0.35, 0.75))
    ink = ink_of(digit, tall, rng.uniform(0.4, 0.7))[:, :WIDTH]
    if kind == "a tilt of 15 degrees":
        ink = ndimage.rotate(ink, rng.choice([-15, 15]), order=1).clip(0, 1)
        ink = ink[box(ink, 0.1)]
    spare = np.array([HEIGHT, WIDTH]) - ink.shape
    top, left = np.int64(spare * rng.uniform(0.1, 0.9, 2))
    place = slice(top, top + ink.shape[0]), slice(left, left + ink.shape[1])
    paper, step = Image.new("RGB", (WIDTH, HEIGHT), PAPER), HEIGHT / rng.uniform(8, 14)
    if kind in ("ruled paper", "squared paper"):
        for y in np.arange(rng.uniform(0, step), HEIGHT, step):
            ImageDraw.Draw(paper).line([(0, y), (WIDTH, y + 5)], LINES, 2)
    if kind == "squared paper":
        for x in np.arange(rng.uniform(0, step), WIDTH, step):
            ImageDraw.Draw(paper).line([(x, 0), (x - 5, HEIGHT)], LINES, 2)
    page, strength = np.float64(paper), 1
    pen = rng.choice(COLOURS if kind == "coloured ink" else PENS)
    if kind == "pencil":
        pen, strength = np.array(PENCIL), rng.uniform(0.35, 0.5)
    page[place] += strength * ink[..., None] * (pen - page[place])
    if kind == "the paper's edge":  # a strip of the table, at most halfway to the digit
        share, side = rng.uniform(0.2, 0.5), rng.integers(4)
        bare = [left, top, spare[1] - left, spare[0] - top][side]
        np.rot90(page, side)[:, : int(share * bare)] = TABLE  # a view of that side
    light = 1 - rng.uniform(0.1, 0.3) * (0.5 + ramp(rng))
    if kind == "a shadow's edge":
        shadow = ndimage.gaussian_filter(np.float64(ramp(rng) > rng.uniform(-0.3, 0.3)), 3)
        light = light * (1 - rng.uniform(0.2, 0.4) * shadow)
    page = page * light[..., None] + rng.normal(0, 3, (HEIGHT, WIDTH, 1))
    if kind == "cropped to its ink":
        page = page[place][box(ink, 0.5)]
    page = np.uint8(np.clip(page, 0, 255))
    if kind in SCALED:
        size = SCALED[kind], SCALED[kind] * 3 // 4
        page = np.asarray(Image.fromarray(page).resize(size))
    return page
