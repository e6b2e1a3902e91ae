"""Time the notebook's networks against what a reader would otherwise pick.

    python tests/benchmark.py [repeats]

trains every network of the table `repeats` times (3) with other seeds, and prints the median
seconds of training and the mean test accuracy. The last column is the seconds of a published
network, divided by those in which the fastest of the others first reaches its accuracy.
"""

import sys
import time
from statistics import mean, median

import keras
import numpy as np
from keras import layers

from common import code_cells, definitions, read

(x, y), (x_test, y_test) = keras.datasets.mnist.load_data()
x, x_test, hot = np.float32(x) / 255, np.float32(x_test) / 255, keras.utils.to_categorical(y)
HELD_BACK = 6000  # training images, for validation, by the notebook's networks
names, cells = definitions(), code_cells(read())
for cell in ("build-convolutional", "augmentation"):
    exec(cells[cell].source, names)  # noqa: S102
convolutional, pool, drop = names["conv_model"], layers.MaxPooling2D, layers.Dropout


def conv(filters, width=3, stride=1):
    return layers.Conv2D(filters, width, stride, activation="relu")


def network(*hidden):
    output = [layers.Flatten(), layers.Dense(10, activation="softmax")]
    return keras.Sequential([keras.Input((28, 28, 1)), *hidden, *output])


# {name: (network, epochs, batch size, rate that falls to 0; None: Adam's own)}
OWN = {
    "first": (names["build_model"]([128]), 10, 128, None),
    "convolutional": (convolutional, 7, 128, 0.005),
    "augmented": (keras.Sequential([names["augmentation"], convolutional]), 7, 128, 0.005),
    # Not of the notebook: how fast one can be.
    "strides for pools": (network(conv(16, 5, 2), conv(32), pool(), conv(64)), 3, 128, 0.007),
    "quick": (network(conv(16, 5, 2), conv(32, 5, 2), layers.BatchNormalization()), 1, 64, 0.01),
}
quickstart = network(layers.Flatten(), layers.Dense(128, activation="relu"), drop(0.2))
convnet = network(conv(32), pool(), conv(64), pool(), drop(0.5))
PUBLISHED = {
    "TensorFlow's quickstart": (quickstart, 5, 32, None),
    "keras.io, MNIST convnet": (convnet, 15, 128, None),
}


class Watch(keras.callbacks.Callback):
    """Notes (seconds, test accuracy) every `steps_per_execution` batches; the clock stops meanwhile."""

    def on_train_begin(self, logs=None):
        self.notes, self.start = [], time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        stop = time.perf_counter()
        answers = np.argmax(self.model(x_test, training=False), axis=1)
        self.notes.append((stop - self.start, np.mean(answers == y_test)))
        self.start += time.perf_counter() - stop


def seconds_until(notes, accuracy):
    return next((seconds for seconds, reached in notes if reached >= accuracy), np.inf)


def main(repeats=3):
    runs = {name: [] for name in OWN | PUBLISHED}
    for seed in range(repeats):
        for name, (untrained, epochs, batch_size, rate) in (OWN | PUBLISHED).items():
            keras.utils.set_random_seed(seed)
            model, watch = keras.models.clone_model(untrained), Watch()
            n = len(x) - HELD_BACK * (name in OWN)
            steps = epochs * -(-n // batch_size)
            falling = rate and keras.optimizers.schedules.CosineDecay(rate, steps)
            adam = keras.optimizers.Adam(falling or 0.001)
            model.compile(adam, "categorical_crossentropy", steps_per_execution=32)
            model.fit(x[:n], hot[:n], batch_size, epochs, verbose=0, callbacks=[watch])
            runs[name].append(watch.notes)
    print(f"{'network':25} seconds  accuracy  times as long")
    for name, found in runs.items():
        seconds, accuracy = median(n[-1][0] for n in found), mean(n[-1][1] for n in found)
        fastest = min(median(seconds_until(n, accuracy) for n in runs[own]) for own in OWN)
        times = "" if name in OWN else f"{seconds / fastest:13.1f}"
        print(f"{name:25} {seconds:7.1f}  {accuracy:8.2%}  {times}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
