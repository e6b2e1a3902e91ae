"""Checks of the notebook's file, and of the notebook without MNIST.

The comparison of its outputs is nbval's: see conftest.py.
"""

import ast
import base64
import os
import re
import subprocess
import sys
import textwrap

import nbformat
import pytest
from common import (
    NOTEBOOK,
    ROOT,
    TEASER,
    bands,
    code_cells,
    pictures,
    read,
    readme_pictures,
    sanitized,
    texts,
    with_results,
)
from nbconvert import PythonExporter

notebook = read()
cells = code_cells(notebook)
FOLDED = {
    "cellView": "form",
    "jupyter": {"source_hidden": True},
    "tags": ["hide-input"],
}


def test_file_is_as_refresh_saves_it():
    nbformat.validate(notebook)
    assert NOTEBOOK.stat().st_size < 1_500_000
    assert notebook.metadata["fingerprint"]
    counts = [cell.execution_count for cell in cells.values()]
    assert counts == list(range(1, len(cells) + 1))
    for cell_id, cell in cells.items():
        assert not re.search(r"(?m)^\s*[%!]", cell.source), cell_id
        assert not re.search("NBVAL_|PYTEST_VALIDATE", cell.source), cell_id
        for output in cell.outputs:
            assert output.output_type != "error", cell_id
            assert output.get("name") != "stderr", cell_id
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w~$.])/(?:root|home|Users|tmp|work)/\w", text)
    assert not re.search(r"[A-Z]:\\{1,4}\w+\\", text)


def test_folded_cells_are_folded_in_every_viewer():
    for cell_id, cell in cells.items():
        folded = {key: cell.metadata[key] for key in FOLDED if key in cell.metadata}
        wanted = FOLDED if cell.source.startswith("# @title ") else {}
        assert folded == wanted, cell_id


def test_figures_have_words_and_alternative_texts():
    for cell_id in pictures(notebook):
        assert len(cells[cell_id].metadata["alt"]) > 20, cell_id
        assert texts(notebook)[cell_id].count("size: ") == 1, cell_id  # one to a cell


def test_saved_outputs_lie_within_their_bands():
    for cell_id, lines in bands().items():
        text = sanitized(texts(notebook)[cell_id], cell_id, same_machine=False)
        found = [line.strip() for line in text.splitlines()]
        assert [line for line in found if line in lines] == lines, f"{cell_id}:\n{text}"


TEST_DATA = {"x_test", "y_test", "test_images", "test_labels"}
# The only cells that may use the test set: they load it, measure, and show results.
LOAD = ["load-mnist", "load"]
REPORTS = [
    *("test", "predict", "confusion-plot", "sample-predictions", "doubt", "mistakes"),
    *("scoreboard", "compare", "remaining", "save", "taught"),
]
CHOOSES = {"fit", "train", "teach", "callbacks", "compile"}


def test_no_cell_trains_or_chooses_on_test_images():
    for cell_id, cell in cells.items():
        nodes = list(ast.walk(ast.parse(cell.source)))
        used = {node.id for node in nodes if isinstance(node, ast.Name)}
        used |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        if cell_id not in LOAD:
            assert not used & (CHOOSES if cell_id in REPORTS else TEST_DATA), cell_id
    order = [cell.id for cell in notebook.cells]
    assert order[order.index(REPORTS[0]) - 1] == "evaluate"
    assert min(REPORTS, key=order.index) == REPORTS[0]
    # What is taught comes from the half of the other writers that is not measured.
    assert "others.target[:half]" in cells["teach-others"].source
    assert "prepared[half:], others.target[half:]" in cells["taught"].source


def test_images_are_the_notebooks_own():
    images = (ROOT / "images").glob("*.png")
    assert sorted(path.stem for path in images) == readme_pictures()
    saved = pictures(notebook)
    for name in readme_pictures():
        assert (ROOT / "images" / f"{name}.png").read_bytes() == saved[name], name
    (teaser,) = (cell for cell in notebook.cells if cell.id == "teaser")
    text = base64.b64encode(saved[TEASER]).decode()
    assert f"(data:image/png;base64,{text})" in teaser.source


def test_readme_gives_the_results_of_the_notebook():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert with_results(readme, notebook) == readme
    blocks = re.findall(r"<!-- ([\w-]+) -->\n```text", readme)
    assert blocks == ["scoreboard", "evidence-plot", "taught"]


def test_goes_on_without_mnist(tmp_path):
    """The notebook as a script, without network and with a broken cache."""
    source, _ = PythonExporter().from_notebook_node(notebook)
    source = source.replace("epochs=epochs", "epochs=1")  # all but the first network's
    (tmp_path / "notebook.py").write_text(source, encoding="utf-8")
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "mnist.npz").write_bytes(b"not what was published")
    homes, proxies = (
        ("HOME", "USERPROFILE", "KERAS_HOME"),
        ("http_proxy", "https_proxy"),
    )
    environment = dict.fromkeys(homes, str(tmp_path))
    environment |= dict.fromkeys(proxies, "http://127.0.0.1:9")
    environment |= {"MPLBACKEND": "agg", "PYTHONIOENCODING": "utf-8"}
    run = subprocess.run(
        [sys.executable, "notebook.py"],
        check=False,
        cwd=tmp_path,
        env=os.environ | environment,
        capture_output=True,
        encoding="utf-8",
    )
    assert run.returncode == 0, run.stderr
    (message,) = re.findall(r"(?m)^MNIST could not be loaded.*$", run.stdout)
    assert "scikit-learn" in message
    assert "connect to the internet" in message
    accuracy = re.search(r"Test accuracy: ([\d.]+)%", run.stdout)
    assert float(accuracy[1]) >= 90


def test_build_model_builds_what_is_asked_for(names):
    model = names["build_model"]([64, 32, 16], activation="tanh")
    *hidden, output = [layer for layer in model.layers if hasattr(layer, "units")]
    assert [layer.units for layer in hidden] == [64, 32, 16]
    assert {layer.activation.__name__ for layer in hidden} == {"tanh"}
    assert model.output_shape == (None, 10)
    assert output.activation.__name__ == "softmax"


@pytest.mark.slow
def test_two_processors_share_a_training(tmp_path):
    """The lines of "In practice", with two halves of this processor for two cards."""
    (text,) = (cell.source for cell in notebook.cells if cell.id == "in-practice")
    (lines,) = re.findall(r"(?s)```python\n(.*?)```", text)
    lines = textwrap.dedent(lines).replace("Strategy()", 'Strategy(["CPU:0", "CPU:1"])')
    lines = lines.replace("epochs=10", "epochs=2")
    assert "CPU:1" in lines
    assert "epochs=2" in lines
    before = ["import", "seed", "load-mnist", "load", "split", "one-hot", "build-model"]
    script = [
        "import tensorflow as tf",
        "(cpu,) = tf.config.list_physical_devices('CPU')",
        "halves = [tf.config.LogicalDeviceConfiguration()] * 2",
        "tf.config.set_logical_device_configuration(cpu, halves)",
        *(cells[cell_id].source for cell_id in before),
        lines,
        "print(f'accuracy: {shared.history.history[\"val_accuracy\"][-1]:.4f}')",
    ]
    path = tmp_path / "script.py"
    path.write_text("\n".join(script), encoding="utf-8")
    command = [sys.executable, path]
    run = subprocess.run(command, check=False, capture_output=True, encoding="utf-8")
    assert run.returncode == 0, run.stderr
    (accuracy,) = re.findall(r"(?m)accuracy: (0\.\d{4})$", run.stdout)
    _, second, *_ = bands()["fit"]
    low, high = re.search(r"val_accuracy: \{(.*?) … (.*?)\}", second).groups()
    assert float(low) <= float(accuracy) <= float(high)
