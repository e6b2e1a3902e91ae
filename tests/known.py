"""What the recorder knows again wherever it turns up, and how it writes arrays as text.

Known are the images of all data sets with their labels, what networks answered to which image,
what they put out, and their weights.
"""

import re
from typing import NamedTuple

import numpy as np

WRITTEN = 30  # so many numbers are written one by one; of more, a summary
NUMBER = r"(?<![\w.#])-?\d+(?:,\d{3})*(?:\.\d+)?"
LABEL = "label"
DIGIT = r"(?<![\d.,\w])\d(?![\d%]|[.,]\d)"  # that stands alone: no part of a number, no percentage
known = {}  # {key of an array: Known}
answers = {}  # {image: {network: the digit that it read last}}
surest = {}  # {image: {network: the probability of the digit that it read last, in percent}}
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
    for image, key, ten in zip(identities(images), keys, np.asarray(probabilities)):
        answers.setdefault(image, {})[network] = int(ten.argmax())
        surest.setdefault(image, {})[network] = 100 * float(ten.max())
        shares.setdefault(key, {}).setdefault(network, set()).add(image)


def forget(name):
    """Forget all arrays whose source begins with a name."""
    for key in [key for key, entry in known.items() if entry.source.startswith(name)]:
        del known[key]


def recognised(arrays):
    """Return for each array what is known of it, or None."""
    return [known.get(key) for key in keys_of(arrays)]


def identities(images):
    """Return which images they are, scaled or not: set and row, or the key of what is unknown."""
    keys = keys_of(images)
    return [(known[key].source, known[key].row) if key in known else key for key in keys]


def answers_text(values, shown, panel):
    """Return whose answers ten numbers are, to which image, or "" if they are no answers.

    shown: the images of the figure; panel: which of them stands beside the numbers. It is named
    if they may be the answers to it, as sure answers to many images are the same.
    """
    (key,) = keys_of([values])
    if key not in shares:
        return ""
    network, images = list(shares[key].items())[-1]  # of several, that which came last to it
    places = [place for place, image in enumerate(identities(shown)) if image in images]
    place = panel if panel in places else places[0] if places else None
    which = "an image that is not shown" if place is None else f"image {place + 1}"
    return f"what {network} answers to {which}"


def rows_text(found):
    """Return which rows of which sets there are, such as "train 0–53,999"."""
    rows_of = {}
    for entry in filter(None, found):
        rows_of.setdefault(entry.source, []).append(entry.row)
    unknown = found.count(None)
    texts = [f"{unknown:,} unknown"] if unknown else []
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

    Most changes of order move that centre, if values differ.
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
    if len(values) <= WRITTEN:
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
    "another" is neither. Digits stay as they are with images that have no label. A percentage
    becomes "share" if it is that of the answer of a network.
    """
    meaning = {}  # {(form of a title, place of a digit): what all digits there are}
    labels = [entry.label if entry else None for entry in recognised(images)]

    def digits(title):
        form = re.sub(NUMBER, "0", title)
        return {(form, place): int(digit) for place, digit in enumerate(re.findall(DIGIT, title))}

    for title, image, label in zip(titles, identities(images), labels):
        may_be = {LABEL: label, **answers.get(image, {})}
        for slot, digit in digits(title).items() if label is not None else ():
            fits = {name for name, value in may_be.items() if value == digit}
            meaning[slot] = meaning.get(slot, fits) & fits

    def word(slot):
        of_label, of_answer = LABEL in meaning[slot], bool(meaning[slot] - {LABEL})
        return "=".join(["label"] * of_label + ["answer"] * of_answer) or "another"

    def with_words(title):
        words = map(word, digits(title))
        return re.sub(DIGIT, lambda digit: next(words), title)

    def with_share(title, image):
        def word(percentage):
            value, step = float(percentage[0]), 10.0 ** -len(percentage[0].partition(".")[2])
            near = (abs(value - share) < 0.51 * step for share in surest.get(image, {}).values())
            return "share" if any(near) else percentage[0]

        return re.sub(r"(?<![\d.,])\d+(?:\.\d+)?(?=%)", word, title)

    told = [t if label is None else with_words(t) for t, label in zip(titles, labels)]
    return [with_share(title, image) for title, image in zip(told, identities(images))]
