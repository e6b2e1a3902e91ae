"""Time the notebook's networks against what a reader would otherwise pick.

    python tests/benchmark.py [repeats]

trains every network `repeats` times (3) with other seeds and its published settings, and
prints the median seconds in `fit` and the mean test accuracy. The last column says how many
times as long another network trains as the fastest of OWN needs to the same test accuracy;
the clock stops while that is measured. The last of OWN is there for the clock alone.
PyTorch's example runs once, if torch is installed.
"""

import math
import sys
import time
from importlib.util import find_spec
from statistics import mean, median

import keras
import numpy as np
from keras import layers

from common import code_cells, definitions, read

(x, y), (x_test, y_test) = keras.datasets.mnist.load_data()
x, x_test = np.float32(x) / 255, np.float32(x_test) / 255
names = definitions()
exec(code_cells(read())["augmentation"].source, names)  # noqa: S102


class Watch(keras.callbacks.Callback):
    """Notes (seconds, test accuracy) about every 32 batches, and at the end."""

    def on_train_begin(self, logs=None):
        self.notes, self.start = [], time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        if (batch + 1) % 32 == 0:
            self.on_train_end()

    def on_train_end(self, logs=None):
        stop = time.perf_counter()
        answers = self.model(x_test, training=False).numpy().argmax(axis=1)
        self.notes.append((stop - self.start, np.mean(answers == y_test)))
        self.start += time.perf_counter() - stop


def trained(build, optimizer, loss, watch=True, steps=32, n=54_000, **options):
    """Return a function of a seed that trains a network, and gives its notes.

    Args:
        build: gives an untrained network.
        optimizer: its name, or (Adam's rate, what it falls to in `epochs`: 0 or itself).
        watch: whether to note the accuracy on the way, not only at the end.
        n: train on the first n images.
    """

    def run(seed):
        keras.utils.set_random_seed(seed)
        names["SEED"], model, method = seed, build(), optimizer
        if isinstance(optimizer, float):
            total = options["epochs"] * math.ceil(n / options["batch_size"])
            method = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(optimizer, total))
        model.compile(method, loss, metrics=["accuracy"], steps_per_execution=steps)
        labels = y[:n] if isinstance(loss, str) else keras.utils.to_categorical(y[:n])
        watches = [Watch()]
        start = time.perf_counter()
        model.fit(x[:n], labels, verbose=0, callbacks=watches * watch, **options)
        if watch:
            return watches[0].notes
        seconds = time.perf_counter() - start
        return [(seconds, np.mean(model.predict(x_test, verbose=0).argmax(axis=1) == y_test))]

    return run


def stack(*hidden):
    """Return a function that builds a network of copies of hidden layers."""

    def build():
        copies = [type(layer).from_config(layer.get_config()) for layer in hidden]
        output = layers.Dense(10, activation="softmax")
        shape = [keras.Input((28, 28)), layers.Reshape((28, 28, 1))]
        return keras.Sequential([*shape, *copies, layers.Flatten(), output])

    return build


def pytorch(seed):
    import torch
    from torch import nn

    inputs, digits = torch.from_numpy((x[:, None] - 0.1307) / 0.3081), torch.from_numpy(y).long()
    network = nn.Sequential(
        *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU()),
        *(nn.MaxPool2d(2), nn.Dropout(0.25), nn.Flatten()),
        *(nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10)),
    )
    optimizer = torch.optim.Adadelta(network.parameters(), lr=1.0)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.7)
    start = time.perf_counter()
    for _ in range(14):
        for batch in torch.randperm(len(inputs)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(inputs[batch]), digits[batch]).backward()
            optimizer.step()
        schedule.step()
    seconds = time.perf_counter() - start
    network.eval()
    with torch.no_grad():
        answers = network(torch.from_numpy((x_test[:, None] - 0.1307) / 0.3081)).argmax(dim=1)
    return [(seconds, np.mean(answers.numpy() == y_test))]


def dense():
    return names["build_model"]([128])


def augmented():
    return keras.Sequential([names["augmentation"], names["build_convolutional"]()])


CONVOLUTIONAL, SPARSE = names["build_convolutional"], "sparse_categorical_crossentropy"
SMOOTH = keras.losses.CategoricalCrossentropy(label_smoothing=0.05)
QUICK = [layers.Conv2D(16, 5, 2, activation="relu"), layers.Conv2D(32, 5, 2, activation="relu")]
CONVNET = [
    *(layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D()),
    *(layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(), layers.Dropout(0.5)),
]
OWN = {
    "the notebook's first network": trained(dense, "adam", SPARSE, epochs=10, batch_size=128),
    "the same, falling rate": trained(dense, 0.003, SPARSE, epochs=10, batch_size=128),
    "convolutional": trained(CONVOLUTIONAL, 0.007, SMOOTH, epochs=7, batch_size=128),
    "convolutional, augmented": trained(augmented, 0.007, SMOOTH, epochs=7, batch_size=128),
    "convolutional, 3 epochs": trained(CONVOLUTIONAL, 0.01, SMOOTH, epochs=3, batch_size=128),
    "two quick convolutions, 1 epoch": trained(
        stack(*QUICK, layers.BatchNormalization()), 0.01, SPARSE, epochs=1, batch_size=64
    ),
}
OTHERS = {"watch": False, "steps": 1, "n": 60_000}
PEERS = {
    "TensorFlow's quickstart for beginners": trained(
        stack(layers.Flatten(), layers.Dense(128, "relu"), layers.Dropout(0.2)),
        *("adam", SPARSE),
        **OTHERS | {"epochs": 5},
    ),
    "keras.io, simple MNIST convnet": trained(
        stack(*CONVNET),
        *("adam", SPARSE),
        **OTHERS | {"epochs": 15, "batch_size": 128, "validation_split": 0.1},
    ),
    "PyTorch's MNIST example": pytorch,
}


def reached(accuracy, notes):
    """Return the seconds after which a training first had an accuracy; infinite if never."""
    return next((seconds for seconds, share in notes if share >= accuracy), np.inf)


def main(repeats=3):
    runs = {}
    for seed in range(repeats):
        for name, run in (OWN | PEERS).items():
            if run is not pytorch or (seed == 0 and find_spec("torch")):
                runs.setdefault(name, []).append(run(seed))
                print(".", end="", flush=True)
    print(f"\n{'network':40} seconds  accuracy  times as long")
    for name, found in runs.items():
        seconds, accuracy = median(n[-1][0] for n in found), mean(n[-1][1] for n in found)
        first = [median(reached(accuracy, notes) for notes in runs[own]) for own in OWN]
        times = f"{seconds / min(first):13.1f}" if name in PEERS else ""
        print(f"{name:40} {seconds:7.1f}  {accuracy:8.2%}  {times}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
