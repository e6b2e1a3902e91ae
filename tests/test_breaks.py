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

import nbformat
import pytest
from refresh import NOTEBOOK, ROOT, execute, fingerprint

pytestmark = pytest.mark.slow

RECIPES = ("train-recipes", "recipe-scores", "recipes-plot", "claims")
DENSE = (*RECIPES, "train-augmented")
CONVOLUTIONAL = (*DENSE, "train-convolutional", "filters", "filters-words")
SCOREBOARD = (*CONVOLUTIONAL, "scoreboard", "scoreboard-plot", "compare-all")

# what is broken: cell, code, code instead, the cell whose output or figure tells
DATA = {
    "training labels shuffled": (
        "load-mnist",
        "= train, test",
        "= train, test\nnp.random.default_rng(0).shuffle(train_labels)",
        "first-digits",
    ),
    "test labels shuffled": (
        "load-mnist",
        "= train, test",
        "= train, test\nnp.random.default_rng(0).shuffle(test_labels)",
        "test",
    ),
    "train and test swapped": (
        "load-mnist",
        "= train, test",
        "= test, train",
        "shapes",
    ),
    "a class dropped": (
        "load-mnist",
        "= train, test",
        "= train, test\ntrain_images = train_images[train_labels != 9]",
        "shapes",
    ),
    "a class read as another": (
        "load-mnist",
        "= train, test",
        "= train, test\ntrain_labels[100:][train_labels[100:] == 9] = 4",
        "counts-words",
    ),
    "images mirrored": (
        "load-mnist",
        "= train, test",
        "= train, test\ntrain_images = train_images[..., ::-1]",
        "figure first-digits",
    ),
    "test images mirrored": (
        "scale",
        "x_test = test_images",
        "x_test = test_images[..., ::-1]",
        "test",
    ),
}
PREPARATION = {
    "no scaling": ("scale", " / 255\nx_test", "\nx_test", "scale"),
    "test images not scaled": ("scale", "/ 255\nprint", "\nprint", "test"),
    "scaled twice": ("scale", "/ 255\nx_test", "/ 255 / 255\nx_test", "scale"),
    "test images scaled twice": ("scale", "/ 255\nprint", "/ 255 / 255\nprint", "test"),
    "one-hot off by one": (
        "one-hot",
        "(train_labels, num_classes=10)",
        "((train_labels + 1) % 10, num_classes=10)",
        "one-hot",
    ),
    "test labels one-hot off by one": (
        "one-hot",
        "(test_labels, num_classes=10)",
        "((test_labels + 1) % 10, num_classes=10)",
        "test",
    ),
    "half of the images held back": (
        "validation",
        "VALIDATION_SPLIT = 0.1",
        "VALIDATION_SPLIT = 0.5",
        "validation",
    ),
}
NETWORK = {
    "no hidden layer": ("summary", "build_model()", "build_model(())", "summary"),
    "another layer": ("summary", "build_model()", "build_model((128, 64))", "summary"),
    "half the width": ("build-model", "(128,), act", "(64,), act", "summary"),
    "sigmoid": ("build-model", 'activation="relu"', 'activation="sigmoid"', "fit"),
    "tanh": ("build-model", 'activation="relu"', 'activation="tanh"', "curves-words"),
    "no softmax": ("build-model", '"softmax"', '"sigmoid"', "predict"),
}
TRAINING = {
    "half the epochs": ("compile", "EPOCHS = 10", "EPOCHS = 5", "fit"),
    "another optimizer": ("compile", "optimizers.Adam(", "optimizers.SGD(", "fit"),
    "a tenth of the rate": (
        "compile",
        "CosineDecay(0.003",
        "CosineDecay(0.0003",
        "fit",
    ),
    "a constant rate": ("compile", "Adam(learning_rate)", "Adam(0.003)", "fit"),
    "no validation": ("fit", "    validation_split=VALIDATION_SPLIT,\n", "", "fit"),
    "another validation split": (
        "fit",
        "validation_split=VALIDATION_SPLIT",
        "validation_data=(x_train[:6000], y_train[:6000])",
        "fit",
    ),
    "tested on training images": (
        "test",
        "evaluate(x_test, y_test",
        "evaluate(x_train, y_train",
        "test",
    ),
}
EVALUATION = {
    "another interval": ("interval", "=0.95", "=0.68", "interval"),
    "confusion matrix transposed": (
        "predict",
        "(test_labels, predictions,",
        "(predictions, test_labels,",
        "confusion-words",
    ),
    "rows not in order": (
        "predict",
        "labels=range(10)",
        "labels=[1, 0, *range(2, 10)]",
        "confusion-words",
    ),
    "report on swapped arguments": (
        "report",
        "(test_labels, predictions,",
        "(predictions, test_labels,",
        "report",
    ),
    "sample mistakes that are none": (
        "mistakes",
        "predictions != test_labels",
        "predictions == test_labels",
        "mistakes-words",
    ),
    "a margin too small": ("margin", "1.96 *", "1.00 *", "margin", RECIPES),
}
FIGURES = {
    "samples of other digits": (
        "sample-predictions",
        "show_images(test_images[:12]",
        "show_images(test_images[1:13]",
        "figure sample-predictions",
    ),
    "labels of other digits above the samples": (
        "sample-predictions",
        "zip(predictions[:12]",
        "zip(predictions[1:13]",
        "sample-words",
    ),
    "training labels above other digits": (
        "first-digits",
        "titles=train_labels[:20]",
        "titles=train_labels[1:21]",
        "figure first-digits",
    ),
    "one wrong label above a digit": (
        "first-digits",
        "titles=train_labels[:20].astype(str)",
        'titles=["5", "0", "4", "1", "9", "2", "1", "3", "1", "7", *"3536172869"]',
        "figure first-digits",
    ),
    "curves swapped": (
        "curves-plot",
        (
            'history.history[metric], "o-", label="training")\n'
            '    axis.plot(epochs, history.history[f"val_{metric}"]'
        ),
        (
            'history.history[f"val_{metric}"], "o-", label="training")\n'
            "    axis.plot(epochs, history.history[metric]"
        ),
        "figure curves-plot",
    ),
    "validation curve that shows training": (
        "curves-plot",
        'history.history[f"val_{metric}"], "s--"',
        'history.history[metric], "s--"',
        "figure curves-plot",
    ),
    "augmentation switched off": (
        "variations",
        "training=True",
        "training=False",
        "figure variations",
        RECIPES,
    ),
    "bars of other digits": (
        "counts",
        "plt.bar(range(10), counts)",
        "plt.bar(range(10), counts[::-1])",
        "figure counts",
    ),
}
LATER = {
    "augmentation left out": (
        "train-augmented",
        "Sequential([augmentation, build_model((512, 256))])",
        "Sequential([build_model((512, 256))])",
        "train-augmented",
        RECIPES,
    ),
    "recipes with another width": (
        "recipes",
        '("B", (128, 128)',
        '("B", (128, 64)',
        "recipes",
    ),
    "convolutional network without its schedule": (
        "train-convolutional",
        ", rate=rate)",
        ")",
        "train-convolutional",
        DENSE,
    ),
    "no centring": (
        "prepare-digit",
        "y, x = ndimage.center_of_mass(small)",
        "y, x = 14.5, 14.5",
        "read-pictures-words",
        SCOREBOARD,
    ),
    "pad with the weights of an untrained network": (
        "pad-weights",
        "conv_layers = best_model.layers[1].layers",
        "conv_layers = build_convolutional(layer_sizes).layers",
        "test_page_has_the_network_that_was_trained",
        SCOREBOARD,
    ),
}
FINE = {
    "training curve labelled as validation": (
        "curves-plot",
        'history.history[metric], "o-", label="training"',
        'history.history[metric], "o-", label="validation"',
        "figure curves-plot",
    ),
    "mistakes with other pictures": (
        "mistakes",
        "show_images(test_images[worst]",
        "show_images(test_images[:12]",
        "figure mistakes",
    ),
    "mistakes with true and read digit swapped": (
        "mistakes",
        'f"{t}, read {p} ',
        'f"{p}, read {t} ',
        "mistakes-words",
    ),
    "confusion matrix transposed in the figure": (
        "confusion-plot",
        "    confusion,\n    mask=right",
        "    confusion.T,\n    mask=right",
        "figure confusion-plot",
    ),
    "best network without augmentation": (
        "train-both",
        "Sequential([augmentation, build_convolutional(layer_sizes)])",
        "Sequential([build_convolutional(layer_sizes)])",
        "train-both",
        (*RECIPES, "train-convolutional", "filters", "filters-words"),
    ),
    "another seed": ("seed", "SEED = 42", "SEED = 43", "curves-words"),
    "images not shuffled": (
        "fit",
        "epochs=EPOCHS",
        "epochs=EPOCHS, shuffle=False",
        "curves-words",
    ),
    "a similar optimizer": (
        "compile",
        "optimizers.Adam(",
        "optimizers.AdamW(",
        "fit",
    ),
    "another batch size": ("fit", "=BATCH_SIZE", "=120", "fit"),
}
WITHIN_BANDS = DATA | PREPARATION | NETWORK | TRAINING | EVALUATION | FIGURES | LATER
BREAKS = WITHIN_BANDS | FINE


@pytest.fixture(scope="module")
def notebook():
    """The notebook, executed anew if it was saved on a machine that computes otherwise."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    if notebook.metadata["fingerprint"] != fingerprint():
        execute(notebook)
    return notebook


def first_failure(folder):
    """Run pytest in a folder; return the name of the first test that fails."""
    options = ["-x", "-q", "-rf", "--tb=no", "-p", "no:cacheprovider"]
    tests = [NOTEBOOK.name, "tests/test_pictures.py", "tests/test_pad.py"]
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
    return f"figure {figure}" if figure else test


@pytest.mark.parametrize("name", BREAKS)
def test_break_is_noticed(name, notebook, tmp_path):
    cell_id, code, instead, noticed_by, *without = BREAKS[name]
    folder = shutil.copytree(
        ROOT, tmp_path / "copy", ignore=shutil.ignore_patterns(".*", "__pycache__")
    )
    copy = deepcopy(notebook)
    if name in WITHIN_BANDS:
        del copy.metadata["fingerprint"]
    (cell,) = (cell for cell in copy.cells if cell.id == cell_id)
    assert cell.source.count(code) == 1
    cell.source = cell.source.replace(code, instead)
    copy.cells = [cell for cell in copy.cells if cell.id not in sum(without, ())]
    ids = [cell.id for cell in copy.cells]
    *_, last = noticed_by.split()
    if last in ids:
        del copy.cells[ids.index(last) + 2 :]  # with the words below a figure
    nbformat.write(copy, folder / NOTEBOOK.name)
    assert first_failure(folder) == noticed_by
