"""Notes, in the notebook's kernel, what cannot be read in the outputs of a cell.

That is what its figures draw, and what each network is given: which rows of which set,
with their own labels or not, and how it is trained. conftest.py starts the recorder before
the first cell, and takes the facts after each. Nothing of it is seen or saved by Jupyter.
"""

import inspect
import os
import re
import socket
from collections import Counter
from functools import wraps
from itertools import chain
from weakref import WeakKeyDictionary

import keras
import numpy as np
from matplotlib.category import StrCategoryLocator
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator
from sklearn.datasets import load_digits

SHIFT = int(os.environ.get("SEED_SHIFT", "0"))  # other seeds for training, to measure bands
UNTOLD = {"name", "dtype", "seed", "data_format", "trainable", "axis", "reduction"}
METHODS = ["fit", "evaluate", "predict", "__call__"]  # of keras.Model
UNKNOWN = "which the recorder does not know"
OTHERS = load_digits()
notes = []  # the facts of the cell that runs
fitted = []  # its networks
running = []  # the outermost method that runs: `fit` calls `evaluate`
networks = WeakKeyDictionary()  # {model: where it was first fitted}
known = {}  # {key of an image: (set, row, label)}


def number(value):
    """Write a number with four digits, at most four of them decimals."""
    return np.format_float_positional(round(float(f"{value:.4g}"), 4) + 0.0, trim="-")


def counted(lines):
    """Return lines, each once, and how often it was there."""
    return [f"{line} ({n} times)" if n > 1 else line for line, n in Counter(lines).items()]


def key_of(image):
    """Return a number that stands for an image, its pixels rounded to four decimals."""
    return hash(np.int32(np.rint(1e4 * np.float64(image))).tobytes())


def know(name, images, labels):
    """Remember the images (n, height, width) of a set, and their labels (n,)."""
    for row, (image, label) in enumerate(zip(images, labels)):
        known.setdefault(key_of(image), (name, row, int(label)))


def know_others(names):
    """Remember all arrays of the notebook that hold the other writers' digits in their order."""
    for name, value in names.items():
        images = isinstance(value, np.ndarray) and value.ndim == 3 and name[0] != "_"
        if images and len(value) == len(OTHERS.target):
            know(name, value, OTHERS.target)


def rows_text(found):
    """Return which rows of which sets there are, such as "train 0–53,999"."""
    sets = {}
    for name, row, _ in filter(None, found):
        sets.setdefault(name, []).append(row)
    texts = [f"{found.count(None):,} unknown"] if None in found else []
    for name, rows in sets.items():
        rows, times = np.unique(rows, return_counts=True)
        text = f"{name} {rows[0]:,}" + f"–{rows[-1]:,}" * (len(rows) > 1)
        text = f"{len(rows):,} of {text}" if np.ptp(rows) >= len(rows) else text
        times = " to ".join(map(str, np.unique([times.min(), times.max()])))
        texts.append(text + f", {times} times each" * (times != "1"))
    return " and ".join(texts)


def data_text(x, y=None):
    """Return what images are, and whether the labels (n, 10) or (n,) are their own."""
    if not hasattr(x, "shape"):
        return f"a {type(x).__name__}, {UNKNOWN}"
    x = np.asarray(x)
    found = [known.get(key_of(image)) for image in x]
    text = rows_text(found) + f", mean {number(x.mean())}" * (None in found)
    if y is None:
        return text
    y = np.asarray(y)
    digits = y if y.ndim == 1 else y.argmax(axis=1)
    others = sum(f is None or f[2] != digit for f, digit in zip(found, digits))
    text += f", {others:,} not with their own labels" if others else ", own labels"
    changed = y.ndim == 2 and not np.array_equal(y, np.eye(10)[digits])
    return text + f" of {number(y.max())}" * changed


def settings(thing):
    """Return how a thing of Keras was made: what differs from the defaults; a model's layers."""
    if isinstance(thing, (str, float)):
        return thing if isinstance(thing, str) else f"{thing:.4g}"
    if hasattr(thing, "layers"):
        layers = (la for la in thing.layers if not isinstance(la, keras.layers.InputLayer))
        return " → ".join(networks.get(layer) or settings(layer) for layer in layers)
    parts, config = [], getattr(thing, "get_config", lambda: vars(thing))()
    for key, parameter in inspect.signature(type(thing)).parameters.items():
        value = config.get(key)
        if isinstance(value, (tuple, list)) and len(value) == 2 and value[0] == -value[1]:
            value = value[1]  # some versions of Keras write a range for one number
        plain = isinstance(value, (bool, int, float, str, tuple, list))
        if plain and key not in UNTOLD and value != parameter.default:
            parts.append(f"{key} {'×'.join(map(str, np.ravel(value)))}")
    return f"{type(thing).__name__}({', '.join(parts)})"


def call_text(method, model, x, y=None, validation_data=None, callbacks=None, **others):
    """Return what a method of a model was given, as one line."""
    parts = [f"{method} {networks.get(model, 'a network not fitted')}", data_text(x, y)]
    if method == "fit":
        rate = keras.saving.deserialize_keras_object(model.optimizer.get_config()["learning_rate"])
        parts += [
            f"validated on {data_text(*validation_data) if validation_data else 'nothing'}",
            f"{type(model.optimizer).__name__} {settings(rate)}",
            f"loss {settings(model.loss)}",
            settings(model),
        ]
    parts += map(settings, callbacks or [])
    others.pop("verbose", None)
    return "; ".join(parts + [f"{key} {value}" for key, value in others.items()])


def noted(method, names):
    """Return a method of Keras' models that notes how a cell calls it; names: the notebook's."""
    name = method.__name__.strip("_")

    @wraps(method)
    def run(model, *args, **kwargs):
        if running or isinstance([*args, *kwargs.values()][0], keras.KerasTensor):
            return method(model, *args, **kwargs)  # Keras calls it, or a network is built
        called = model.call if name == "call" else method.__get__(model)
        (_, x), *others = inspect.signature(called).bind(*args, **kwargs).arguments.items()
        given = {"x": x, **dict(others)}  # a network that is called names it "inputs"
        if name != "call" and "verbose" not in given:
            kwargs["verbose"] = 0  # Jupyter clears bars, nbval would not
        if name == "fit" and not networks and SHIFT:
            keras.utils.set_random_seed(SHIFT)
        if name == "fit" and model not in networks:
            fitted.append(model)
            networks[model] = f"network {len(fitted)} of this cell"
        running.append(name)
        try:
            return method(model, *args, **kwargs)
        finally:
            running.pop()
            know_others(names)
            notes.append(call_text(name, model, **given))

    return run


def points_text(points):
    """Return points (n, 2) as text; of many, how many, their ends, mean and greatest height."""
    points = np.asarray(points, float)
    places = [f"({number(x)}, {number(y)})" for x, y in points]
    if len(points) > 9:
        mean, most = (number(of(points[:, 1])) for of in (np.nanmean, np.nanmax))
        return f"{len(points)} points {places[0]} to {places[-1]}, mean {mean}, at most {most}"
    return ", ".join(places)


def axis_text(axes, name):
    """Return an axis' label, scale, direction, limits and ticks, if they are set."""
    axis, scaled = getattr(axes, f"{name}axis"), getattr(axes, f"get_autoscale{name}_on")()
    low, high = map(number, axis.get_view_interval())
    fixed = isinstance(axis.get_major_locator(), (FixedLocator, StrCategoryLocator))
    labels = [t.get_text() for t in axis.get_ticklabels()] if fixed else []
    found = {
        f'"{axis.get_label_text()}"': axis.get_label_text(),
        axis.get_scale(): axis.get_scale() != "linear",
        f"{low} to {high}": not scaled,
        "turned": scaled and axis.get_inverted(),
        f"ticks {' '.join(labels)}": "".join(labels),
    }
    text = ", ".join(text for text, said in found.items() if said)
    return f"{name} {text}" if text else ""


def title_of(axes, entry):
    """Return a title with the digits that it names as "label", if it is the image's."""
    title = " ".join(axes.get_title().split())
    if not entry:
        return title
    digit, label = r"(?<![\d.,])\d(?![\d%]|[.,]\d)", str(entry[2])
    return re.sub(digit, lambda m: "label" if m[0] == label else "another", title)


def values_text(images):
    """Return means of images, and how they change in their order and along rows and columns."""
    means = np.array([image.mean() for image in images])
    found = [("mean", means), ("in their order", means * np.arange(len(means)))]
    for axis, name in enumerate(["rows", "columns"]):
        steps = [np.diff(image, axis=axis) for image in images]
        found.append((f"{name} differ by", [np.abs(step).mean() for step in steps]))
        found.append(("grow by", [step.mean() for step in steps]))
    return "values: " + ", ".join(f"{name} {number(np.mean(of))}" for name, of in found)


def images_text(images):
    """Yield what images are, and their titles."""
    arrays = [np.asarray(image.get_array()) for image in images]
    found = [known.get(key_of(array)) for array in arrays]
    colours, placed = {}, []
    for image, array in zip(images, arrays):
        low, high = image.get_clim()
        even = f" from {number(low)} to {number(high)}" * (low == -high < 0)
        colours[image.get_cmap().name + even] = None
        left, right, bottom, top = image.get_extent()
        if (right - left, bottom - top) != array.shape[1::-1]:
            ends = map(number, (left, right, bottom, top))
            placed.append("placed from {} to {}, {} to {}".format(*ends))
    rows = re.sub(r"( of \w+) [\d,–]+", r"\1", rows_text(found))  # which ones, may be luck
    yield f"images {' '.join(colours)}: {rows}"
    yield from placed
    unknown = [np.float64(array) for array, entry in zip(arrays, found) if entry is None]
    if unknown:
        yield values_text(unknown)
    titles = [title_of(image.axes, entry) for image, entry in zip(images, found)]
    if any(titles):
        ordered = re.search(r"\d", "".join(titles))  # their order counts
        sets = [f"{n} × {title}" for title, n in sorted(Counter(titles).items())]
        yield f"titles: {' | '.join(titles if ordered else sets)}"


def heatmap_text(mesh):
    """Yield what a heatmap's numbers are, and how it is coloured."""
    values = np.ma.asarray(mesh.get_array()).filled(0)
    entry = known.get(key_of(values))
    yield f"heatmap {mesh.get_cmap().name}: {rows_text([entry])}"
    numbers, texts = np.zeros(values.shape), mesh.axes.texts
    for text in texts:
        x, y = text.get_position()
        numbers[int(y), int(x)] = float(text.get_text())
    same, diagonal = numbers == values, np.eye(*values.shape, dtype=bool)
    coloured = "all" if same.all() else "off the diagonal" if (same | diagonal).all() else "no"
    yield f"numbers that are the colours: {coloured}; zeros: {len(texts) - np.sum(numbers != 0)}"
    if entry is None:
        yield f"rows sum to {' '.join(map(number, numbers.sum(axis=1)))}"
        yield f"on the diagonal: {number(100 * np.trace(numbers) / max(numbers.sum(), 1))}%"


def look_of(artist):
    """Return what an artist looks like, and points that it goes through, of a shape its box."""
    kind = type(artist).__name__
    if not isinstance(artist, (Line2D, Patch)):
        return f"a {kind}, {UNKNOWN}", []
    place = artist.get_transform() - artist.axes.transData
    path = place.transform_path(artist.get_path())
    if isinstance(artist, Patch):
        return f"{kind} {to_hex(artist.get_facecolor())}", path.get_extents().get_points()
    label = "" if artist.get_label().startswith("_") else f'"{artist.get_label()}" '
    style = f"{artist.get_linestyle()} {artist.get_marker()} {to_hex(artist.get_color())}"
    return f"line {label}{style}", path.vertices


def axes_text(axes):
    """Yield what can be seen in a part of a figure, but for images and their titles."""
    title, legend, around = axes.get_title(), axes.get_legend(), []
    if not axes.images:
        around += [title and f'title "{title}"', axis_text(axes, "x"), axis_text(axes, "y")]
    if legend:
        around.append(f"legend {', '.join(text.get_text() for text in legend.get_texts())}")
    yield "; ".join(filter(None, around))
    meshes = [shape for shape in axes.collections if isinstance(shape, QuadMesh)]
    for mesh in meshes:
        yield from heatmap_text(mesh)
    if axes.texts and not meshes:
        said = ", ".join(f'"{" ".join(text.get_text().split())}"' for text in axes.texts)
        places = points_text([getattr(text, "xy", text.get_position()) for text in axes.texts])
        yield f"texts {said} at {places}" + f' in "{title}"' * bool(axes.images)
    groups = {}  # what looks the same
    drawn = axes.lines, axes.patches, axes.collections, axes.artists, axes.tables
    for artist in chain(*drawn, axes.child_axes):
        if artist not in meshes:
            look, points = look_of(artist)
            groups.setdefault(look, []).extend(points)
    yield from (f"{look} {points_text(points)}".strip() for look, points in groups.items())


def note_figure(figure):
    """Note what a figure draws, one line for each kind of thing; Jupyter shows nothing of it."""
    parts = [axes for axes in figure.axes if axes.get_visible()]
    title = f' "{figure.get_suptitle()}"' * (figure.get_suptitle() != "")
    images = [image for axes in parts for image in axes.images]
    lines = [*(images_text(images) if images else [])]
    lines += counted(filter(None, chain(*map(axes_text, parts))))
    size = f"{figure.bbox.width:.0f}×{figure.bbox.height:.0f}"
    notes.extend([f"figure {size}{title}; {lines[0]}", *lines[1:]])


def take(cell_id, names):
    """Return the facts of the cell that has run, as text, and forget them."""
    facts = "\n".join(counted(notes))
    for n, model in enumerate(fitted, 1):
        networks[model] = f"network {n} of " * (len(fitted) > 1) + f"[{cell_id}]"
    notes.clear()
    fitted.clear()
    know_others(names)
    return facts


def load():
    """Load MNIST, and raise what Keras raises where it can't be had."""
    socket.setdefaulttimeout(30)  # a blocked address may never answer
    sets = keras.datasets.mnist.load_data()
    socket.setdefaulttimeout(None)
    for name, (images, labels) in zip(["train", "test"], sets):
        know(name, images, labels)
        know(name, (image / 255 for image in images), labels)
    know("others", OTHERS.images, OTHERS.target)


def start(names):
    """Begin to take notes of what runs among the notebook's names."""
    for name in METHODS:
        setattr(keras.Model, name, noted(getattr(keras.Model, name), names))
    Figure._repr_json_ = note_figure
    seed = keras.utils.set_random_seed
    keras.utils.set_random_seed = lambda n: seed(n + (SHIFT if networks else 0))
