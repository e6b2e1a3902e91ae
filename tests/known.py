"""What the recorder knows again wherever it turns up, and how it writes arrays as text.

Known are the images of all data sets with their labels, what networks answered to which image,
what they put out, and their weights.
"""

import re
from typing import NamedTuple

import numpy as np

from facts import step_of

WRITTEN = 30  # so many numbers are written one by one; of more, a summary
DIGIT = r"(?<![\w.,#])\d(?![\w%]|[.,]\d)"  # that stands alone: no part of a number or a colour
known = {}  # {key of an array: Known}
answers = {}  # {image: the ten probabilities that a network gave it last}
givers = {}  # {key of ten probabilities: the network that gave them last}


class Known(NamedTuple):
    source: str  # the set that it is of, or the network that made it; nothing if it is unknown
    row: int  # its place there; of what is unknown, its key, by which it differs from others
    label: int | None = None


def number(value):
    """Write a number with four digits, at most four of them decimals."""
    return np.format_float_positional(round(float(f"{value:.4g}"), 4) + 0.0, trim="-")


def keys_of(arrays):
    """Return a number for each array, of its values, to four decimals, whatever its shape."""
    if not isinstance(arrays, np.ndarray):
        return [keys_of(np.asarray(array)[None])[0] for array in arrays]
    rows = arrays.reshape(len(arrays), int(np.prod(arrays.shape[1:])))
    weights = np.random.default_rng(rows.shape[1]).integers(2**62, size=rows.shape[1])
    keys = []
    # Sums of values times random integers, modulo 2**64: they overflow on purpose. Huge values,
    # which fit no integer, are clipped.
    for part in np.array_split(rows, 1 + len(rows) // 1000):  # as all take much memory
        rounded = np.rint(1e4 * np.clip(np.nan_to_num(part.astype(float)), -2e5, 2e5))
        keys += (rounded.astype(np.int64) @ weights).tolist()
    return keys


def know(source, arrays, labels=None):
    """Remember arrays under the name of where they are from; the first name stays."""
    labels = [None] * len(arrays) if labels is None else map(int, labels)
    for row, (key, label) in enumerate(zip(keys_of(arrays), labels)):
        known.setdefault(key, Known(source, row, label))


def know_answers(network, images, probabilities):
    """Remember what a network answered to images, each a Known: probabilities, (n, 10)."""
    for image, key, ten in zip(images, keys_of(probabilities), probabilities):
        answers[image], givers[key] = ten, network


def recognised(arrays):
    """Return what each array is known as. Images are known from 0 to 255 and from 0 to 1."""
    return [known.get(key, Known("", key)) for key in keys_of(arrays)]


def answers_text(values, image):
    """Return whose answers ten numbers are, and whether to this image, or False if nobody's."""
    (key,) = keys_of([values])
    is_own = image in answers and key in keys_of([answers[image]])
    return key in givers and f"what {givers[key]} answers to {'its' if is_own else 'another'} image"


def rows_text(found):
    """Return which rows of which sets there are, such as "train 0–53,999"."""
    rows_of, texts = {}, []
    for entry in found:
        rows_of.setdefault(entry.source, []).append(entry.row)
    for name, all_rows in rows_of.items():
        rows, times = np.unique(all_rows, return_counts=True)
        text = f"{name} {rows[0]:,}" + f"–{rows[-1]:,}" * (len(rows) > 1)
        if not name:
            text = f"{len(rows):,} unknown"
        elif np.ptp(rows) >= len(rows):
            text = f"{len(rows):,} of {text}"
        elif np.any(np.diff(all_rows) < 0):
            text += " in another order"
        times = " to ".join(map(str, np.unique([times.min(), times.max()])))
        texts.append(text + f", {times} times each" * (times != "1"))
    return " and ".join(texts)


def summary(values):
    """Return the mean of an array, which tells other values, and its centre, another order."""
    values = np.nan_to_num(np.asarray(values, float))
    size = np.abs(values)
    share = size / max(size.sum(), 1e-12)
    centre = [np.sum(place * share) for place in np.indices(values.shape, sparse=True)]
    return f"mean {number(values.mean())}, centre {' '.join(map(number, centre))}"


def values_text(values):
    """Return numbers as text; of many, how many, first, last, mean, centre, and extremes."""
    values = np.asarray(values, float).ravel()
    if len(values) > 1 and np.ptp(values) < 1e-9:
        return number(values[0])
    if len(values) <= WRITTEN:
        return " ".join(map(number, values))
    ends = f"{number(values[0])} to {number(values[-1])}"
    low, high = number(np.nanmin(values)), number(np.nanmax(values))
    return f"{ends}, {summary(values)}, from {low} to {high}"


def told(title, image):
    """Return a title that says what digits are: the "label" of its image, or a network's "answer".

    Such a digit is "right" if it is both, "another" if it is neither, and stays as it is with an
    image that has no label. A percentage becomes "share" if it is that of the answer. Of several
    networks, that which read the image last counts. A digit alone says what the image is.
    """
    ten = answers.get(image)
    answer, percent = (None, np.nan) if ten is None else (ten.argmax(), 100 * ten.max())

    def share(found):
        return "share" if abs(float(found[0]) - percent) < 0.51 * step_of(found[0]) else found[0]

    def word(digit):
        says = int(digit[0]) == image.label, int(digit[0]) == answer
        return {(1, 1): "right", (1, 0): "label", (0, 1): "answer", (0, 0): "another"}[says]

    title = re.sub(r"(?<![\d.,])\d+(?:\.\d+)?(?=%)", share, title)
    if len(re.findall(DIGIT, title)) == 1 and "share" not in title:
        answer = None
    return title if image.label is None else re.sub(DIGIT, word, title)
