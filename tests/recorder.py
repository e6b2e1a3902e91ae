"""Notes, in the notebook's kernel, what cannot be read in the outputs of a cell.

That is what its figures show (figures.py), and what each network is given: which rows of which
set, with their own labels or not, and how it is trained. The conftest.py beside the notebook
starts the recorder before the first cell, and takes the facts after each. Nothing of it is seen
or saved by Jupyter.
"""

import inspect
import os
import socket
from functools import wraps
from weakref import WeakKeyDictionary

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

from figures import UNKNOWN, counted, figure_text, texts_of
from known import argument_text, forget, know, know_answers, number, recognised, rows_text, summary

SHIFT = int(os.environ.get("SEED_SHIFT", "0"))  # other seeds for training, to measure bands
# Says nothing about what a thing does, or is noted elsewhere.
UNTOLD = {"name", "dtype", "seed", "data_format", "trainable", "axis", "reduction", "learning_rate"}
TRAINS = ["fit", "train_on_batch"]
METHODS = [*TRAINS, "evaluate", "predict", "__call__", "test_on_batch", "predict_on_batch"]
JUDGED_FROM = 1000  # of so many images, known labels are compared with what a network reads
REMEMBERED_TO = 2000  # so many images or channels that a network puts out
OTHERS = load_digits()
notes = []  # the facts of the cell that runs
texts = []  # its figures' texts, and where they stand
fitted = []  # its networks, trained there for the first time
running = []  # the outermost method that runs: `fit` calls `evaluate`
networks = WeakKeyDictionary()  # {model: where it was first fitted}


def know_others(names):
    """Remember all arrays of the notebook that hold the other writers' digits in their order."""
    for name, value in names.items():
        images = isinstance(value, np.ndarray) and value.ndim == 3 and name[0] != "_"
        if images and len(value) == len(OTHERS.target):
            know(name, value, OTHERS.target)


def layers_of(model):
    """Return the layers of a network without its input."""
    return [la for la in model.layers if not isinstance(la, keras.layers.InputLayer)]


def name_of(model):
    """Return where a network was fitted, or of which fitted one it has the first layers."""
    if model in networks:
        return networks[model]
    layers = layers_of(model)
    for whole, name in [*networks.items()]:
        if layers and layers == layers_of(whole)[: len(layers)]:
            return f"{len(layers)} of the layers of {name}"
    return "a network not fitted"


def know_weights(model):
    """Remember the weights of units that read square images, and of filters (first channel)."""
    layers = [layer for layer in model.layers if layer.get_weights()]
    for n, layer in enumerate(layers, 1):
        kernel, source = layer.get_weights()[0], f"weights of {name_of(model)}, layer {n}, unit"
        side = int(np.sqrt(len(kernel)))
        if kernel.ndim == 2 and side * side == len(kernel):
            know(source, kernel.T.reshape(-1, side, side))
        elif kernel.ndim == 4:
            know(source, kernel[:, :, 0].transpose(2, 0, 1))


def know_outputs(model, x, y):
    """Remember what a network puts out: its answers, channels of a layer, or changed images.

    Return what share of many known images it reads right.
    """
    if not hasattr(y, "shape") or not hasattr(x, "shape"):
        return ""
    x, y, name = np.asarray(x), np.asarray(y), name_of(model)
    found = recognised(x)
    if y.ndim == 4 and y.shape[-1] == 1:
        y = y[..., 0]
    if y.ndim == 2 and len(x) == len(y) and y.shape[1] == 10:
        know_answers(name, x, y)
        if len(x) >= JUDGED_FROM and all(entry and entry.label is not None for entry in found):
            confusion = np.zeros((10, 10))
            np.add.at(confusion, ([entry.label for entry in found], y.argmax(axis=1)), 1)
            know(f"confusions of {name} on {found[0].source}", [confusion])
            return f"; read right {np.trace(confusion) / len(x):.4f}"
    elif y.ndim == 3 and len(y) <= REMEMBERED_TO:
        know(f"what {name} makes of {rows_text(found)}, image", y)
    elif y.ndim == 4 and len(y) * y.shape[-1] <= REMEMBERED_TO:
        for given, maps in zip(found, np.moveaxis(y, -1, 1)):
            source = f"what {name} puts out for {rows_text([given])}"
            know(source, maps)
            know(source, [maps])  # as one array
    return ""


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
            peaks = np.unique(np.round(y.max(axis=1), 4))
            text += f" of {' and '.join(map(number, peaks))}"
    return text if weights is None else f"{text}, weights {argument_text(np.asarray(weights))}"


def settings(thing, key=""):
    """Return how a thing of Keras was made: what differs from the defaults; a model's layers.

    key: the name of the setting, if the thing is one: a number, a name, or a thing of Keras.
    """
    if isinstance(thing, str) and key.endswith("_initializer"):
        thing = keras.initializers.get(thing)
    if isinstance(thing, dict) and "class_name" in thing:
        thing = keras.saving.deserialize_keras_object(thing)
    if isinstance(thing, (list, tuple)):
        if key.endswith("factor") and len(thing) == 2 and thing[0] == -thing[1]:
            thing = thing[1:]  # some versions of Keras write a range for one number
        return "×".join(map(settings, thing))
    if isinstance(thing, float):
        return f"{thing:.4g}"
    if not hasattr(thing, "get_config") and not isinstance(thing, keras.callbacks.Callback):
        return getattr(thing, "__name__", str(thing))  # of a function
    frozen = " frozen" * (getattr(thing, "trainable", None) is False and bool(thing.weights))
    if hasattr(thing, "layers"):
        return " → ".join(networks.get(la) or settings(la) for la in layers_of(thing)) + frozen
    parts, config = [], thing.get_config() if hasattr(thing, "get_config") else vars(thing)
    for name, parameter in inspect.signature(type(thing)).parameters.items():
        value, default = settings(config.get(name), name), settings(parameter.default, name)
        if name not in UNTOLD and value not in (default, "None"):
            parts.append(f"{name} {value}")
    return f"{type(thing).__name__}({', '.join([*parts, *hooks(thing)])}){frozen}"


def hooks(thing):
    """Return the names of the methods by which a callback does something."""
    usual = keras.callbacks.Callback
    names = [name for name in dir(usual) if name.startswith("on_") and isinstance(thing, usual)]
    return [name for name in names if getattr(type(thing), name) is not getattr(usual, name)]


def reached(history):
    """Return the accuracy that a training reached."""
    found = getattr(history, "history", {})
    names = [name for name in ("val_accuracy", "accuracy") if name in found]
    return f"; reached {names[0]} {found[names[0]][-1]:.4f}" if names else ""


def call_text(method, model, x, y=None, validation_data=None, callbacks=None, **others):
    """Return what a method of a model was given, as one line."""
    parts = [f"{method} {name_of(model)}", data_text(x, y)]
    if method in TRAINS:
        rate = model.optimizer.get_config()["learning_rate"]
        validation = data_text(*validation_data) if validation_data else "nothing"
        metrics = (model.get_compile_config() or {}).get("metrics")
        parts += [
            f"validated on {validation}",
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
        first, *_ = [*args, *kwargs.values()]
        if running or is_symbolic(first):
            return method(model, *args, **kwargs)
        signature = inspect.signature(model.call if name == "call" else method.__get__(model))
        (_, x), *others = signature.bind(*args, **kwargs).arguments.items()
        given = {"x": x, **dict(others)}  # a network that is called names it "inputs"
        if "verbose" in signature.parameters and "verbose" not in given:
            kwargs["verbose"] = 0  # Jupyter clears bars, nbval would not
        # All runs show the same until the first training, which begins with another seed.
        if name in TRAINS and not networks and SHIFT:
            keras.utils.set_random_seed(SHIFT)
        if name in TRAINS and model not in networks:
            fitted.append(model)
            networks[model] = f"network {len(fitted)} of this cell"
        running.append(name)
        result = None
        try:
            result = method(model, *args, **kwargs)
        finally:
            running.pop()
            know_others(names)
            text = call_text(name, model, **given)
            notes.append(text + reached(result) + know_outputs(model, x, result))
        return result

    return run


def note_figure(figure):
    """Note what a figure shows, when Jupyter asks for it as JSON; Jupyter gets nothing."""
    forget("weights of")  # those of before a training
    for model in [*networks]:
        know_weights(model)
    notes.extend(figure_text(figure))
    texts.extend(texts_of(figure))


def take(cell_id, names):
    """Return the facts of the cell that has run and its figures' texts, and forget both."""
    found = {"facts": "\n".join(counted(notes)), "texts": texts.copy()}
    for n, model in enumerate(fitted, 1):
        networks[model] = f"network {n} of " * (len(fitted) > 1) + f"[{cell_id}]"
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
