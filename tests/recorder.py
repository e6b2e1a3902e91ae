"""Notes, in the notebook's kernel, what cannot be read in the outputs of a cell.

That is what its figures show (figures.py), and what each network is given: which rows of which
set, with their own labels or not, and how it is trained. The conftest.py beside the notebook
starts the recorder before the first cell, and takes the facts after each. Nothing of it is seen
or saved by Jupyter.
"""

import inspect
import os
import random
import socket
from functools import wraps

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.metrics import confusion_matrix

from figures import NOT_KNOWN, counted, figure_text, texts_of
from known import know, know_answers, number, recognised, rows_text, summary, values_text

SHIFT = int(os.environ.get("SEED_SHIFT", "0"))  # other seeds for training, to measure bands
# Say nothing about what a thing does; once built, a layer's axis of -1 is another number.
UNTOLD = {"name", "seed", "axis"}
TRAINS = ["fit", "train_on_batch"]
METHODS = [*TRAINS, "evaluate", "predict", "__call__", "test_on_batch", "predict_on_batch"]
JUDGED_FROM = 1000  # of so many images, known labels are compared with what a network reads
OTHERS = load_digits()
notes = []  # the facts of the cell that runs
texts = []  # its figures' texts, and where they stand
fitted = []  # its networks, trained there for the first time
running = []  # the outermost method that runs: `fit` calls `evaluate`
networks = {}  # {model: where it was first fitted}


def know_others(names):
    """Remember the notebook's versions of the other writers' digits: arrays of as many images."""
    for name, value in names.items():
        images = isinstance(value, np.ndarray) and value.ndim == 3 and name[0] != "_"
        if images and len(value) == len(OTHERS.target) and not recognised(value[:1])[0].source:
            know(name, value, OTHERS.target)


def name_of(model):
    """Return where a network was fitted, or of which fitted one it has layers."""
    if model in networks:
        return networks[model]
    for whole, name in networks.items():
        if shared := [layer for layer in model.layers if layer in whole.layers]:
            return f"{len(shared)} of the layers of {name}"
    return "a network not fitted"


def know_outputs(model, x, y):
    """Remember what a network puts out: its answers, channels of a layer, or changed images.

    Return what share of many known images it reads right.
    """
    if not hasattr(y, "shape") or not hasattr(x, "shape"):
        return ""
    y, name, found = np.asarray(y), name_of(model), recognised(np.asarray(x))
    if y.ndim == 2 and y.shape[1] == 10:
        know_answers(name, found, y)
        labels = [entry.label for entry in found]
        if len(labels) >= JUDGED_FROM and None not in labels:
            confusion = confusion_matrix(labels, y.argmax(axis=1), labels=range(10))
            know(f"confusions of {name} on {found[0].source}, matrix", [confusion])
            return f"; read right {np.trace(confusion) / len(labels):.4f}"
    elif y.ndim == 4:
        images = np.moveaxis(y, -1, 1).reshape(-1, *y.shape[1:3])
        know(f"what {name} makes of {rows_text(found)}, image", images)
        know(f"all that {name} makes of {rows_text(found)}", [images])  # some may be alike
    return ""


def data_text(x, y=None, weights=None):
    """Return what images are, and whether the labels (n, 10) or (n,) are their own."""
    if not hasattr(x, "shape"):
        return f"a {type(x).__name__}, {NOT_KNOWN}"
    x = np.asarray(x)
    found = recognised(x)
    text = rows_text(found) + f", {summary(x)}" * (not all(entry.source for entry in found))
    if y is not None:
        y = np.asarray(y)
        digits = y if y.ndim == 1 else y.argmax(axis=1)
        others = sum(entry.label != digit for entry, digit in zip(found, digits))
        text += f", {others:,} not with their own labels" if others else ", own labels"
        if y.ndim == 2 and not np.array_equal(y, np.eye(10)[digits]):
            peaks = np.unique(np.round(y.max(axis=1), 4))
            text += f" of {' and '.join(map(number, peaks))}"
    return text if weights is None else f"{text}, weights {values_text(weights)}"


def settings(thing):
    """Return how a thing of Keras was made: what differs from its defaults; a model's layers."""
    if isinstance(thing, dict) and "class_name" in thing:
        thing = keras.saving.deserialize_keras_object(thing)
    if isinstance(thing, (list, tuple)):
        # Some versions of Keras keep a factor of 0.1 as (-0.1, 0.1).
        if len(thing) == 2 and isinstance(thing[1], float) and thing[0] == -thing[1]:
            thing = thing[1:]
        return "×".join(map(settings, thing))
    if isinstance(thing, float):
        return f"{thing:.4g}"
    if hasattr(thing, "layers"):
        return " → ".join(map(settings, thing.layers))
    if not hasattr(thing, "get_config"):
        return getattr(thing, "__name__", str(thing))  # of a function
    config, parameters = thing.get_config(), inspect.signature(type(thing)).parameters
    needed = {n: config[n] for n, p in parameters.items() if p.default is p.empty and n in config}
    usual = type(thing)(**needed).get_config()
    own = needed | {n: v for n, v in config.items() if v != usual.get(n) and n not in UNTOLD}
    return f"{type(thing).__name__}({', '.join(f'{n} {settings(v)}' for n, v in own.items())})"


def call_text(method, model, x, y=None, validation_data=None, callbacks=None, **others):
    """Return what a method of a model was given, as one line."""
    parts = [f"{method} {name_of(model)}", data_text(x, y)]
    if method in TRAINS:
        validation = data_text(*validation_data) if validation_data else "nothing"
        metrics = (model.get_compile_config() or {}).get("metrics")
        parts += [
            f"validated on {validation}",
            settings(model.optimizer),
            f"loss {settings(model.loss)}",
            f"metrics {settings(metrics)}",
            settings(model),
        ]
    for callback in keras.tree.flatten(
        callbacks or []
    ):  # what it was made with, and the methods that it has
        own, usual = vars(callback), vars(keras.callbacks.Callback)
        made = [n for n in inspect.signature(type(callback)).parameters if n in own]
        made = [f"{n} {own[n]}" for n in made if isinstance(own[n], (int, float, str))]
        hooks = [name for name in dir(callback) if name.startswith("on_") and name in usual]
        hooks = [n for n in hooks if n in own or getattr(type(callback), n) is not usual[n]]
        parts.append(f"{type(callback).__name__}({', '.join(made + hooks)})")
    for name, value in others.items():
        if name != "verbose":
            parts.append(f"{name} {values_text(value) if hasattr(value, 'shape') else value}")
    return "; ".join(parts)


def noted(method, names):
    """Return a method of Keras' models that notes how a cell calls it; names: the notebook's."""
    name = method.__name__.strip("_")

    @wraps(method)
    def run(model, *args, **kwargs):
        first, *_ = [*args, *kwargs.values()]
        # Of symbols, Keras builds a network or a graph, and nothing is computed.
        if running or isinstance(first, keras.KerasTensor) or tf.is_symbolic_tensor(first):
            return method(model, *args, **kwargs)
        # `__call__` takes any arguments, and gives them to `call`.
        signature = inspect.signature(model.call if name == "call" else method.__get__(model))
        (_, x), *others = signature.bind(*args, **kwargs).arguments.items()
        given = {"x": x, **dict(others)}  # the first may have another name, such as "inputs"
        if "verbose" in signature.parameters and "verbose" not in given:
            kwargs["verbose"] = 0  # nbval keeps the bars that `clear_output` removes in Jupyter
        # All runs show the same until the first training, which begins with another seed.
        if name in TRAINS and not networks and SHIFT:
            keras.utils.set_random_seed(SHIFT)
        if name in TRAINS and model not in networks:
            fitted.append(model)
            networks[model] = f"network {len(fitted)} of this cell"
        running.append(name)
        try:
            result = method(model, *args, **kwargs)
        finally:
            running.pop()
        know_others(names)
        # `settings` makes things of Keras anew, which draw random numbers. The notebook's stay.
        state = random.getstate()
        history = getattr(result, "history", {}).items()
        reached = [f"; reached {k} {v[-1]:.4f}" for k, v in history if "accuracy" in k][-1:]
        parts = [call_text(name, model, **given), *reached, know_outputs(model, x, result)]
        notes.append("".join(parts))
        random.setstate(state)
        return result

    return run


def note_figure(figure):
    """Note what a figure shows, as its `_repr_json_`, which IPython calls when it displays one."""
    for model, name in networks.items():
        weights = model.get_weights()[0]
        if len(weights) == 784:  # of units that read images
            know(f"weights of {name}, layer 1, unit", weights.T.reshape(-1, 28, 28))
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


def start(names):
    """Load MNIST, and begin to take notes of what runs among the notebook's names.

    Return why MNIST can't be had, or nothing.
    """
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
    for name in METHODS:
        setattr(keras.Model, name, noted(getattr(keras.Model, name), names))
    Figure._repr_json_ = note_figure
    set_seed = keras.utils.set_random_seed
    # After the first training, see `noted`, all seeds of the notebook are shifted.
    keras.utils.set_random_seed = lambda seed: set_seed(seed + (SHIFT if networks else 0))
    return ""
