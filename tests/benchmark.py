"""Time the notebook's networks against what a reader would otherwise pick.

    python tests/benchmark.py [repeats]

trains every network `repeats` times (3) with other seeds and its published settings, and
prints the median seconds of training and the mean test accuracy. The last column says how many
times as long another network trains as the fastest of OWN needs to the same test accuracy;
the clock stops while that is measured. The last of OWN is there for the clock alone.
PyTorch's example runs once, if torch is installed.
"""

import sys
import time
from contextlib import redirect_stdout
from importlib.util import find_spec
from io import StringIO
from statistics import mean, median

import keras
import numpy as np
from keras import layers

from common import code_cells, definitions, read

(x, y), (x_test, y_test) = keras.datasets.mnist.load_data()
x, x_test = np.float32(x) / 255, np.float32(x_test) / 255
names, one_hot = definitions() | {"seconds": {}}, keras.utils.to_categorical(y)
names |= {"x_train": x[:54_000], "y_train": one_hot[:54_000]}
names |= {"x_val": x[-1:], "y_val": one_hot[-1:]}  # no time for validation
for cell_id in ("train", "augmentation"):
    exec(code_cells(read())[cell_id].source, names)  # noqa: S102


def network(*hidden):
    shape = [keras.Input((28, 28)), layers.Reshape((28, 28, 1))]
    output = [layers.Flatten(), layers.Dense(10, activation="softmax")]
    return keras.Sequential([*shape, *hidden, *output])


DENSE, CONVOLUTIONAL = names["build_model"]([128]), names["build_convolutional"]()
FALLING = {"falling": True, "learning_rate": 0.01}
SMOOTH = {"epochs": 7, "falling": True, "learning_rate": 0.007, "label_smoothing": 0.05}
OWN = {
    "the notebook's first network": (DENSE, {"epochs": 10}),
    "the same, falling rate": (DENSE, FALLING | {"epochs": 10, "learning_rate": 0.003}),
    "convolutional": (CONVOLUTIONAL, SMOOTH),
    "convolutional, augmented": (keras.Sequential([names["augmentation"], CONVOLUTIONAL]), SMOOTH),
    "convolutional, 3 epochs": (CONVOLUTIONAL, SMOOTH | FALLING | {"epochs": 3}),
    "two quick convolutions, 1 epoch": (
        network(
            layers.Conv2D(16, 5, 2, activation="relu"),
            layers.Conv2D(32, 5, 2, activation="relu"),
            layers.BatchNormalization(),
        ),
        FALLING | {"epochs": 1, "batch_size": 64},
    ),
}
PEERS = {
    "TensorFlow's quickstart for beginners": (
        network(layers.Flatten(), layers.Dense(128, "relu"), layers.Dropout(0.2)),
        {"epochs": 5},
    ),
    "keras.io, simple MNIST convnet": (
        network(
            *(layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D()),
            *(layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D()),
            layers.Dropout(0.5),
        ),
        {"epochs": 15, "batch_size": 128, "validation_split": 0.1},
    ),
}


def accuracy(shares):
    return np.mean(np.argmax(shares, axis=1) == y_test)


class Watch(keras.callbacks.Callback):
    """Notes (seconds, test accuracy) after each 32 batches; the clock stops meanwhile."""

    def on_train_begin(self, logs=None):
        self.notes, self.start = [], time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        stop = time.perf_counter()
        self.notes.append((stop - self.start, accuracy(self.model(x_test, training=False))))
        self.start += time.perf_counter() - stop


def train_own(model, options):
    watch = Watch()
    with redirect_stdout(StringIO()):
        names["train"](model, callbacks=[watch], **options)
    return watch.notes


def train_peer(model, options):
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    start = time.perf_counter()
    model.fit(x, y, verbose=0, **options)
    return [(time.perf_counter() - start, accuracy(model.predict(x_test, verbose=0)))]


def train_pytorch():
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
        shares = network(torch.from_numpy((x_test[:, None] - 0.1307) / 0.3081)).numpy()
    return [(seconds, accuracy(shares))]


def reached(least, notes):
    """Return the seconds after which a training first had an accuracy; infinite if never."""
    return next((seconds for seconds, share in notes if share >= least), np.inf)


def main(repeats=3):
    runs = {}
    for seed in range(repeats):
        for name, (untrained, options) in (OWN | PEERS).items():
            keras.utils.set_random_seed(seed)
            model = keras.models.clone_model(untrained)
            notes = (train_own if name in OWN else train_peer)(model, options)
            runs.setdefault(name, []).append(notes)
            print(".", end="", flush=True)
    if find_spec("torch"):
        runs["PyTorch's MNIST example"] = [train_pytorch()]
    print(f"\n{'network':40} seconds  accuracy  times as long")
    for name, found in runs.items():
        seconds, share = median(n[-1][0] for n in found), mean(n[-1][1] for n in found)
        first = [median(reached(share, notes) for notes in runs[own]) for own in OWN]
        times = "" if name in OWN else f"{seconds / min(first):13.1f}"
        print(f"{name:40} {seconds:7.1f}  {share:8.2%}  {times}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
