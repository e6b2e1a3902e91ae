"""What tests share: the pad's network, and strokes to draw."""

import base64
import json
import re
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from common import code_cells, read


def parts_of_pad(cell_id):
    """Return what the notebook's page gives a pad: layers, weights, its example, options."""
    html = code_cells(read())[cell_id].outputs[0].data["text/html"]
    return json.loads(re.search("data-network='([^']+)'", html)[1])


@cache
def network_of_pad(cell_id="draw-again"):
    """Return the network in a pad of the notebook's page, as a Keras model."""
    parts = parts_of_pad(cell_id)
    weights = np.frombuffer(base64.b64decode(parts["numbers"]), "<f2").astype("float32")
    return network_of(parts["layers"], weights)


def network_of(layers, weights):
    """Return what the notebook's `layers_of` tells of a network, as a Keras model."""
    import keras  # here, as it takes seconds, and most runs collect more than they use

    model = keras.Sequential([keras.Input((28, 28)), keras.layers.Reshape((28, 28, 1))])
    *convolutions, last = layers
    for layer in convolutions:
        sizes = layer["filters"], layer["width"], layer["stride"]
        model.add(keras.layers.Conv2D(*sizes, activation="relu"))
        model.add(keras.layers.MaxPooling2D(layer["pool"]))
    model.add(keras.layers.Flatten())
    model.add(keras.layers.Dense(last["filters"], "softmax"))
    shapes = [array.shape for array in model.get_weights()]
    pieces = np.split(weights, np.cumsum([np.prod(shape) for shape in shapes[:-1]]))
    model.set_weights([piece.reshape(shape) for piece, shape in zip(pieces, shapes)])
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
# Forms that MNIST's writers hardly used: a 1 with a long upstroke, a 9 with a curled tail, a 7
# with a low bar.
FOREIGN = {
    1: strokes("50,160 165,50 165,235"),
    9: strokes("170,65 145,55 130,72 145,88 172,70 195,150 165,220 110,232 65,205"),
    7: strokes("80,60 195,60 120,220; 80,200 185,200"),
}


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


def hands(count):
    """Return digits in as many hands: shaken, small to large, here and there."""
    rng, found = np.random.default_rng(0), []
    for form in ([*STROKES, *FOREIGN.values()] * count)[:count]:
        scale, move = rng.uniform(0.3, 1.1), rng.uniform(-30, 30, 2)
        hand = [140 + scale * (np.array(s) - 140) + move for s in form]
        hand = [np.clip(s + rng.uniform(-4, 4, s.shape), 0, 280) for s in hand]
        found.append([stroke.tolist() for stroke in hand])
    return found


def draw(page, strokes, which=-1):
    """Clear a pad of a page, by default the last; draw strokes on it; return what it says."""
    pad = page.locator(".digit-pad").nth(which)
    pad.get_by_role("button", name="Clear").click()
    box = pad.locator(".paper").bounding_box()
    for (x, y), *corners in strokes:
        page.mouse.move(box["x"] + x, box["y"] + y)
        page.mouse.down()
        for x, y in corners:
            page.mouse.move(box["x"] + x, box["y"] + y)
        page.mouse.up()
    return pad.locator("output").inner_text()
