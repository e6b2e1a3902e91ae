"""Notes, in the notebook's kernel, what cannot be read in the outputs of a cell.

That is what its figures show (figures.py), and what each network is given: which rows of which
set, with their own labels or not, and how it is trained. The conftest.py beside the notebook
starts the recorder before the first cell, and takes the facts after each. Nothing of it is seen
or saved by Jupyter.
"""

import inspect
import os
import re
import socket
from functools import wraps
from weakref import WeakKeyDictionary

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

from figures import UNKNOWN, counted, figure_text, texts_of
from known import (
    NUMBER,
    argument_text,
    forget,
    know,
    know_answers,
    number,
    recognised,
    rows_text,
    summary,
)

SHIFT = int(os.environ.get("SEED_SHIFT", "0"))  # other seeds for training, to measure bands
# Says nothing about what a thing does, or is noted elsewhere.
UNTOLD = {"name", "dtype", "seed", "data_format", "trainable", "axis", "reduction", "learning_rate"}
ON_BATCH = ["train_on_batch", "test_on_batch", "predict_on_batch"]
METHODS = ["fit", "evaluate", "predict", "__call__", *ON_BATCH]  # of keras.Model
TRAINS = ["fit", "train_on_batch"]
ALIKE = 12  # of more notes that differ in numbers alone, as in a loop, the first and the last stay
MANY = 1000  # of so many images, known labels are compared with what a network reads
FEW = 2000  # of more arrays that a network puts out, only those with ten numbers are remembered
OTHERS = load_digits()
notes = []  # the facts of the cell that runs
texts = []  # its figures' texts, and where they stand
fitted = []  # its networks, trained there for the first time
changed = []  # its networks whose weights are not yet known
running = []  # the outermost method that runs: `fit` calls `evaluate`
networks = WeakKeyDictionary()  # {model: where it was first fitted}


def know_others(names):
    """Remember all arrays of the notebook that hold the other writers' digits in their order."""
    for name, value in names.items():
        images = isinstance(value, np.ndarray) and value.ndim == 3 and name[0] != "_"
        if images and len(value) == len(OTHERS.target):
            know(name, value, OTHERS.target)


def name_of(model):
    """Return where a network was fitted, or of which fitted one it has the first layers."""
    layers = [la for la in model.layers if not isinstance(la, keras.layers.InputLayer)]
    for whole, name in [*networks.items()] if model not in networks else []:
        if layers and layers == [*getattr(whole, "layers", [])][: len(layers)]:
            return f"{len(layers)} of the layers of {name}"
    return networks.get(model, "a network not fitted")


def know_outputs(model, x, y):
    """Remember what a network puts out: its answers, channels of a layer, or changed images."""
    if not hasattr(y, "shape") or not hasattr(x, "shape"):
        return
    x, y, name = np.asarray(x), np.asarray(y), name_of(model)
    if y.ndim == 4 and y.shape[-1] == 1:
        y = y[..., 0]
    if y.ndim == 2 and len(x) == len(y) and y.shape[1] == 10:
        know_answers(name, x, y)
        know_confusion(name, recognised(x), y.argmax(axis=1))
    elif y.ndim == 3 and len(y) <= FEW:
        know(f"what {name} makes of {rows_text(recognised(x))}, image", y)
    elif y.ndim == 4 and len(y) * y.shape[-1] <= FEW:
        for given, maps in zip(recognised(x), np.moveaxis(y, -1, 1)):
            source = f"what {name} puts out for {rows_text([given])}"
            know(source, maps)
            know(source, [maps])  # as one array


def know_confusion(name, found, read):
    """Remember how often images of one set with each label are read as each digit."""
    if len({entry and entry.source for entry in found}) == 1 and found[0] and len(found) >= MANY:
        confusion = np.zeros((10, 10))
        np.add.at(confusion, ([entry.label or 0 for entry in found], read), 1)
        know(f"confusions of {name} on {found[0].source}", [confusion])


def know_weights(model):
    """Remember the weights of each unit and filter, those of a first layer as images."""
    layers = [layer for layer in model.layers if layer.get_weights()]
    for n, layer in enumerate(layers, 1):
        kernel, source = layer.get_weights()[0], f"weights of {name_of(model)}, layer {n}, unit"
        forget(source)
        side = int(np.sqrt(len(kernel)))
        if kernel.ndim == 2 and side * side == len(kernel):
            know(source, kernel.T.reshape(-1, side, side))
        elif kernel.ndim == 4:
            know(source, kernel[:, :, 0].transpose(2, 0, 1))


def data_text(x, y=None, weights=None):
    """Return what images are, and whether the labels (n, 10) or (n,) are their own."""
    if not hasattr(x, "shape"):
        return f"a {type(x).__name__}, {UNKNOWN}"
    x = np.asarray(x)
    found = recognised(x)
    text = rows_text(found) + f", {summary(x)}" * (None in found)
    if y is not None:
        y = np.asarray(y)
        digits = y if y.ndim == 1 else y.argmax(axis=1)
        others = sum(f is None or f.label != digit for f, digit in zip(found, digits))
        text += f", {others:,} not with their own labels" if others else ", own labels"
        if y.ndim == 2 and not np.array_equal(y, np.eye(10)[digits]):
            text += f" of {number(y.max())}"
    return text if weights is None else f"{text}, weights {argument_text(np.asarray(weights))}"


def settings(thing):
    """Return how a thing of Keras was made: what differs from the defaults; a model's layers."""
    if thing is None or isinstance(thing, (str, float)):
        return f"{thing:.4g}" if isinstance(thing, float) else str(thing)
    if isinstance(thing, (list, tuple)):
        return " and ".join(map(settings, thing))
    if isinstance(thing, dict):
        return settings(keras.saving.deserialize_keras_object(thing))
    frozen = " frozen" * (getattr(thing, "trainable", None) is False and bool(thing.weights))
    if hasattr(thing, "layers"):
        layers = (la for la in thing.layers if not isinstance(la, keras.layers.InputLayer))
        return " → ".join(networks.get(la) or settings(la) for la in layers) + frozen
    parts, config = [], getattr(thing, "get_config", lambda: vars(thing))()
    for key, parameter in inspect.signature(type(thing)).parameters.items():
        value, default = made(config.get(key), key), made(parameter.default, key)
        if key not in UNTOLD and value != default and value is not None:
            parts.append(f"{key} {value}")
    return f"{type(thing).__name__}({', '.join([*parts, *hooks(thing)])}){frozen}"


def made(value, key):
    """Return a setting as text, or None where it is no plain value and nothing of Keras."""
    if isinstance(value, dict) and "class_name" in value:
        return settings(value)
    if isinstance(value, str) and key.endswith("_initializer"):
        return settings(keras.initializers.get(value))
    if isinstance(value, (tuple, list)) and len(value) == 2 and value[0] == -value[1]:
        value = value[1]  # some versions of Keras write a range for one number
    if isinstance(value, (bool, int, float, str, tuple, list)):
        return "×".join(map(str, np.ravel(value)))
    return None


def hooks(thing):
    """Return the names of what a callback does: methods of its own, functions that it was given."""
    usual = keras.callbacks.Callback
    if not isinstance(thing, usual) or type(thing).__name__ in ("EarlyStopping", "History"):
        return []
    own = [name for name in dir(usual) if getattr(type(thing), name) is not getattr(usual, name)]
    return sorted(name for name in {*own, *vars(thing)} if name.startswith("on_"))


def reached(model, history, callbacks):
    """Return the accuracy that a training reached; where the best weights came back, theirs."""
    found = getattr(history, "history", None) or {}
    names = sorted(found, key=lambda n: (not n.startswith("val_"), "acc" not in n, n))
    epoch = -1
    for callback in callbacks or []:
        if getattr(callback, "restore_best_weights", False):
            epoch = callback.best_epoch
    return f"; reached {names[0]} {found[names[0]][epoch]:.4f}" if names else ""


def right_text(x, y):
    """Return how many of many known images a network reads right, as a share."""
    found = recognised(np.asarray(x)) if hasattr(x, "shape") and len(x) >= MANY else [None]
    if None in found or any(f.label is None for f in found) or np.ndim(y) != 2:
        return ""
    right = np.asarray(y).argmax(axis=1) == [f.label for f in found]
    return f"; read right {right.mean():.4f}"


def call_text(method, model, x, y=None, validation_data=None, callbacks=None, **others):
    """Return what a method of a model was given, as one line."""
    weights = others.pop("sample_weight", None)
    parts = [f"{method} {name_of(model)}", data_text(x, y, weights)]
    if method in TRAINS:
        rate = model.optimizer.get_config()["learning_rate"]
        validation = data_text(*validation_data) if validation_data else "nothing"
        metrics = (model.get_compile_config() or {}).get("metrics")
        parts += [f"validated on {validation}"] * (method == "fit") + [
            f"{settings(model.optimizer).replace('()', '')} rate {settings(rate)}",
            f"loss {settings(model.loss)}",
            f"metrics {settings(metrics)}",
            settings(model),
        ]
    parts += map(settings, callbacks or [])
    others.pop("verbose", None)
    return "; ".join(parts + [f"{key} {argument_text(value)}" for key, value in others.items()])


def is_symbolic(value):
    """Return whether Keras builds a network or a graph with this, and nothing is computed."""
    return isinstance(value, keras.KerasTensor) or tf.is_symbolic_tensor(value)


def noted(method, names):
    """Return a method of Keras' models that notes how a cell calls it; names: the notebook's."""
    name = method.__name__.strip("_")

    @wraps(method)
    def run(model, *args, **kwargs):
        if running or is_symbolic([*args, *kwargs.values()][0]):
            return method(model, *args, **kwargs)
        called = model.call if name == "call" else method.__get__(model)
        (_, x), *others = inspect.signature(called).bind(*args, **kwargs).arguments.items()
        given = {"x": x, **dict(others)}  # a network that is called names it "inputs"
        if name not in ("call", *ON_BATCH) and "verbose" not in given:
            kwargs["verbose"] = 0  # Jupyter clears bars, nbval would not
        if (
            name in TRAINS and not networks and SHIFT
        ):  # what is shown before is the same in all runs
            keras.utils.set_random_seed(SHIFT)
        if name in TRAINS and model not in networks:
            fitted.append(model)
            networks[model] = f"network {len(fitted)} of this cell"
        if name in TRAINS and model not in changed:
            changed.append(model)
        running.append(name)
        result, after = None, ""
        try:
            result = method(model, *args, **kwargs)
        finally:
            running.pop()
            know_others(names)
            text = call_text(name, model, **given)
            if name == "fit":
                after = reached(model, result, given.get("callbacks"))
            elif name in ("predict", "predict_on_batch", "call"):
                know_outputs(model, x, result)
                after = right_text(x, result)
            notes.append(text + after)
        return result

    return run


def note_figure(figure):
    """Note what a figure shows, when Jupyter asks for it as JSON; Jupyter gets nothing."""
    for model in changed:
        know_weights(model)
    changed.clear()
    notes.extend(figure_text(figure))
    texts.extend(texts_of(figure))


def shortened(lines):
    """Return lines; of many that differ in numbers alone, the first, how many, and the last."""
    alike = {}
    for line in lines:
        alike.setdefault(re.sub(NUMBER, "0", line), []).append(line)
    for same in alike.values():
        if len(same) > ALIKE and same[0].split()[0] in ("call", *ON_BATCH):
            yield from (f"{len(same)} such as: {same[0]}", f"and last: {same[-1]}")
        else:
            yield from same


def take(cell_id, names):
    """Return the facts of the cell that has run and its figures' texts, and forget both."""
    found = {"facts": "\n".join(counted(shortened(notes))), "texts": texts.copy()}
    for n, model in enumerate(fitted, 1):
        networks[model] = f"network {n} of " * (len(fitted) > 1) + f"[{cell_id}]"
    changed.extend(model for model in fitted if model not in changed)  # under their new names
    for kept in (notes, texts, fitted):
        kept.clear()
    know_others(names)
    return found


def load():
    """Load MNIST; return why it can't be had, or nothing."""
    socket.setdefaulttimeout(30)  # a blocked address may never answer
    try:
        sets = keras.datasets.mnist.load_data()
    except Exception as error:  # noqa: BLE001, Keras raises nothing narrower
        return str(error) or type(error).__name__
    finally:
        socket.setdefaulttimeout(None)
    for name, (images, labels) in zip(["train", "test"], sets):
        know(name, images, labels)
        know(name, (images / 255).astype("float32"), labels)
    know("others", OTHERS.images, OTHERS.target)
    return ""


def start(names):
    """Begin to take notes of what runs among the notebook's names."""
    for name in METHODS:
        setattr(keras.Model, name, noted(getattr(keras.Model, name), names))
    Figure._repr_json_ = note_figure
    seed = keras.utils.set_random_seed
    keras.utils.set_random_seed = lambda n: seed(n + (SHIFT if networks else 0))
