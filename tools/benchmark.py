"""Time the notebook's networks against what a reader would otherwise pick.

    python tools/benchmark.py [repeats]

trains every network in turn, `repeats` times (3 if not given) with other seeds, each
with its published settings (scikit-learn's with the size of the first network and ten
passes), and prints the median seconds and the mean test accuracy. It needs MNIST.
PyTorch's example, by far the longest, runs once, and only if torch is installed.

The last column is the one to read: the seconds that the other network takes in `fit`,
over those after which a network of `OWN` first reads as many test images right.
The clock stops while that is measured. The notebook's networks train on 54,000 images,
the others on all 60,000, keras.io's on 54,000 too, as they are published.
"""

import sys
import time
import warnings
from statistics import mean, median

import keras
import numpy as np
from common import code_cells, definitions, read
from keras import layers
from sklearn.neural_network import MLPClassifier

(train_images, train_labels), (test_images, test_labels) = (
    keras.datasets.mnist.load_data()
)
x_train, x_test = (np.float32(images) / 255 for images in (train_images, test_images))
labels = keras.utils.to_categorical(train_labels)[:54_000]
names = definitions()
names["x_train"] = x_train[:54_000]
exec(code_cells(read())["augmentation"].source, names)  # noqa: S102


def share_right(model):
    """Return the share of the test images that a Keras model reads right."""
    answers = model(x_test, training=False).numpy().argmax(axis=1)
    return np.mean(answers == test_labels)


class Watch(keras.callbacks.Callback):
    """Notes (seconds, test accuracy) about every 64 batches, and at the end."""

    def on_train_begin(self, logs=None):
        self.notes, self.start = [], time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        if (batch + 1) % 64 == 0:
            self.on_train_end()

    def on_train_end(self, logs=None):
        stop = time.perf_counter()
        self.notes.append((stop - self.start, share_right(self.model)))
        self.start += time.perf_counter() - stop


def dense_with_normalization():
    """Return a dense network that takes the notebook's two ideas for the best one."""
    model = keras.Sequential([keras.Input((28, 28)), layers.Flatten()])
    for units in (1024, 512):
        model.add(layers.Dense(units, use_bias=False))
        model.add(layers.BatchNormalization())
        model.add(layers.ReLU())
    model.add(layers.Dense(10, activation="softmax"))
    return model


def own(build, epochs, batch_size, rate=0, augmented=False, smoothing=0):
    """Return a function of a seed that trains as the notebook, and gives its notes."""

    def run(seed):
        names["SEED"] = seed
        keras.utils.set_random_seed(seed)
        model = keras.Sequential([names["augmentation"]] if augmented else [])
        model.add(build())
        falling = rate and names["falling_rate"](rate, epochs, batch_size)
        adam, watch = keras.optimizers.Adam(falling or 0.001), Watch()
        loss = keras.losses.CategoricalCrossentropy(label_smoothing=smoothing)
        model.compile(adam, loss, metrics=["accuracy"], steps_per_execution=32)
        model.fit(names["x_train"], labels, batch_size, epochs, 0, callbacks=[watch])
        return watch.notes

    return run


def dense(*units):
    return lambda: names["build_model"](units)


convolutional = names["build_convolutional"]
OWN = {
    "first network": own(dense(128), 10, 128),
    "the same, falling rate": own(dense(128), 10, 128, 0.003),
    "convolutional": own(convolutional, 2, 64, 0.01),
    "convolutional, augmented": own(convolutional, 8, 64, 0.005, True, 0.05),
    "dense, augmented": own(dense(512, 512), 18, 256, 0.002, True),
    "dense, normalized": own(dense_with_normalization, 40, 256, 0.004, True, 0.05),
}


def peer(*hidden, optimizer="adam", **options):
    """Return a function of a seed that trains another's Keras network."""

    def run(seed):
        keras.utils.set_random_seed(seed)
        parts = [type(layer).from_config(layer.get_config()) for layer in hidden]
        output = layers.Dense(10, activation="softmax")
        model = keras.Sequential([keras.Input((28, 28)), *parts, output])
        loss = "sparse_categorical_crossentropy"
        model.compile(optimizer, loss, metrics=["accuracy"])
        start = time.perf_counter()
        model.fit(x_train, train_labels, verbose=0, **options)
        return time.perf_counter() - start, share_right(model)

    return run


def scikit_learn(seed):
    network = MLPClassifier((128,), max_iter=10, random_state=seed)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ten passes do not converge, as intended
        network.fit(x_train.reshape(-1, 784), train_labels)
    seconds = time.perf_counter() - start
    return seconds, network.score(x_test.reshape(-1, 784), test_labels)


def pytorch():
    import torch
    from torch import nn

    inputs = torch.from_numpy((x_train[:, None] - 0.1307) / 0.3081)
    digits = torch.from_numpy(train_labels.astype("int64"))
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
            loss = nn.functional.cross_entropy(network(inputs[batch]), digits[batch])
            loss.backward()
            optimizer.step()
        schedule.step()
    seconds = time.perf_counter() - start
    network.eval()
    with torch.no_grad():
        answers = network(torch.from_numpy((x_test[:, None] - 0.1307) / 0.3081))
    return seconds, np.mean(answers.argmax(dim=1).numpy() == test_labels)


CONVOLUTIONS = [
    layers.Reshape((28, 28, 1)),
    layers.Conv2D(32, 3, activation="relu"),
    layers.MaxPooling2D(),
    layers.Conv2D(64, 3, activation="relu"),
    *(layers.MaxPooling2D(), layers.Flatten(), layers.Dropout(0.5)),
]
PEERS = {
    "TensorFlow's quickstart for beginners": peer(
        *(layers.Flatten(), layers.Dense(128, "relu"), layers.Dropout(0.2)), epochs=5
    ),
    "Deep Learning with Python, chapter 2": peer(
        *(layers.Flatten(), layers.Dense(512, "relu")),
        optimizer="rmsprop",
        epochs=5,
        batch_size=128,
    ),
    "scikit-learn, MLPClassifier((128,), max_iter=10)": scikit_learn,
    "keras.io, simple MNIST convnet": peer(
        *CONVOLUTIONS, epochs=15, batch_size=128, validation_split=0.1
    ),
}


def reached(accuracy, notes):
    """Return the seconds after which a training first had an accuracy; infinite if never."""
    return next((seconds for seconds, share in notes if share >= accuracy), np.inf)


def main(repeats=3):
    bar = keras.utils.Progbar(repeats * len(OWN | PEERS), unit_name="network")
    runs = {name: [] for name in OWN | PEERS}
    for seed in range(repeats):
        for name, run in (OWN | PEERS).items():
            runs[name].append(run(seed))
            bar.add(1)
    try:
        runs["PyTorch's MNIST example"] = [pytorch()]
    except ModuleNotFoundError:
        print("\nPyTorch's example is left out: torch is not installed.")

    print(f"\n{'network':48} seconds  accuracy  times as long")
    for name, found in runs.items():
        ends = [run[-1] for run in found] if name in OWN else found
        seconds, accuracy = median(s for s, _ in ends), mean(a for _, a in ends)
        print(f"{name:48} {seconds:7.1f}  {accuracy:8.2%}", end="")
        if name not in OWN:
            first = [[reached(accuracy, notes) for notes in runs[own]] for own in OWN]
            print(f"  {seconds / min(map(median, first)):13.1f}", end="")
        print()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
