"""Compares a saved picture with the one that its cell draws now."""

from io import BytesIO

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image
from scipy import ndimage

# Least correlations of whole pictures. Those whose numbers vary from run to run correlated by
# 0.86 to 1, those of other cells by 0.47 at most; other images in each run, by 0.1 to 0.99.
EQUAL, OTHER_VERSION, VARIED, OTHER_IMAGES = 0.98, 0.9, 0.7, 0.05
# What share of a text's pixels differ, most of its pieces: drawn twice by one version of
# Matplotlib, none; by two versions, 0 to 0.1 after a blur by a pixel; of other words, 0.2 to 1.
SAME_TEXT, LIKE_TEXT = 0.02, 0.15
REACH = 8  # pixels by which a text may stand elsewhere, as the figure around it varies
INK = 50  # of 255, between the darkest and the brightest pixel


def opened(png):
    """Return a picture in grey, and the program that made it."""
    image = Image.open(BytesIO(png))
    return image.convert("L"), image.info.get("Software")


def pixels(box, shape, margin=2):
    """Return the rows and columns of a box (left, right, top, bottom), from 0 to 1."""
    left, right = (round(side * shape[1]) for side in box[:2])
    top, bottom = (round(side * shape[0]) for side in box[2:])
    rows = slice(max(top - margin, 0), bottom + margin)
    return rows, slice(max(left - margin, 0), right + margin)


def text_difference(old, new, box):
    """Return what share of a text's ink differs, in that piece of it where most does.

    Each piece is moved by up to REACH pixels to where it differs least from the old picture.
    """
    rows, columns = pixels(box, new.shape)
    text, around = new[rows, columns], np.pad(old, REACH, mode="edge")
    n = max(1, text.shape[1] // (2 * text.shape[0]))
    most, x = 0, columns.start
    for piece in np.array_split(text, n, axis=1):
        places = sliding_window_view(around, piece.shape)[rows.start :, x:]
        places = places[: 2 * REACH + 1, : 2 * REACH + 1]
        brightest = np.maximum(places.max(axis=(2, 3), keepdims=True), piece.max())
        ink = np.sum(np.minimum(places, piece) < brightest - INK, axis=(2, 3))
        other = np.sum(np.abs(places - piece) > INK, axis=(2, 3))
        most, x = max(most, np.min(other / np.maximum(ink, 1))), x + piece.shape[1]
    return most


def stale(saved, new, texts, varies, other_images):
    """Return what the saved picture, PNG bytes, does not show as the new one does.

    texts: (text, box, whether it stands over what is drawn) of the new one; varies: its facts
    have bands; other_images: each run shows others.
    """
    (old, old_version), (now, version) = map(opened, (saved, new))
    if max(abs(np.subtract(old.size, now.size)) / now.size) > 0.05:
        return [f"the saved picture has another size: {old.size}, not {now.size}"]
    old, same = old.resize(now.size), old_version == version
    least = VARIED if varies else EQUAL if same else OTHER_VERSION
    least = OTHER_IMAGES if other_images else least
    blocks = [np.asarray(i.reduce(4 if least == EQUAL else 16), float) for i in (old, now)]
    correlation, found = np.corrcoef(*map(np.ravel, blocks))[0, 1], []
    if not correlation > least:
        found.append(f"the saved picture is another one (correlation {correlation:.2f})")
    old, now = (np.asarray(image, np.float32) for image in (old, now))
    if not same:
        old, now = (ndimage.gaussian_filter(image, 1) for image in (old, now))
    for text, box, is_over in texts:
        if other_images and is_over and not any(map(str.isalpha, text)):
            continue  # a count of a heatmap, which is not written where it is 0
        if varies and (is_over or any(map(str.isdigit, text))):
            is_there = np.ptp(old[pixels(box, old.shape)]) > INK
        else:
            is_there = text_difference(old, now, box) < (SAME_TEXT if same else LIKE_TEXT)
        if not is_there:
            found.append(f'the saved picture does not show the text "{text}" where it stands now')
    return found
