"""Photographs of digits as people take them, made from images of MNIST."""

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

PAPER, LINES, TABLE, PENCIL = (235, 230, 222), (160, 178, 215), (90, 65, 45), (70,) * 3
PENS = [(30, 30, 35), (30, 50, 150)]
COLOURS = [(30, 50, 150), (190, 30, 40), (20, 110, 60), (110, 40, 140)]
KINDS = {
    "plain paper": 600,
    "ruled paper": 600,
    "squared paper": 600,
    "a shadow's edge": 600,
    "coloured ink": 600,
    "pencil": 600,
    "the paper's edge": 600,
    "a tilt of 15 degrees": 600,
    "60 pixels": 60,
    "12 megapixels": 4000,
    "cropped to its ink": 600,
}  # and the pixels on the longer side


def ink_of(digit, height, thin):
    """Return a digit of MNIST as smooth ink (height, width) from 0 to 1, cropped.

    thin: from 0.4, a thick pen, to 0.7, a fine one.
    """
    rows, columns = (np.flatnonzero(digit.any(axis=a)) for a in (1, 0))
    digit = np.pad(digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 1)
    large = ndimage.zoom(np.float64(digit), height / len(digit), order=3)
    large = ndimage.gaussian_filter(large, height / 60)
    return np.clip(4 * (large - thin) + 0.5, 0, 1)


def box(ink, least):
    """Return the slices of rows and columns that hold more ink than `least`."""
    sides = (np.flatnonzero((ink > least).any(axis=a)) for a in (1, 0))
    return tuple(slice(side[0], side[-1] + 1) for side in sides)


def sheet(kind, width, height, rng):
    """Return paper as an array (height, width, 3), with lines if it has any."""
    paper = Image.new("RGB", (width, height), PAPER)
    pen, step = ImageDraw.Draw(paper), height / rng.uniform(8, 14)
    thickness, slope = max(1, width // 300), height / 100
    if kind in ("ruled paper", "squared paper"):
        for y in np.arange(rng.uniform(0, step), height, step):
            pen.line([(0, y), (width, y + slope)], LINES, thickness)
    if kind == "squared paper":
        for x in np.arange(rng.uniform(0, step), width, step):
            pen.line([(x, 0), (x - slope, height)], LINES, thickness)
    return np.float64(paper)


def ramp(width, height, angle):
    """Return (height, width) numbers that grow from −0.7 to 0.7 at most, at an angle."""
    y, x = np.mgrid[-0.5 : 0.5 : height * 1j, -0.5 : 0.5 : width * 1j]
    return x * np.cos(angle) + y * np.sin(angle)


def photograph(digits, kind, rng):
    """Return a photograph of digits (n, 28, 28) beside each other, uint8 RGB.

    Size, place, pen, light and grain are drawn by `rng`, a NumPy generator.
    """
    width = KINDS[kind]
    height = width * 3 // 4
    tall = int(height * rng.uniform(0.35, 0.75) / (1.5 if len(digits) > 1 else 1))
    thin, gap = rng.uniform(0.4, 0.7), np.zeros((tall, tall // 4))
    inks = [part for digit in digits for part in (gap, ink_of(digit, tall, thin))]
    ink = np.hstack(inks[1:])[:, :width]
    if kind == "a tilt of 15 degrees":
        ink = ndimage.rotate(ink, rng.choice([-15, 15]), order=1).clip(0, 1)
        ink = ink[box(ink, 0.1)]
    spare = np.array([height, width]) - ink.shape
    top, left = np.int64(spare * rng.uniform(0.1, 0.9, 2))
    page = sheet(kind, width, height, rng)
    pen = rng.choice(COLOURS if kind == "coloured ink" else PENS)
    strength = 1
    if kind == "pencil":
        pen, strength = np.array(PENCIL), rng.uniform(0.35, 0.5)
    area = page[top : top + ink.shape[0], left : left + ink.shape[1]]
    area += strength * ink[..., None] * (pen - area)
    if kind == "the paper's edge":  # a strip of the table, at most halfway to the digit
        share, side = rng.uniform(0.2, 0.5), rng.integers(4)
        turned = np.rot90(
            page, side
        )  # a view, so that the strip is at one side of page
        bare = [left, top, spare[1] - left, spare[0] - top][side]
        turned[:, : int(share * bare)] = TABLE
    light = 1 - rng.uniform(0.1, 0.3) * (0.5 + ramp(width, height, rng.uniform(0, 6.3)))
    if kind == "a shadow's edge":
        beyond = ramp(width, height, rng.uniform(0, 6.3)) > rng.uniform(-0.3, 0.3)
        shadow = ndimage.gaussian_filter(np.float64(beyond), 3)
        light = light * (1 - rng.uniform(0.2, 0.4) * shadow)
    page = page * light[..., None] + rng.normal(0, 3, (height, width, 1))
    if kind == "cropped to its ink":
        page = page[top : top + ink.shape[0], left : left + ink.shape[1]]
        page = page[box(ink, 0.5)]
    return np.uint8(np.clip(page, 0, 255))
