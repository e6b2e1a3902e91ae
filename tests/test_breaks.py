"""Breaks copies of the notebook on purpose: the right check must notice each.

    python -m pytest -m slow tests/test_breaks.py

Each copy has one piece of code changed, and is run by pytest as the notebook is, up to
the first failure. It keeps only the cells that the noticing one depends on.
"""

import os
import re
import shutil
import subprocess
import sys
from symtable import symtable
from typing import NamedTuple

import nbformat
import pytest
from common import NOTEBOOK, ROOT, code_cells, fingerprint, read

pytestmark = pytest.mark.slow


class Break(NamedTuple):
    """What is broken, and the test, or other cell's outputs, that must notice it."""

    cell: str
    code: str
    instead: str
    noticed_by: str = ""


LEAK = "test_notebook.py::test_no_cell_trains_or_chooses_on_test_images"
MADE = "test_prepare_digit.py::test_makes_it_as_mnist_was_made"
PHOTOS = "test_prepare_digit.py::test_reads_photographs"
PAD = "test_pad.py::test_page_has_the_network_that_was_taught"
SHOWN = "test_claims.py::test_confusion_matrix_shows_all_images_and_no_zeros"
TAUGHT = "test_claims.py::test_teaching_mends_other_writers_digits"
PIXELS = "test_pictures.py::test_picture"
AFTER = {PAD: "pad", SHOWN: "confusion-plot", TAUGHT: "taught", PIXELS: "counts"}
LOADED = "load_mnist()"

# Noticed on every machine, within the bands.
ALWAYS = [
    # The data
    Break("load", LOADED, f"{LOADED}\nnp.random.shuffle(train_labels)", "first-digit"),
    Break("load", LOADED, f"{LOADED}\nnp.random.shuffle(test_labels)", "test"),
    Break("load", LOADED, f"{LOADED}\ntrain_labels[train_labels == 9] = 4", "counts"),
    Break("load", LOADED, f"{LOADED}\ntrain_images[:] = 255 - train_images", "means"),
    Break(
        "load",
        LOADED,
        f"{LOADED}\ntrain_images = train_images[..., ::-1]",
        "first-digit",
    ),
    Break("test", "test_images.", "test_images[..., ::-1]."),
    # Its preparation
    Break("test", " / 255", ""),
    Break("test", " / 255", " / 255 / 255"),
    Break("one-hot", "(digits_val,", "((digits_val + 1) % 10,", "compile"),
    Break("test", "(test_labels,", "((test_labels + 1) % 10,"),
    Break("means", "== digit]", "== 9 - digit]"),
    Break("nearest-mean", "argmin", "argmax"),
    # The network, its loss and its gradient
    Break("model", '"relu"', '"sigmoid"', "before"),
    Break("model", '"softmax"', '"sigmoid"', "before"),
    Break("loss-numbers", "np.log(", "np.log2("),
    Break("valley", "/ 0.2", "/ -0.2"),
    Break("loss-if", "changed[9, 5]", "changed[9, :]", "valley"),
    Break("valley", "slope=slope", "slope=-slope"),
    Break("forward", " + biases_1", ""),
    Break("forward", "np.maximum(0, pixels", "(pixels"),
    # Training
    Break("compile", '"adam"', '"sgd"', "fit"),
    Break("fit", "(x_val, y_val)", "(x_train[:6000], y_train[:6000])"),
    Break("fit", "(x_val, y_val)", "(test_images / 255, test_labels)", LEAK),
    Break("train", "(x_val, y_val)", "(x_test, y_test)", LEAK),
    Break("test", "evaluate(x_test, y_test", "evaluate(x_train, y_train"),
    # Evaluation
    Break("test", "len(x_test)", "len(x_train)"),
    Break("test", "2 * np.sqrt", "np.sqrt"),
    Break("confusion-plot", "(test_labels, pred", "(predictions, pred"),
    Break("confusion-plot", "range(10))\n", "range(10)).T\n"),
    Break("confusion-plot", "range(10))", "range(9, -1, -1))"),
    Break("mistakes", "predictions !=", "predictions =="),
    Break("misread", "read !=", "read =="),
    # Figures
    Break("first-digit", "train_images[0],", "train_images[1],"),
    Break("first-digits", "train_labels[:20]", "train_labels[1:21]"),
    Break("counts", "x=train_labels", "x=9 - train_labels"),
    Break("curves", "index=range(1, 11)", "index=np.arange(0.5, 10)"),
    Break("curves", '"loss", "val_loss"', '"loss", "accuracy"'),
    Break("confusion-plot", 'xlabel("read as")', 'xlabel("true digit")'),
    Break("confusion-plot", "annot=confusion, ", ""),
    Break("confusion-plot", "mask=confusion == 0, ", "", SHOWN),
    Break(
        "sample-predictions",
        "show_images(test_images[:12]",
        "show_images(test_images[1:13]",
    ),
    Break("sample-predictions", "zip(predictions,", "zip(predictions[1:],"),
    Break("weights", "weights_1.T.", "weights_1."),
    Break("variations", "training=True", "training=False"),
    Break("edge", "(seven, upper_edge))", "(seven, upper_edge[::-1]))"),
    # Pictures from elsewhere
    Break("centre", "ndimage.center_of_mass(small)", "(10, 4)", MADE),
    Break(
        "find-ink",
        "ndimage.grey_closing(grey, size=(window, window))",
        "np.full(grey.shape, 255.0)",
        "show-ink",
    ),
    Break(
        "keep-digit",
        "np.isin(spots, np.flatnonzero(sizes > sizes.max() / 20))",
        "spots > 0",
        "show-small",
    ),
    Break("keep-digit", "sizes = inside", "pass", PHOTOS),
    Break(
        "teach",
        "x_train[:20_000], np",
        "np.repeat(images[:1], 20_000, axis=0), np",
        "taught",
    ),
    Break("teach", "CosineDecay(0.001,", "CosineDecay(0.0,", TAUGHT),
    Break("teach-others", "target[examples])", "target[examples][::-1])", "taught"),
    Break("teach-others", "target[:half]", "target", LEAK),
    Break("pad", "= taught_model.layers[-1]", "= build_convolutional()", PAD),
]
# Small changes, noticed where the machine computes as the one that saved the outputs.
EXACT = [
    Break("seed", "SEED = 42", "SEED = 43", "before"),
    Break("fit", "epochs=10,", "epochs=10, shuffle=False,"),
    Break("compile", '"adam"', '"adamw"', "fit"),
    Break("mistakes", "(test_images[worst]", "(test_images[:12]"),
    Break("confusion-plot", "    mistakes, mask", "    mistakes.T, mask"),
    Break("counts", '"C0"', '"C1"', PIXELS),
]


def scopes(table):
    """Yield a symbol table and all those in it."""
    yield table
    for child in table.get_children():
        yield from scopes(child)


def needed(cells, last):
    """Return the ids of the cells that the last one depends on, and its own."""
    ids, kept, wanted = list(cells), {"seed"}, set()
    for cell_id in reversed(ids[: ids.index(last) + 1]):
        source = cells[cell_id].source
        top = symtable(source, cell_id, "exec")
        symbols = top.get_symbols()
        made = {s.get_name() for s in symbols if s.is_assigned() or s.is_imported()}
        changed = re.findall(r"\w+(?=\.(?:compile|fit)\()|(?<=train\()\w+", source)
        if cell_id == last or wanted & made.union(changed):
            kept.add(cell_id)
            for table in scopes(top):
                symbols = [s for s in table.get_symbols() if s.is_referenced()]
                used = {s.get_name() for s in symbols if table is top or s.is_global()}
                wanted |= used
            wanted -= made
    return kept


def first_failure(folder, tests, computes_as):
    """Run pytest in a folder; return the id of the first cell, or the test, that fails.

    Args:
        folder: where the copy of the repository is.
        tests: what pytest runs.
        computes_as: the fingerprint that the copy takes for this machine's.
    """
    options = ["-x", "-q", "-rf", "--tb=short", "-p", "no:cacheprovider"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *tests],
        check=False,
        cwd=folder,
        env=os.environ | {"NOTEBOOK_FINGERPRINT": computes_as},
        capture_output=True,
        encoding="utf-8",
    )
    failed = re.search(r"(?m)^FAILED \S+?::(?:Cell (\d+)|(\w+))", run.stdout)
    if not failed:
        assert run.returncode == 0, run.stdout
        return None
    assert failed[2] or "Cell outputs differ" in run.stdout, run.stdout
    cells = list(code_cells(read(folder / NOTEBOOK.name)))
    return cells[int(failed[1])] if failed[1] else failed[2]


@pytest.fixture(scope="module")
def here():
    """The fingerprint of this machine."""
    return fingerprint()


NOTHING = [Break(cell, "", "") for cell in ("mistakes", "show-small", "pad")]


@pytest.mark.parametrize(
    "broken", [*ALWAYS, *EXACT, *NOTHING], ids=lambda b: f"{b.cell} {b.instead}"
)
def test_break_is_noticed(broken, here, tmp_path):
    copy, exact = read(), broken in EXACT
    if exact and here != copy.metadata["fingerprint"]:
        pytest.skip(
            "this machine computes otherwise than the one that saved the outputs"
        )
    cells = code_cells(copy)
    cell = cells[broken.cell]
    assert broken in NOTHING or cell.source.count(broken.code) == 1
    cell.source = cell.source.replace(broken.code, broken.instead)
    # No break needs these trainings, but the results of later ones are kept with them.
    cells["train-recipes"].source, cells["train-recipes"].outputs = "histories = {}", []
    noticed_by = broken.noticed_by or broken.cell
    path, _, wanted = noticed_by.rpartition("::")
    last = AFTER.get(noticed_by, wanted)
    if last in cells:
        kept = needed(cells, last)
        copy.cells = [cell for cell in copy.cells if cell.id in kept]
    hidden = shutil.ignore_patterns(".*", "__pycache__")
    folder = shutil.copytree(ROOT, tmp_path / "copy", ignore=hidden)
    nbformat.write(copy, folder / NOTEBOOK.name)
    tests = [NOTEBOOK.name] * (last in cells) + [f"tests/{broken.noticed_by}"] * bool(
        path
    )
    failed = first_failure(folder, tests, here if exact else "another")
    assert failed == (None if broken in NOTHING else wanted)
