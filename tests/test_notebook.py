"""Checks of the notebook's file and of facts.txt, and that outputs bear out what the text says.

Outputs are compared by nbval (see conftest.py), in bands as wide as networks vary. Here, one
number is compared with another.
"""

import os
import re
import subprocess
import sys
import textwrap

import nbformat
import pytest
from nbconvert import PythonExporter

import common
from common import BAND, NOTEBOOK, ROOT, code_cells, picture, read, read_facts
from renew import can_fail, opening, with_results

notebook = read()
cells = code_cells(notebook)
pictures = {id_: picture(cell.outputs) for id_, cell in cells.items()}
FOLDED = {
    "cellView": "form",
    "jupyter": {"source_hidden": True},
    "tags": ["hide-input"],
}
METADATA = {*FOLDED, "alt", "trusted", "collapsed", "scrolled", "editable", "execution"}


def test_file_is_what_jupyter_saves():
    nbformat.validate(notebook)
    assert NOTEBOOK.stat().st_size < 1_500_000
    assert set(notebook.metadata) <= {"kernelspec", "language_info", "colab"}
    counts = [cell.execution_count for cell in cells.values()]
    assert counts == list(range(1, len(cells) + 1))
    for cell_id, cell in cells.items():
        assert set(cell.metadata) <= METADATA, cell_id
        assert not re.search(r"(?m)^\s*[%!]", cell.source), cell_id
        assert not re.search("NBVAL_|PYTEST_VALIDATE", cell.source), cell_id
        for output in cell.outputs:
            data = output.get("data", {})
            if output.output_type == "stream":
                assert output.name == "stdout", f"{cell_id}: renew.py --saved drops logs"
            elif "image/png" in data:
                assert data.keys() == {"image/png", "text/plain"}, cell_id
                assert re.fullmatch(r"<Figure size .* Axes>", data["text/plain"])
            else:
                assert output.output_type == "display_data", cell_id
                assert data.keys() == {"text/html", "text/plain"}, cell_id
                assert not data["text/html"].lstrip().startswith("<!--"), cell_id
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w~$.])/(?:root|home|Users|tmp|work)/\w", text)
    assert not re.search(r"[A-Z]:\\{1,4}\w+\\", text)


def test_folded_cells_are_folded_in_every_viewer():
    for cell_id, cell in cells.items():
        folded = {key: cell.metadata[key] for key in FOLDED if key in cell.metadata}
        wanted = FOLDED if cell.source.startswith("# @title ") else {}
        assert folded == wanted, cell_id


def test_figures_have_alternative_texts():
    for cell_id in filter(pictures.get, cells):
        assert len(cells[cell_id].metadata["alt"]) > 20, cell_id
        kinds = [o for o in cells[cell_id].outputs if "image/png" in o.get("data", {})]
        assert len(kinds) == 1, cell_id


def test_facts_are_of_cells_and_bands_exclude_mistakes():
    assert read_facts().keys() <= cells.keys()
    headings = common.sections(common.TESTS / "breaks.txt").keys()
    assert {h for h in headings if not re.match("small: |end to end$", h)} <= cells.keys()
    for cell_id, (printed, _) in read_facts().items():
        for line in printed:
            assert re.search(common.pattern(line), common.text_of(cells[cell_id].outputs)), line
    for line in common.FACTS.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        assert ("{…}" in line) == ("  # left out: " in line), line
        for band in re.findall(BAND, line):
            assert band == "…" or can_fail(band), line


def test_no_network_learns_from_test_images_or_from_what_is_unknown():
    facts = [line for _, lines in read_facts().values() for line in lines]
    fitted = [line for line in facts if line.startswith("fit ")]
    assert len(fitted) >= 10
    for line in fitted:
        assert not re.search(r"\btest\b|unknown|not with their own|does not know", line)
    assert not [line for line in facts if "does not know" in line]


def test_images_are_the_notebooks_own():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"images/([\w-]+)\.png", readme))
    assert {path.stem for path in (ROOT / "images").glob("*")} == shown
    for name in shown:
        assert (ROOT / "images" / f"{name}.png").read_bytes() == pictures[name], name
    (teaser,) = (cell for cell in notebook.cells if cell.id == "teaser")
    text = opening(pictures["sample-predictions"])
    assert f"(data:image/png;base64,{text})" in teaser.source


def test_readme_gives_the_results_of_the_notebook():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert with_results(readme, cells) == readme
    assert len(re.findall(r"<!-- ([\w-]+) -->\n```text", readme)) == 2


@pytest.mark.slow
def test_goes_on_without_mnist_as_a_script(without_mnist, tmp_path):
    source, _ = PythonExporter().from_notebook_node(notebook)
    (tmp_path / "notebook.py").write_text(source, encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "notebook.py"],
        check=False,
        cwd=tmp_path,
        env=os.environ | without_mnist | {"MPLBACKEND": "agg"},
        capture_output=True,
        encoding="utf-8",
        timeout=600,
    )
    assert run.returncode == 0, run.stderr
    (message,) = re.findall(r"(?m)^MNIST could not be loaded.*$", run.stdout)
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
def test_two_processors_share_a_training(digits, tmp_path):
    """The lines of "In practice", with two halves of this processor for two cards."""
    (text,) = (cell.source for cell in notebook.cells if cell.id == "in-practice")
    (lines,) = re.findall(r"(?s)```python\n(.*?)```", text)
    lines = textwrap.dedent(lines).replace("Strategy()", 'Strategy(["CPU:0", "CPU:1"])')
    lines = lines.replace("epochs=10", "epochs=2")
    assert "CPU:1" in lines
    assert "epochs=2" in lines
    before = ["import", "seed", "load", "split", "one-hot", "build-model"]
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
    run = subprocess.run(command, check=False, capture_output=True, encoding="utf-8", timeout=600)
    assert run.returncode == 0, run.stderr
    (accuracy,) = re.findall(r"(?m)accuracy: (0\.\d{4})$", run.stdout)
    _, second, *_ = read_facts()["fit"][0]
    low, high = re.search(r"val_accuracy: \{(.*?) … (.*?)\}", second).groups()
    assert float(low) <= float(accuracy) <= float(high)


# The number behind the first text, a regex, is smaller than that behind the second.
CLAIMS = r"""
nearest-mean: Read right by the nearest mean: < test: Test accuracy:
train-falling: 0.003: validation accuracy < train-falling: falling: validation accuracy
early-stopping: validation loss < too-long: 100 0.00.
search: \[8]: < search: \[32]:
compare: first 101770 < compare: first, falling rate 101770
compare: first, falling rate 101770 < compare: convolutional 54218
evidence: first, prepared: < evidence: augmented, prepared:
evidence: first, resized: < evidence: first, prepared:
others-resized: Read right: < evidence: augmented, prepared:
taught: Misread after: < taught: Misread before:
"""


def number_behind(printed, place):
    """Return the number behind a text that a cell has printed, from "cell: text"."""
    cell_id, text = place.split(": ", 1)
    if not printed:
        pytest.skip("the notebook's cells were not run")
    lines = " ".join(printed[cell_id].split())
    return float(re.search(rf"{text} ([\d.]+)", lines)[1])


@pytest.mark.parametrize("claim", CLAIMS.strip().splitlines())
def test_outputs_bear_out_what_the_text_concludes(printed, claim):
    smaller, larger = (number_behind(printed, place) for place in claim.split(" < "))
    assert smaller < larger


def test_a_network_has_the_same_accuracy_in_all_cells(printed):
    accuracy = number_behind(printed, "test: Test accuracy:")
    (misread,) = re.findall(r"(\d+) misread", printed["mistakes"])
    assert 100 * accuracy == pytest.approx(10_000 - int(misread))
    best = number_behind(printed, "compare: convolutional, augmented 54218")
    (remaining,) = re.findall(r"(\d+) of", printed["remaining"])
    assert best * 10_000 == pytest.approx(10_000 - int(remaining))
    *_, last = re.findall(r"val_accuracy: ([\d.]+)", printed["fit"])
    said = number_behind(printed, "train-falling: 0.001: validation accuracy")
    assert 100 * float(last) == pytest.approx(said, abs=0.06)
