"""Note which data each cell gives to a network, and how it trains it.

Run in the kernel before the notebook, as words.py. What is noted stands among the outputs
of a cell as an HTML comment, which no reader sees. So nbval compares it on every machine,
whatever the network makes of it.
"""

import inspect
from collections import Counter
from functools import wraps

import keras
import numpy as np
from IPython import get_ipython
from IPython.display import display
from words import number

calls = []  # (method, model, learning rate before it, arguments), in the cell that runs
running = []  # the outermost method that runs: `fit` calls `evaluate`


def learning_rate(model):
    """Return the rate of a model's optimizer at the step where it is."""
    return number(float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)))


def layer_words(model):
    """Yield the kind of each layer of a model, with its activation."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from layer_words(layer)
        else:
            activation = getattr(layer, "activation", None)
            yield f"{type(layer).__name__} {getattr(activation, '__name__', '')}".strip()


def data_words(x=None, y=None):
    """Return the number of images and their mean, the highest label, and how they pair."""
    if x is None:
        return "nothing"
    inks = np.reshape(x, (len(x), -1)).mean(axis=1, dtype="float64")
    text = f"{len(inks)} images of mean {number(inks.mean())}"
    if y is None:
        return text
    pairs = number(np.mean(inks * np.argmax(y, axis=1)))
    return f"{text}, labels up to {number(np.max(y))}, together {pairs}"


def call_words(method, model, rate, given):
    """Return what a method was given, as one line."""
    found = [method, *layer_words(model), f"{model.count_params()} parameters"]
    found.append(data_words(given["x"], given.get("y")))
    found += [f"{k} {v}" for k, v in given.items() if isinstance(v, (int, float, str))]
    if method == "fit":
        optimizer = type(model.optimizer).__name__
        found.append(f"{optimizer} {rate} to {learning_rate(model)}")
        found.append(f"validated on {data_words(*given.get('validation_data', ()))}")
        for callback in given.get("callbacks", ()):
            if isinstance(callback, keras.callbacks.EarlyStopping):
                back = "with" if callback.restore_best_weights else "without"
                found.append(f"patience {callback.patience}, {back} the best weights")
    return "; ".join(found)


def noted(method):
    """Return a method of Keras' models that notes how it is called from a cell."""

    @wraps(method)
    def run(model, *args, **kwargs):
        if running:
            return method(model, *args, **kwargs)
        given = inspect.signature(method).bind(model, *args, **kwargs).arguments
        rate = learning_rate(model) if method.__name__ == "fit" else None
        calls.append((method.__name__, model, rate, given))
        running.append(method)
        try:
            return method(model, *args, **kwargs)
        finally:
            running.pop()

    return run


def show(_):
    """Put what was noted into the outputs of the cell that has run."""
    done = calls.copy()
    calls.clear()
    found = Counter(call_words(*call) for call in done)
    lines = [f"{text} ({n} times)" if n > 1 else text for text, n in found.items()]
    if lines:
        display({"text/html": "\n".join(["<!--", *lines, "-->"])}, raw=True)


for name in ("fit", "evaluate", "predict"):
    setattr(keras.Model, name, noted(getattr(keras.Model, name)))
get_ipython().events.register("post_run_cell", show)
