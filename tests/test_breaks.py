"""Breaks copies of the notebook on purpose: the right cells and tests must notice.

    python -m pytest -m slow tests/test_breaks.py

Each copy has some pieces of code changed, which do not touch each other, and is run by
pytest as the notebook is. It keeps only the cells that the noticing ones depend on.
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
from helpers import shorten

pytestmark = pytest.mark.slow


class Break(NamedTuple):
    """What is broken, and the test, or other cell's outputs, that must notice it."""

    cell: str
    code: str
    instead: str
    noticed_by: str = ""


CLAIMS = "test_claims.py::test_"
LUCK = f"{CLAIMS}luck_is_computed_from_what_is_printed"
DOUBT = f"{CLAIMS}doubtful_images_are_doubtful_and_worst_mistakes_are_not"
COUNTED = f"{CLAIMS}confusion_matrix_agrees_with_what_is_printed"
SHOWN = f"{CLAIMS}images_stand_under_their_labels[mistakes]"
SEARCH = f"{CLAIMS}search_is_drawn_as_it_is_printed"
TAUGHT = f"{CLAIMS}teaching_mends_other_writers_digits"
LEAK = "test_notebook.py::test_no_cell_trains_or_chooses_on_test_images"
MADE = "test_prepare_digit.py::test_makes_it_as_mnist_was_made"
PHOTOS = "test_prepare_digit.py::test_reads_photographs"
PAD = "test_pad.py::test_page_has_the_network_that_was_taught"
PIXELS = "test_pictures.py::test_picture[counts]"
# The cells that these tests look at: without a line here, a test sees saved outputs.
AFTER = {
    PAD: ["taught", "pad"],
    COUNTED: ["confusion-plot"],
    DOUBT: ["doubt", "mistakes"],
    LUCK: ["test"],
    SEARCH: ["search-plot"],
    SHOWN: ["mistakes"],
    TAUGHT: ["taught"],
}


def loaded(code, noticed_by):
    """Return a break of the data, by a line after they are loaded."""
    return Break("load", "load_mnist()", f"load_mnist()\n{code}", noticed_by)


# Noticed on every machine, within the bands. Each list is a copy.
ALWAYS = [
    # The data, and how they are prepared
    [loaded("np.random.shuffle(train_labels)", "first-digit")],
    [loaded("np.random.shuffle(test_labels)", "test")],
    [loaded("train_labels[train_labels == 9] = 4", "counts")],
    [loaded("train_images[:] = 255 - train_images", "means")],
    [loaded("train_images = train_images[..., ::-1]", "first-digit")],
    [Break("one-hot", "(digits_val,", "((digits_val + 1) % 10,", "compile")],
    [Break("means", "== digit]", "== 9 - digit]")],
    # The network, and its training
    [Break("model", '"relu"', '"sigmoid"', "before")],
    [Break("model", '"softmax"', '"sigmoid"', "before")],
    [Break("compile", '"adam"', '"sgd"', "fit")],
    [Break("fit", "(x_val, y_val)", "(x_train[:6000], y_train[:6000])")],
    [Break("fit", "(x_val, y_val)", "(test_images / 255, test_labels)", LEAK)],
    [Break("train", "(x_val, y_val)", "(x_test, y_test)", LEAK)],
    # What is computed and drawn, in part 1 and 2
    [
        Break("first-digit", "train_images[0],", "train_images[1],"),
        Break("first-digits", "train_labels[:20]", "train_labels[1:21]"),
        Break("counts", "x=train_labels", "x=9 - train_labels"),
        Break("nearest-mean", "argmin", "argmax"),
        Break("loss-numbers", "np.log(", "np.log2("),
        Break("valley", "/ 0.2", "/ -0.2"),
        Break("curves", "curves.plot", "curves.set_axis(np.arange(0.5, 10)).plot"),
        Break("forward", " + biases_1", ""),
        Break("weights", "weights_1.T.", "weights_1."),
        Break("test", "len(x_test)", "len(x_train)"),
        Break("confusion-plot", "(test_labels, pred", "(predictions, pred"),
        Break("sample-predictions", "(test_images[:12]", "(test_images[1:13]"),
        Break("mistakes", "predictions !=", "predictions =="),
        Break("variations", "training=True", "training=False"),
        Break("falling-rate", "(start, steps)", "(start, 2 * steps)"),
        Break("edge", "(seven, upper_edge))", "(seven, upper_edge[::-1]))"),
    ],
    [
        Break("loss-if", "changed[9, 5]", "changed[9, :]", "valley"),
        Break("curves", '"val_loss"), ("accuracy"', '"accuracy"), ("val_loss"'),
        Break("forward", "np.maximum(0, pixels", "(pixels"),
        Break("weights", "limit=0.3", "limit=1"),
        Break("test", "2 * np.sqrt", "np.sqrt", LUCK),
        Break("confusion-plot", "range(10))\n", "range(10)).T\n"),
        Break("sample-predictions", "zip(predictions,", "zip(predictions[1:],"),
        Break("mistakes", "-sure[wrong]", "sure[wrong]", DOUBT),
    ],
    [
        Break("doubt", "range(10), prob", "range(1, 11), prob"),
        Break("mistakes", "for i in worst]", "for i in wrong[:12]]", SHOWN),
        Break("confusion-plot", 'xlabel("read as")', 'xlabel("true digit")'),
        Break("confusion-plot", "mask=confusion == 0, ", "", COUNTED),
    ],
    [
        Break("valley", "slope=slope", "slope=-slope"),
        Break("test", "evaluate(x_test, y_test", "evaluate(x_train, y_train"),
        Break("confusion-plot", "range(10))", "range(9, -1, -1))"),
        Break("doubt", "sure.argsort()", "(-sure).argsort()", DOUBT),
    ],
    [Break("test", " / 255", " / 255 / 255")],
    [
        Break("confusion-plot", "{mistakes[4, 9]}", "{mistakes[9, 4]}", COUNTED),
        Break(
            "search-plot", "list(search.values())", "sorted(search.values())", SEARCH
        ),
        Break("train-falling", "10, learning_rate=0.003)", "10)"),
        Break("early-stopping", "patience=5", "patience=9"),
        Break("train-convolutional", "(0.01, 2,", "(0.001, 2,"),
    ],
    [Break("train", "Adam(learning_rate)", "Adam()", "train-falling")],
    # Pictures from elsewhere
    [Break("centre", "ndimage.center_of_mass(small)", "(10, 4)", MADE)],
    [
        Break(
            "find-ink",
            "return ndimage",
            "return 0 * grey + 255\n    ndimage",
            "show-ink",
        )
    ],
    [Break("keep-digit", "= np.isin(", "= (spots > 0) | np.isin(", "show-small")],
    [Break("keep-digit", "sizes = inside", "pass", PHOTOS)],
    [
        Break("confusion-plot", "annot=confusion, ", ""),
        Break("misread", "read !=", "read =="),
    ],
    [
        Break(
            "teach",
            "x_train[:20_000], np",
            "images[:1].repeat(20_000, 0), np",
            "teach-others",
        )
    ],
    [Break("teach-others", "target[examples])", "target[examples][::-1])")],
    [Break("teach-others", "target[:half]", "target", LEAK)],
    [
        Break("taught", "network.predict(images", "best_model.predict(images", TAUGHT),
        Break("taught", "network.predict(x_test", "best_model.predict(x_test", PAD),
    ],
    [Break("pad", "= taught_model.layers[-1]", "= build_convolutional()", PAD)],
]
# Small changes, noticed where the machine computes as the one that saved the outputs.
EXACT = [
    [Break("seed", "SEED = 42", "SEED = 43", "before")],
    [Break("fit", "epochs=10,", "epochs=10, shuffle=False,")],
    [
        Break("counts", '"C0"', '"C1"', PIXELS),
        Break("confusion-plot", "    mistakes, mask", "    mistakes.T, mask"),
        Break("mistakes", "(test_images[worst]", "(test_images[:12]"),
    ],
]
NOTHING = [Break("taught", "", ""), Break("pad", "", "")]


def scopes(table):
    """Yield a symbol table and all those in it."""
    yield table
    for child in table.get_children():
        yield from scopes(child)


def needed(cells, last):
    """Return the ids of the cells that some cells depend on, and their own."""
    kept, wanted = {"seed"} | last, set()
    for cell_id in reversed(cells):
        source = cells[cell_id].source
        top = symtable(source, cell_id, "exec")
        symbols = top.get_symbols()
        made = {s.get_name() for s in symbols if s.is_assigned() or s.is_imported()}
        changed = re.findall(
            r"\w+(?=\.(?:compile|fit)\()|(?<=train\()\w+\b(?!\()", source
        )
        if cell_id in last or wanted & made.union(changed):
            kept.add(cell_id)
            for table in scopes(top):
                symbols = [s for s in table.get_symbols() if s.is_referenced()]
                wanted |= {
                    s.get_name() for s in symbols if table is top or s.is_global()
                }
            wanted -= made
    return kept


def noticing(folder, tests, computes_as, *options):
    """Run pytest in a folder; return the cells and tests that notice a difference.

    Args:
        folder: where the copy of the repository is.
        tests: what pytest runs.
        computes_as: the fingerprint that the copy takes for this machine's.
        options: further ones for pytest.

    Returns:
        The ids of cells whose outputs differ and the names of failed tests, as a set, and
        all that pytest printed.
    """
    options = ["-q", "-n0", "-rf", "--tb=short", "-p", "no:cacheprovider", *options]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *tests],
        check=False,
        cwd=folder,
        env=os.environ | {"NOTEBOOK_FINGERPRINT": computes_as, "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
    )
    ids = list(code_cells(read(folder / NOTEBOOK.name)))
    differ = {
        int(n) for n in re.findall(r"Cell (\d+): Cell outputs differ", run.stdout)
    }
    cells = {int(n) for n in re.findall(r"(?m)^FAILED .*::Cell (\d+)", run.stdout)}
    assert cells == differ, f"A broken cell must not raise an error:\n{run.stdout}"
    failed = re.findall(r"(?m)^FAILED (tests/\S+)", run.stdout)
    names = {name if name in tests else name.split("[")[0] for name in failed}
    assert run.returncode == bool(cells or names), run.stdout
    return {ids[n] for n in cells} | {
        n.removeprefix("tests/") for n in names
    }, run.stdout


@pytest.fixture(scope="module")
def here():
    """The fingerprint of this machine."""
    return fingerprint()


@pytest.mark.parametrize(
    "breaks", [*ALWAYS, *EXACT, NOTHING], ids=lambda b: f"{b[0].cell} {b[0].instead}"
)
def test_breaks_are_noticed(breaks, here, tmp_path):
    copy, exact = read(), breaks in EXACT
    if exact and here != copy.metadata["fingerprint"]:
        pytest.skip("this machine computes otherwise than the one that saved")
    shorten(copy)
    cells = code_cells(copy)
    # No break needs these trainings, but the results of later ones are kept with them. So
    # no cell that needs more of them can be broken here.
    cells["train-recipes"].source, cells["train-recipes"].outputs = "histories = {}", []
    for cell, code, instead, _ in breaks:
        assert breaks == NOTHING or cells[cell].source.count(code) == 1
        cells[cell].source = cells[cell].source.replace(code, instead)
    wanted = {b.noticed_by or b.cell for b in breaks}
    tests = [f"tests/{name}" for name in wanted if "::" in name]
    last = wanted.union(*(AFTER.get(name, []) for name in wanted))
    if len(breaks) > 1:
        last |= {b.cell for b in breaks}
    last &= cells.keys()
    if last:
        tests.insert(0, NOTEBOOK.name)
        kept = needed(cells, last)
        copy.cells = [cell for cell in copy.cells if cell.id in kept]
    hidden = shutil.ignore_patterns(".*", "__pycache__", "*env*", "result_images")
    folder = shutil.copytree(ROOT, tmp_path / "copy", ignore=hidden)
    nbformat.write(copy, folder / NOTEBOOK.name)
    stop = ["-x"] if len(breaks) == 1 else []  # what one changes, changes what follows
    found, printed = noticing(folder, tests, here if exact else "another", *stop)
    assert found == (set() if breaks == NOTHING else wanted), printed
