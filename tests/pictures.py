"""Compares a saved picture with the one that its cell draws now."""

from io import BytesIO

import numpy as np
from PIL import Image
from scipy import ndimage

# Least correlations of whole pictures. Those whose numbers vary from run to run correlated by
# 0.86 to 1, those of other cells by 0.47 at most; other images in each run, by 0.1 to 0.99.
EQUAL, OTHER_VERSION, VARIED, OTHER_IMAGES = 0.98, 0.9, 0.7, 0.05
# What share of a text's pixels differ, most of its pieces: drawn twice by one version of
# Matplotlib, none; by two versions, 0 to 0.1 after a blur by a pixel; of other words, 0.2 to 1.
SAME_TEXT, LIKE_TEXT = 0.02, 0.15
REACH = 8  # pixels by which a text may stand elsewhere, as the figure around it varies
ENOUGH = 3  # so many differences are told, as looking for them takes long
INK = 50  # of 255, between the darkest and the brightest pixel


def opened(png):
    """Return a picture in grey, and the program that made it."""
    image = Image.open(BytesIO(png))
    return image.convert("L"), image.info.get("Software")


def correlation(first, second):
    """Return the correlation of two arrays; of plain ones 1, of a plain one with another 0."""
    plain = [np.std(array) < 1 for array in (first, second)]
    if any(plain):
        return float(all(plain))
    return np.corrcoef(np.ravel(first), np.ravel(second))[0, 1]


def pixels(box, shape, margin=2):
    """Return the rows and columns of a box (left, right, top, bottom), from 0 to 1."""
    left, right = (round(side * shape[1]) for side in box[:2])
    top, bottom = (round(side * shape[0]) for side in box[2:])
    rows = slice(max(top - margin, 0), bottom + margin)
    return rows, slice(max(left - margin, 0), right + margin)


def differ(old, new):
    """Return what share of a text's pixels, where one has ink, differ between two arrays."""
    ink = np.minimum(old, new) < max(old.max(), new.max()) - INK
    return np.sum(np.abs(old - new) > INK) / max(ink.sum(), 1)


def text_difference(old, new, box):
    """Return how a text differs: of its pieces, the most, each where it differs least."""
    rows, columns = pixels(box, new.shape)
    around = np.pad(old, REACH, mode="edge")
    steps = sorted(range(2 * REACH + 1), key=lambda step: abs(step - REACH))
    n = max(1, (columns.stop - columns.start) // (2 * (rows.stop - rows.start)))
    most, x = 0, columns.start
    for piece in np.array_split(new[rows, columns], n, axis=1):
        (height, width), least = piece.shape, 1
        for down, across in ((d, a) for d in steps for a in steps):
            top, left = rows.start + down, x + across
            there = around[top : top + height, left : left + width]
            least = min(least, differ(there, piece) if there.shape == piece.shape else 1)
            if least == 0:
                break
        most, x = max(most, least), x + width
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
    found = []
    if not correlation(*blocks) > least:
        found.append(f"the saved picture is another one (correlation {correlation(*blocks):.2f})")
    old, now = (np.asarray(image, np.float32) for image in (old, now))
    if not same:
        old, now = (ndimage.gaussian_filter(image, 1) for image in (old, now))
    for text, box, is_over in texts:
        if len(found) > ENOUGH:
            break
        if varies and (is_over or any(map(str.isdigit, text))):
            is_there = np.ptp(old[pixels(box, old.shape)]) > INK
        else:
            is_there = text_difference(old, now, box) < (SAME_TEXT if same else LIKE_TEXT)
        if not is_there:
            found.append(f'the saved picture does not show the text "{text}" where it stands now')
    return found
