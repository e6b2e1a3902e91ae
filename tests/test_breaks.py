"""Breaks copies of the notebook on purpose: the right test must notice each.

    python -m pytest -m slow tests/test_breaks.py

Each copy has one piece of code changed and is run by pytest as the notebook is,
up to the first test that fails. To save time, it ends after the cell that is to
notice the break, and leaves out trainings that do not concern it.

Most breaks must be noticed even within the bands that other machines are allowed.
The fine ones, small changes of the training and of figures that show results, are
noticed where the machine computes as the one that saved the outputs.
"""

import re
import shutil
import subprocess
import sys
from copy import deepcopy
from typing import NamedTuple

import nbformat
import pytest
from refresh import NOTEBOOK, ROOT, execute, fingerprint

pytestmark = pytest.mark.slow


class Break(NamedTuple):
    """What is broken, and what must notice it.

    `noticed_by` is the id of the cell whose text differs, "figure" and the id of the
    cell whose figure does, or the name of a test. `without` names cells to leave
    out: "dense" the trainings of part 2 up to early stopping, "part 2" all but that of
    the best network, "all" every training.
    """

    cell: str
    code: str
    instead: str
    noticed_by: str
    without: str = ""


DENSE = [
    *("search", "search-plot", "train-falling", "train-recipes", "recipes-plot"),
    *("too-long", "early-stopping", "train-augmented"),
]
PART_2 = [
    *(*DENSE, "train-convolutional", "filters", "answers"),
    *("scoreboard", "scoreboard-plot", "compare", "remaining", "save"),
]
ALL = [
    *(*PART_2, "fit", "curves", "forward", "weights", "test", "predict"),
    *(
        "confusion-plot",
        "sample-predictions",
        "doubt",
        "mistakes",
        "train-both",
        "save",
    ),
    *("others-resized", "read-photo", "others-prepared", "evidence-plot", "misread"),
    *("teach-others", "taught", "pad", "letters", "noise"),
]
LEFT_OUT = {"": [], "dense": DENSE, "part 2": PART_2, "all": ALL}
TABLE = "test_leaves_out_the_table"
MNIST_LIKE = "test_makes_it_as_mnist_was_made"
PAD = "test_page_has_the_network_that_was_taught"
OTHER_TESTS = {  # before the notebook is run, and after
    **{
        name: ([f"tests/test_prepare_digit.py::{name}"], [])
        for name in (MNIST_LIKE, TABLE)
    },
    PAD: ([], [f"tests/test_pad.py::{PAD}"]),
}
LEAK = "test_no_cell_trains_or_chooses_on_test_images"

WITHIN_BANDS = {
    # The data
    "training labels shuffled": Break(
        "load",
        "load_mnist()",
        "load_mnist()\nnp.random.default_rng(0).shuffle(train_labels)",
        "figure first-digit",
    ),
    "test labels shuffled": Break(
        "load",
        "load_mnist()",
        "load_mnist()\nnp.random.default_rng(0).shuffle(test_labels)",
        "test",
    ),
    "train and test swapped": Break(
        "load",
        "(train_images, train_labels), (test_images, test_labels)",
        "(test_images, test_labels), (train_images, train_labels)",
        "load",
    ),
    "a class dropped": Break(
        "load",
        "load_mnist()",
        "load_mnist()\ntrain_images = train_images[train_labels != 9]",
        "load",
    ),
    "a class read as another": Break(
        "load",
        "load_mnist()",
        "load_mnist()\ntrain_labels[100:][train_labels[100:] == 9] = 4",
        "counts",
    ),
    "images mirrored": Break(
        "load",
        "load_mnist()",
        "load_mnist()\ntrain_images = train_images[..., ::-1]",
        "figure first-digit",
    ),
    "test images mirrored": Break(
        "test", "x_test = test_images", "x_test = test_images[..., ::-1]", "test"
    ),
    # Its preparation
    "no scaling": Break("split", " / 255, [", ", [", "split"),
    "scaled twice": Break("split", " / 255, [", " / 255 / 255, [", "split"),
    "test images not scaled": Break("test", " / 255", "", "test"),
    "test images scaled twice": Break("test", " / 255", " / 255 / 255", "test"),
    "half of the images held back": Break("split", "* 9 // 10", "* 5 // 10", "split"),
    "one-hot off by one": Break(
        "one-hot", "(digits_train, num", "((digits_train + 1) % 10, num", "one-hot"
    ),
    "validation labels one-hot off by one": Break(
        "one-hot", "(digits_val, num", "((digits_val + 1) % 10, num", "compile"
    ),
    "test labels one-hot off by one": Break(
        "test", "(test_labels, num", "((test_labels + 1) % 10, num", "test"
    ),
    "means of other digits": Break(
        "means", "digits_train == digit", "digits_train == 9 - digit", "figure means"
    ),
    "the farthest mean": Break("nearest-mean", "argmin", "argmax", "nearest-mean"),
    # The network and its loss
    "no hidden layer": Break(
        "model", '        keras.layers.Dense(128, activation="relu"),\n', "", "model"
    ),
    "half the width": Break("model", "Dense(128", "Dense(64", "model"),
    "sigmoid": Break("model", '"relu"', '"sigmoid"', "before"),
    "tanh": Break("model", '"relu"', '"tanh"', "before"),
    "no softmax": Break("model", '"softmax"', '"sigmoid"', "before"),
    "loss with another sign": Break(
        "loss-numbers", "-np.log(probability)", "np.log(probability)", "loss-numbers"
    ),
    "loss as another logarithm": Break(
        "loss-numbers", "np.log(", "np.log2(", "loss-numbers"
    ),
    "slope with another sign": Break("valley", "/ 0.2", "/ -0.2", "valley"),
    "another valley": Break("loss-if", "changed[9, 5]", "changed[9, :]", "valley"),
    "forward pass without biases": Break("forward", " + biases_1", "", "forward"),
    "forward pass without ReLU": Break(
        "forward",
        "np.maximum(0, pixels @ weights_1 + biases_1)",
        "pixels @ weights_1 + biases_1",
        "forward",
    ),
    # Training
    "half the epochs": Break("fit", "epochs=10", "epochs=5", "fit"),
    "another optimizer": Break("compile", '"adam"', '"sgd"', "fit"),
    "no validation": Break("fit", "    validation_data=(x_val, y_val),\n", "", "fit"),
    "validated on training images": Break(
        "fit", "(x_val, y_val)", "(x_train[:6000], y_train[:6000])", "fit"
    ),
    "validated on test images": Break(
        "fit", "(x_val, y_val)", "(test_images / 255, y_test)", LEAK
    ),
    "search on test images": Break("train", "(x_val, y_val)", "(x_test, y_test)", LEAK),
    "tested on training images": Break(
        "test", "evaluate(x_test, y_test", "evaluate(x_train, y_train", "test"
    ),
    # Evaluation
    "luck with other images": Break("test", "len(x_test)", "len(x_test) * 99", "test"),
    "confusion matrix transposed": Break(
        "confusion-plot",
        "(test_labels, predictions,",
        "(predictions, test_labels,",
        "confusion-plot",
    ),
    "rows not in order": Break(
        "confusion-plot", "range(10))", "[1, 0, *range(2, 10)])", "confusion-plot"
    ),
    "sample mistakes that are none": Break(
        "mistakes",
        "predictions != test_labels",
        "predictions == test_labels",
        "mistakes",
    ),
    # Figures
    "numbers of another digit": Break(
        "first-digit",
        "train_images[0], annot",
        "train_images[1], annot",
        "figure first-digit",
    ),
    "training labels above other digits": Break(
        "first-digits",
        "titles=train_labels[:20]",
        "titles=train_labels[1:21]",
        "figure first-digits",
    ),
    "one wrong label above a digit": Break(
        "first-digits",
        "titles=train_labels[:20]",
        'titles="5 0 4 1 9 2 1 3 1 7 3 5 3 6 1 7 2 8 6 9".split()',
        "figure first-digits",
    ),
    "curves swapped": Break(
        "curves",
        "index=range(1, 11))",
        'index=range(1, 11)).rename(columns={"loss": "val_loss", "val_loss": "loss"})',
        "curves",
    ),
    "bars of other digits": Break(
        "counts", "x=train_labels", "x=9 - train_labels", "figure counts"
    ),
    "augmentation switched off": Break(
        "variations", "training=True", "training=False", "figure variations", "dense"
    ),
    "filter upside down": Break(
        "edge",
        "ndimage.correlate(seven, upper_edge)",
        "ndimage.correlate(seven, upper_edge[::-1])",
        "figure edge",
        "all",
    ),
    # Later
    "no centring": Break(
        "centre",
        "ndimage.center_of_mass(small)",
        "(10, 4)",
        MNIST_LIKE,
        "all",
    ),
    "paper not removed": Break(
        "find-ink",
        "ndimage.grey_closing(grey, size=(window, window))",
        "np.full(grey.shape, 255.0)",
        "figure show-ink",
        "all",
    ),
    "specks kept": Break(
        "keep-digit",
        "    large = np.isin(spots, np.flatnonzero(sizes > sizes.max() / 20))",
        "    large = spots > 0",
        "figure show-small",
        "all",
    ),
    "the table kept": Break("keep-digit", "sizes = inside", "pass", TABLE, "all"),
    "taught without MNIST": Break(
        "teach",
        "x_train[:20_000], np.repeat",
        "np.repeat(images[:1], 20_000, axis=0), np.repeat",
        "taught",
        "part 2",
    ),
    "taught wrong digits": Break(
        "teach-others",
        "others.target[examples])",
        "others.target[examples][::-1])",
        "taught",
        "part 2",
    ),
    "pad with the weights of an untrained network": Break(
        "pad",
        "network = taught_model.layers[-1]",
        "network = build_convolutional()",
        PAD,
        "part 2",
    ),
}
FINE = {
    "samples of other digits": Break(
        "sample-predictions",
        "show_images(test_images[:12]",
        "show_images(test_images[1:13]",
        "figure sample-predictions",
    ),
    "labels of other digits above the samples": Break(
        "sample-predictions",
        "zip(predictions, sure)",
        "zip(predictions[1:], sure)",
        "figure sample-predictions",
    ),
    "mistakes with other pictures": Break(
        "mistakes",
        "show_images(test_images[worst]",
        "show_images(test_images[:12]",
        "figure mistakes",
    ),
    "mistakes with true and read digit swapped": Break(
        "mistakes",
        "{test_labels[i]}, read as {predictions[i]}",
        "{predictions[i]}, read as {test_labels[i]}",
        "mistakes",
    ),
    "confusion matrix transposed in the figure": Break(
        "confusion-plot",
        "    mistakes, mask",
        "    mistakes.T, mask",
        "figure confusion-plot",
    ),
    "another seed": Break("seed", "SEED = 42", "SEED = 43", "before"),
    "images not shuffled": Break(
        "fit", "epochs=10,", "epochs=10, shuffle=False,", "fit"
    ),
    "a similar optimizer": Break("compile", '"adam"', '"adamw"', "fit"),
    "another batch size": Break("fit", "batch_size=128", "batch_size=120", "fit"),
}
BREAKS = WITHIN_BANDS | FINE


@pytest.fixture(scope="module")
def notebook():
    """The notebook, executed anew if it was saved on a machine that computes otherwise."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    if notebook.metadata["fingerprint"] != fingerprint():
        execute(notebook)
    return notebook


def first_failure(folder, before, after):
    """Run pytest in a folder; return the name of the first test that fails.

    Args:
        folder: where the copy of the notebook and of the tests are.
        before, after: tests to run besides the notebook's cells and figures.
    """
    options = ["-x", "-q", "-rf", "--tb=no", "-p", "no:cacheprovider"]
    leak = f"tests/test_notebook.py::{LEAK}"
    tests = [leak, *before, NOTEBOOK.name, "tests/test_pictures.py", *after]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *tests],
        check=False,
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
    )
    failed = re.search(
        r"^FAILED \S+?::(?:Cell (\d+)|(\w+)(?:\[(.+)\])?)", run.stdout, re.MULTILINE
    )
    assert failed, run.stdout
    cell, test, figure = failed.groups()
    if cell:
        copy = nbformat.read(folder / NOTEBOOK.name, as_version=4)
        return [c.id for c in copy.cells if c.cell_type == "code"][int(cell)]
    return f"figure {figure}" if test == "test_figure" else test


@pytest.mark.parametrize("name", BREAKS)
def test_break_is_noticed(name, notebook, tmp_path):
    broken = BREAKS[name]
    folder = shutil.copytree(
        ROOT, tmp_path / "copy", ignore=shutil.ignore_patterns(".*", "__pycache__")
    )
    copy = deepcopy(notebook)
    if name in WITHIN_BANDS:
        del copy.metadata["fingerprint"]
    (cell,) = (cell for cell in copy.cells if cell.id == broken.cell)
    assert cell.source.count(broken.code) == 1
    cell.source = cell.source.replace(broken.code, broken.instead)
    left_out = LEFT_OUT[broken.without]
    for cell in copy.cells:
        if cell.id == "train-recipes" and cell.id in left_out:
            cell.source, cell.outputs = "histories = {}", []
    copy.cells = [
        cell
        for cell in copy.cells
        if cell.id not in left_out or cell.id == "train-recipes"
    ]
    ids = [cell.id for cell in copy.cells]
    *_, last = broken.noticed_by.split()
    end = {LEAK: "one-hot"}.get(last, last)
    if end in ids and broken.cell in ids[: ids.index(end) + 1]:
        del copy.cells[ids.index(end) + 1 :]
    nbformat.write(copy, folder / NOTEBOOK.name)
    before, after = OTHER_TESTS.get(broken.noticed_by, ([], []))
    assert first_failure(folder, before, after) == broken.noticed_by
