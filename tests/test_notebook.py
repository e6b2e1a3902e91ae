"""Checks of the notebook's file, and of the notebook without MNIST.

The comparison of its outputs is nbval's: see pyproject.toml and conftest.py.
"""

import ast
import base64
import os
import re
import subprocess
import sys

import nbformat
import pytest
from bands import read_bands, sanitized
from nbconvert import PythonExporter
from refresh import NOTEBOOK, ROOT, TEASER, figures, printed, readme_images

notebook = nbformat.read(NOTEBOOK, as_version=4)
cells = {cell.id: cell for cell in notebook.cells}
code_cells = [cell for cell in notebook.cells if cell.cell_type == "code"]


def definitions():
    """Return the functions that the notebook defines, by name, and what it imports.

    Nothing else is run: no training, no figure.
    """
    trees = [ast.parse(cell.source).body for cell in code_cells]
    kept = ast.Import, ast.ImportFrom, ast.FunctionDef
    body = [node for tree in trees for node in tree if isinstance(node, kept)]
    (seed,) = re.findall(r"^SEED = (\d+)$", cells["seed"].source, re.MULTILINE)
    names = {"SEED": int(seed)}
    exec(compile(ast.Module(body, []), NOTEBOOK.name, "exec"), names)  # noqa: S102
    return names


def test_is_valid():
    nbformat.validate(notebook)


def test_was_executed_in_order():
    counts = [cell.execution_count for cell in code_cells]
    assert counts == list(range(1, len(code_cells) + 1))


def test_has_no_errors_or_log_lines():
    for cell in code_cells:
        for output in cell.outputs:
            assert output.output_type != "error", cell.id
            assert output.get("name") != "stderr", cell.id


def test_has_no_magics_or_shell_commands():
    for cell in code_cells:
        assert not re.search(r"^\s*[%!]", cell.source, re.MULTILINE), cell.id


def test_has_no_path_of_a_machine():
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w~$.])/(?:root|home|Users|tmp|work)/\w", text)
    assert not re.search(r"[A-Z]:\\{1,4}\w+\\", text)


def test_is_small():
    assert NOTEBOOK.stat().st_size < 1_500_000


FOLDED = {
    "cellView": "form",
    "jupyter": {"source_hidden": True},
    "tags": ["hide-input"],
}


def test_folded_cells_are_folded_in_every_viewer():
    for cell in code_cells:
        folded = {key: cell.metadata[key] for key in FOLDED if key in cell.metadata}
        assert folded == (FOLDED if cell.source.startswith("# @title ") else {}), (
            cell.id
        )


def test_figures_have_alternative_texts():
    for cell_id in figures(notebook):
        assert len(cells[cell_id].metadata["alt"]) > 20, cell_id


def test_saved_outputs_lie_within_their_bands():
    for cell_id, lines in read_bands().items():
        if cell_id.startswith("picture "):
            assert cell_id.removeprefix("picture ") in figures(notebook)
            continue
        text = sanitized(printed(notebook)[cell_id], cell_id, same=False)
        assert [line for line in text.splitlines() if "{" in line] == lines


TEST_DATA = {"x_test", "y_test", "test_images", "test_labels"}
# The only cells that may use the test set: they load it, measure, and show results.
REPORTS = {
    *("load-mnist", "load", "test", "predict", "confusion-plot", "sample-predictions"),
    *("doubt", "mistakes", "scoreboard", "compare", "remaining", "save"),
    "taught",
}
CHOOSES = {"fit", "train", "teach", "callbacks", "compile"}


def names_in(cell):
    """Return all names and attributes that the code of a cell mentions."""
    nodes = list(ast.walk(ast.parse(cell.source)))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    return names | {node.attr for node in nodes if isinstance(node, ast.Attribute)}


def test_no_cell_trains_or_chooses_on_test_images():
    for cell in code_cells:
        names = names_in(cell)
        if cell.id not in REPORTS:
            assert not names & TEST_DATA, cell.id
        elif cell.id != "load-mnist":
            assert not names & CHOOSES, cell.id
    order = [cell.id for cell in notebook.cells]
    reports = [i for i in order if i in REPORTS - {"load-mnist", "load"}]
    if reports:
        assert order[order.index(reports[0]) - 1] == "evaluate"


def test_compares_all_outputs():
    for cell in code_cells:
        assert cell.metadata.get("tags", []) in ([], ["hide-input"]), cell.id
        assert "NBVAL_" not in cell.source, cell.id


def test_images_are_the_notebooks_own_figures():
    assert sorted(path.stem for path in (ROOT / "images").iterdir()) == readme_images()
    for name in readme_images():
        picture = base64.b64decode(figures(notebook)[name])
        assert (ROOT / "images" / f"{name}.png").read_bytes() == picture, name


def test_teaser_is_the_notebooks_own_figure():
    picture = f"(data:image/png;base64,{figures(notebook)[TEASER]})"
    assert picture in cells["teaser"].source


@pytest.fixture(scope="module")
def script_output(tmp_path_factory):
    """What the notebook prints, run as a script without network and cache."""
    home = tmp_path_factory.mktemp("home")
    script = home / "notebook.py"
    source, _ = PythonExporter().from_notebook_node(notebook)
    script.write_text(source, encoding="utf-8")
    nowhere = "http://127.0.0.1:9"
    run = subprocess.run(
        [sys.executable, script],
        check=False,
        cwd=home,
        env=os.environ
        | {"HOME": str(home), "USERPROFILE": str(home), "KERAS_HOME": str(home)}
        | {"http_proxy": nowhere, "https_proxy": nowhere, "MPLBACKEND": "agg"}
        | {"PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_says_in_one_sentence_that_mnist_cannot_be_had(script_output):
    (message,) = re.findall(
        r"^MNIST could not be loaded.*$", script_output, re.MULTILINE
    )
    assert "scikit-learn" in message
    assert "connect to the internet" in message


def test_learns_scikit_learns_digits_without_mnist(script_output):
    accuracy = re.search(r"Test accuracy: ([\d.]+)%", script_output)
    assert float(accuracy[1]) >= 90


@pytest.fixture(scope="module")
def build_model():
    return definitions()["build_model"]


@pytest.mark.parametrize("hidden_units", [(), (128,), [64, 32, 16]])
def test_builds_the_layers_asked_for(build_model, hidden_units):
    model = build_model(hidden_units, activation="tanh")
    *hidden, output = [layer for layer in model.layers if hasattr(layer, "units")]
    assert [layer.units for layer in hidden] == list(hidden_units)
    assert {layer.activation.__name__ for layer in hidden} <= {"tanh"}
    assert model.output_shape == (None, 10)
    assert output.activation.__name__ == "softmax"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"hidden_units": (0,)}, ValueError, "positive integer"),
        ({"hidden_units": (-5,)}, ValueError, "positive integer"),
        ({"hidden_units": (1.5,)}, ValueError, "positive integer"),
        ({"hidden_units": 128}, TypeError, "not iterable"),
        ({"hidden_units": (8,), "activation": "rleu"}, ValueError, "rleu"),
    ],
)
def test_bad_input_ends_in_a_clear_error(build_model, arguments, error, message):
    with pytest.raises(error, match=message):
        build_model(**arguments)
