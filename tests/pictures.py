"""Compares a saved picture with the one that its cell draws now."""

from io import BytesIO

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

# Least correlations of whole pictures, made smaller by 4 (the first), or by 16.
EQUAL, OTHER_VERSION, VARIED, OTHER_IMAGES = 0.98, 0.9, 0.7, 0.05
REACH = 8  # pixels by which a text may stand elsewhere, as the figure around it varies
INK = 50  # of 255; pixels that differ by more are others
LEAST = 6  # pixels are others if a letter is another; if the text is the same, none


def shows(old, new, box):
    """Return whether the old picture shows what the new one has in a box, or beside it."""
    left, bottom, right, top = np.rint(np.multiply(box, [*new.shape[::-1]] * 2)).astype(int)
    top, bottom, reach = len(new) - top, len(new) - bottom, 2 * REACH
    text = new[top:bottom, left:right]
    # The same part of the old picture, wider by REACH on all sides. The text is moved over it, and
    # the place where it fits best counts.
    around = np.pad(old, REACH, mode="edge")[top : bottom + reach, left : right + reach]
    other = np.abs(sliding_window_view(around, text.shape) - text) > INK
    return other.sum(axis=(2, 3)).min() < LEAST


def stale(saved, new, texts, varies, other_images):
    """Return what the saved picture, PNG bytes, does not show as the new one does.

    texts: (text, box, whether it stands over what is drawn) of the new one, compared if both were
    made by one version of Matplotlib; varies, other_images: each run draws other lines, or images.
    """
    pictures = [Image.open(BytesIO(png)) for png in (saved, new)]
    is_other_version = len({picture.info.get("Software") for picture in pictures}) > 1
    old, now = (picture.convert("L") for picture in pictures)
    if max(abs(np.subtract(old.size, now.size)) / now.size) > 0.05:
        return [f"the saved picture has another size: {old.size}, not {now.size}"]
    old, found = old.resize(now.size), []
    least = OTHER_VERSION if is_other_version else EQUAL
    least = OTHER_IMAGES if other_images else VARIED if varies else least
    block = 4 if least == EQUAL else 16
    blocks = [np.ravel(picture.reduce(block)).astype(float) for picture in (old, now)]
    correlation = np.corrcoef(*blocks)[0, 1]
    if not correlation > least:
        found.append(f"the saved picture is another one (correlation {correlation:.2f})")
    old, now = (np.asarray(picture, np.int16) for picture in (old, now))
    for text, box, is_over in texts:
        may_differ = is_other_version or varies and (is_over or any(map(str.isdigit, text)))
        if not may_differ and not shows(old, now, box):
            found.append(f'the saved picture does not show the text "{text}" where it stands now')
    return found
