"""Time the notebook's networks against what a reader would otherwise pick.

    python tests/benchmark.py [repeats]

trains every network in turn, `repeats` times (3 if not given) with other seeds,
each with its published settings (scikit-learn's with the size of the first network
and ten passes), and prints the median seconds and the mean test accuracy. It needs
MNIST. PyTorch's example, by far the longest, runs once,
and only if torch is installed.

The last column is the one to read: the seconds that the other network takes in
`fit`, over the seconds after which a network of the notebook first reads at
least as many test images right. The clock stops while that is measured. The notebook's
networks train on 54,000 images, the others on all 60,000 as they are published.
"""

import sys
import time
import warnings
from statistics import mean, median

import keras
import numpy as np
from keras import layers
from sklearn.neural_network import MLPClassifier
from test_notebook import cells, definitions

(train_images, train_labels), (test_images, test_labels) = (
    keras.datasets.mnist.load_data()
)
x_train, x_test = (np.float32(images) / 255 for images in (train_images, test_images))
one_hot = keras.utils.to_categorical(train_labels)
N_TRAIN = 54_000  # the notebook holds the rest back for validation


def accuracy_of(model):
    """Return the share of test images that a Keras model reads right."""
    answers = keras.ops.convert_to_numpy(model(x_test, training=False)).argmax(axis=1)
    return np.mean(answers == test_labels)


class Watch(keras.callbacks.Callback):
    """Notes (seconds, test accuracy) every 64 batches and at the end."""

    def on_train_begin(self, logs=None):
        self.notes, self.start = [], time.perf_counter()

    def note(self):
        stop = time.perf_counter()
        self.notes.append((stop - self.start, accuracy_of(self.model)))
        self.start += time.perf_counter() - stop

    def on_train_batch_end(self, batch, logs=None):
        if (batch + 1) % 64 == 0:
            self.note()

    def on_train_end(self, logs=None):
        self.note()


def notebook_networks(seed):
    """Yield (name, model, optimizer, labels, options of `fit`) as in the notebook."""
    names = definitions()
    exec(cells["augmentation"].source, names)  # noqa: S102
    names |= {"SEED": seed, "x_train": x_train[:N_TRAIN]}
    keras.utils.set_random_seed(seed)
    dense, convolutional = names["build_model"], names["build_convolutional"]
    falling, augmentation = names["falling_rate"], names["augmentation"]

    def augmented(model):
        return keras.Sequential([augmentation, model])

    labels = one_hot[:N_TRAIN]
    smooth = 0.95 * labels + 0.005
    for name, model, start, y_train, options in [
        ("first network", dense([128]), None, labels, (10, 128)),
        ("the same, falling rate", dense([128]), 0.003, labels, (10, 128)),
        ("convolutional", convolutional(), 0.01, labels, (2, 64)),
        (
            "convolutional, augmented",
            augmented(convolutional()),
            0.005,
            smooth,
            (8, 64),
        ),
        ("dense, augmented", augmented(dense([512, 512])), 0.002, labels, (18, 256)),
    ]:
        rate = falling(start, *options) if start else 0.001
        epochs, batch_size = options
        yield name, model, rate, y_train, {"epochs": epochs, "batch_size": batch_size}


def fit_keras(model, optimizer, **options):
    """Train a peer on whole-number labels; return (seconds, test accuracy)."""
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    start = time.perf_counter()
    model.fit(x_train, train_labels, verbose=0, **options)
    return time.perf_counter() - start, accuracy_of(model)


def quickstart():
    """TensorFlow's quickstart for beginners."""
    model = keras.Sequential([keras.Input((28, 28)), layers.Flatten()])
    model.add(layers.Dense(128, activation="relu"))
    model.add(layers.Dropout(0.2))
    model.add(layers.Dense(10, activation="softmax"))
    return fit_keras(model, "adam", epochs=5)


def deep_learning_with_python():
    """Deep Learning with Python, chapter 2."""
    model = keras.Sequential([keras.Input((28, 28)), layers.Flatten()])
    model.add(layers.Dense(512, activation="relu"))
    model.add(layers.Dense(10, activation="softmax"))
    return fit_keras(model, "rmsprop", epochs=5, batch_size=128)


def keras_convnet():
    """keras.io, Simple MNIST convnet."""
    model = keras.Sequential([keras.Input((28, 28)), layers.Reshape((28, 28, 1))])
    for filters in (32, 64):
        model.add(layers.Conv2D(filters, 3, activation="relu"))
        model.add(layers.MaxPooling2D())
    model.add(layers.Flatten())
    model.add(layers.Dropout(0.5))
    model.add(layers.Dense(10, activation="softmax"))
    return fit_keras(model, "adam", epochs=15, batch_size=128, validation_split=0.1)


def scikit_learn():
    """scikit-learn, MLPClassifier((128,), max_iter=10)."""
    network = MLPClassifier((128,), max_iter=10)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ten passes do not converge, as intended
        network.fit(x_train.reshape(-1, 784), train_labels)
    seconds = time.perf_counter() - start
    return seconds, network.score(x_test.reshape(-1, 784), test_labels)


def pytorch():
    """PyTorch's MNIST example."""
    import torch
    from torch import nn

    inputs = torch.from_numpy((x_train[:, None] - 0.1307) / 0.3081)
    labels = torch.from_numpy(train_labels.astype("int64"))
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
            nn.functional.cross_entropy(
                network(inputs[batch]), labels[batch]
            ).backward()
            optimizer.step()
        schedule.step()
    seconds = time.perf_counter() - start
    network.eval()
    with torch.no_grad():
        answers = network(torch.from_numpy((x_test[:, None] - 0.1307) / 0.3081))
    return seconds, np.mean(answers.argmax(dim=1).numpy() == test_labels)


def main(repeats=3):
    peers = [quickstart, deep_learning_with_python, scikit_learn, keras_convnet]
    bar = keras.utils.Progbar(repeats * (5 + len(peers)), unit_name="network")
    own, others = {}, {}
    for seed in range(repeats):
        for name, model, rate, y_train, options in notebook_networks(seed):
            adam, watch = keras.optimizers.Adam(rate), Watch()
            loss = "categorical_crossentropy"
            model.compile(adam, loss, metrics=["accuracy"], steps_per_execution=32)
            model.fit(
                x_train[:N_TRAIN],
                y_train,
                verbose=0,
                callbacks=[watch],
                **options,
            )
            own.setdefault(name, []).append(watch.notes)
            bar.add(1)
        for peer in peers:
            others.setdefault(peer.__doc__, []).append(peer())
            bar.add(1)
    try:
        others[pytorch.__doc__] = [pytorch()]
    except ModuleNotFoundError:
        print("PyTorch's example is left out: torch is not installed.")

    print(f"\n{'network':42} seconds  accuracy  times as long")
    for name, runs in own.items():
        seconds = median(run[-1][0] for run in runs)
        accuracy = mean(run[-1][1] for run in runs)
        print(f"{name:42} {seconds:7.1f}  {accuracy:8.2%}")
    for name, runs in others.items():
        seconds, accuracy = median(s for s, _ in runs), mean(a for _, a in runs)
        reached = [
            median(next((s for s, a in run if a >= accuracy), np.inf) for run in runs)
            for runs in own.values()
        ]
        ratio = seconds / min(reached)
        print(f"{name:42} {seconds:7.1f}  {accuracy:8.2%}  {ratio:13.1f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
