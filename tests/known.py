"""What the recorder knows again wherever it turns up, and how it writes arrays as text.

Known are the images of all data sets with their labels, what networks answered to which image,
what they put out, and their weights.
"""

import re
from itertools import compress
from typing import NamedTuple

import numpy as np

MANY = 30  # of so many numbers, each is written; of more, a summary
NUMBER = r"(?<![\w.#])-?\d+(?:,\d{3})*(?:\.\d+)?"
LABEL, ANSWER = "label", "answer"
DIGIT = r"(?<![\d.,\w])\d(?![\d%]|[.,]\d)"  # that stands alone: no part of a number, no percentage
known = {}  # {key of an array: Known}
answers = {}  # {image: {network: the digit that it read last}}
shares = {}  # {key of ten probabilities: {network: the images that it gave them to}}


class Known(NamedTuple):
    source: str  # the set that it is of, or the network that made it
    row: int  # its place there
    label: int | None = None


def number(value):
    """Write a number with four digits, at most four of them decimals."""
    return np.format_float_positional(round(float(f"{value:.4g}"), 4) + 0.0, trim="-")


def keys_of(arrays):
    """Return a number that stands for each array, its values rounded to four decimals."""
    rounded = (np.int32(np.rint(1e4 * np.clip(np.float64(a), -2e5, 2e5))) for a in arrays)
    return [hash(array.tobytes()) for array in rounded]


def know(source, arrays, labels=None):
    """Remember arrays under the name of where they are from; the first name stays."""
    labels = [None] * len(arrays) if labels is None else map(int, labels)
    for row, (key, label) in enumerate(zip(keys_of(arrays), labels)):
        known.setdefault(key, Known(source, row, label))


def know_answers(network, images, probabilities):
    """Remember what a network answered to images, as it was given them: (n, 10)."""
    keys = keys_of(probabilities)
    for image, key, digit in zip(identities(images), keys, np.argmax(probabilities, axis=1)):
        answers.setdefault(image, {})[network] = int(digit)
        shares.setdefault(key, {}).setdefault(network, set()).add(image)


def forget(source):
    """Forget what has a name, as something else gets it."""
    for key in [key for key, entry in known.items() if entry.source == source]:
        del known[key]


def recognised(arrays):
    """Return for each array what is known of it, or None."""
    return [known.get(key) for key in keys_of(arrays)]


def identities(images):
    """Return which images they are, scaled or not: set and row, or the key of what is unknown."""
    keys = keys_of(images)
    return [(known[key].source, known[key].row) if key in known else key for key in keys]


def answers_text(values, shown, turn):
    """Return whose answers ten numbers are, to which image, or "" if they are no answers.

    shown: the images of the figure; turn: which of them is likely, as many images get the same.
    """
    *_, (network, images) = {None: (), **shares.get(keys_of([values])[0], {})}.items()
    places = [place for place, image in enumerate(shown) if image in images]
    place = f"image {(turn if turn in places else places[0]) + 1}" if places else ""
    return f"what {network} answers to {place or 'an image that is not shown'}" if network else ""


def rows_text(found, different=None):
    """Return which rows of which sets there are, such as "train 0–53,999".

    different: how many of the unknown arrays are different.
    """
    rows_of = {}
    for entry in filter(None, found):
        rows_of.setdefault(entry.source, []).append(entry.row)
    texts = []
    if n := found.count(None):
        few = "" if different in (None, n) else f", {different} different"
        texts.append(f"{n:,} unknown{few}")
    for name, all_rows in rows_of.items():
        rows, times = np.unique(all_rows, return_counts=True)
        text = f"{name} {rows[0]:,}" + f"–{rows[-1]:,}" * (len(rows) > 1)
        if np.ptp(rows) >= len(rows):
            text = f"{len(rows):,} of {text}"
        elif np.any(np.diff(all_rows) < 0):
            text += " in another order"
        times = " to ".join(map(str, np.unique([times.min(), times.max()])))
        texts.append(text + f", {times} times each" * (times != "1"))
    return " and ".join(texts)


def summary(values):
    """Return the mean of an array, and where along each direction most of it is.

    Any change of order moves that centre, if values differ.
    """
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
    steps = np.diff(values)
    if len(values) > 3 and np.ptp(steps) < 1e-3 * np.abs(steps).max():
        return f"{number(values[0])} to {number(values[-1])} evenly"
    if len(values) <= MANY:
        return " ".join(map(number, values))
    ends = f"{number(values[0])} to {number(values[-1])}"
    low, high = number(np.nanmin(values)), number(np.nanmax(values))
    return f"{ends}, {summary(values)}, from {low} to {high}"


def argument_text(value):
    """Return an argument of a method as text; of arrays, a summary."""
    if hasattr(value, "shape") and np.size(value) > 1:
        return f"{np.size(value):,} numbers, {summary(value)}"
    return str(value)


def told(titles, images):
    """Return titles with "label" for a digit that is its image's label, "answer" for a network's.

    Titles of one form ("5, read as 3 (97%)") say the same with a digit in the same place: what
    it is in all of them. "label=answer" can't be told, as all that is shown is read right;
    "another" is neither. Titles of images that have no label stay as they are.
    """
    meaning = {}  # {(form, place of the digit): what it may be}

    def slots(title):
        form = re.sub(NUMBER, "0", title)
        return [(form, place) for place in range(len(re.findall(DIGIT, title)))]

    entries = list(zip(titles, identities(images), recognised(images)))
    has_label = [entry is not None and entry.label is not None for *_, entry in entries]
    for title, image, entry in compress(entries, has_label):
        read = answers.get(image, {})
        for slot, digit in zip(slots(title), map(int, re.findall(DIGIT, title))):
            fits = {LABEL} if digit == entry.label else set()
            fits |= {name for name, answer in read.items() if answer == digit}
            meaning[slot] = meaning.get(slot, {LABEL, *read}) & fits

    def word(slot):
        names = meaning[slot]
        parts = [LABEL] * (LABEL in names) + [ANSWER] * bool(names - {LABEL})
        return "=".join(parts) or "another"

    def with_words(title):
        words = iter([word(slot) for slot in slots(title)])
        return re.sub(DIGIT, lambda digit: next(words), title)

    return [with_words(title) if has else title for title, has in zip(titles, has_label)]
