"""Checks of the notebook's file and of facts.txt, and that outputs bear out what the text says.

Outputs are compared by nbval (see conftest.py), in bands as wide as networks vary. Here, one
number is compared with another.
"""

import re
import textwrap

import nbformat
import pytest
from nbconvert import PythonExporter

import common
from common import BAND, NOTEBOOK, ROOT, broken, code_cells, read, read_facts, run_python
from renew import can_fail, from_saved

notebook = read()
cells = code_cells(notebook)
FOLDED = {"cellView": "form", "jupyter": {"source_hidden": True}, "tags": ["hide-input"]}
KINDS = ["stream stdout", "display_data image/png text/plain", "display_data text/html text/plain"]
METADATA = {*FOLDED, "alt", "trusted", "collapsed", "scrolled", "editable", "execution"}


def test_file_is_what_jupyter_saves():
    nbformat.validate(notebook)
    assert NOTEBOOK.stat().st_size < 1_500_000, "make figures smaller"
    assert set(notebook.metadata) <= {"kernelspec", "language_info", "colab"}
    counts = [cell.execution_count for cell in cells.values()]
    assert counts == list(range(1, len(cells) + 1))
    for cell_id, cell in cells.items():
        assert set(cell.metadata) <= METADATA, cell_id
        assert not re.search(r"(?m)^\s*[%!]|NBVAL_|PYTEST_VALIDATE", cell.source), cell_id
        for output in cell.outputs:
            data = output.get("data", {})
            kind = " ".join([output.output_type, *sorted(data or [output.name])])
            assert kind in KINDS, f"{cell_id}; of logs: tests/renew.py --saved drops them"
            if "image/png" in data:
                assert re.fullmatch(r"<Figure size .* Axes>", data["text/plain"]), cell_id
            assert not data.get("text/html", "").lstrip().startswith("<!--"), cell_id
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w~$.])/(?:root|home|Users|tmp|work)/\w|[A-Z]:\\{1,4}\w+\\", text)


def test_folded_cells_are_folded_in_every_viewer():
    for cell_id, cell in cells.items():
        folded = {key: cell.metadata[key] for key in FOLDED if key in cell.metadata}
        assert folded == (FOLDED if cell.source.startswith("# @title ") else {}), cell_id


def test_figures_have_alternative_texts():
    for cell_id, cell in cells.items():
        figures = [o for o in cell.outputs if "image/png" in o.get("data", {})]
        assert len(figures) <= 1, cell_id
        assert not figures or len(cell.metadata["alt"]) > 20, cell_id


def test_facts_are_of_cells_and_bands_exclude_mistakes():
    assert read_facts().keys() <= cells.keys()
    headings = common.sections(common.TESTS / "breaks.txt").keys()
    assert {h for h in headings if not re.match("small: |end to end$", h)} <= cells.keys()
    for cell_id, (printed, _) in read_facts().items():
        for line in printed:
            assert re.search(common.pattern(line), common.text_of(cells[cell_id].outputs)), line
    for line in re.findall(r"(?m)^[^#\n].*", common.FACTS.read_text(encoding="utf-8")):
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


def test_readme_and_its_images_show_the_saved_outputs():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"images/([\w-]+)\.png", readme))
    assert {path.stem for path in (ROOT / "images").glob("*")} == shown
    assert len(re.findall(r"<!-- ([\w-]+) -->\n```text", readme)) == 2
    for path, content in from_saved().items():
        assert path.read_bytes() == content, f"{path.name}: tests/renew.py --saved renews it"


@pytest.mark.slow
def test_goes_on_without_mnist_as_a_script(without_mnist, tmp_path):
    source, _ = PythonExporter().from_notebook_node(notebook)
    (tmp_path / "notebook.py").write_text(source, encoding="utf-8")
    env = without_mnist | {"MPLBACKEND": "agg"}
    run = run_python("notebook.py", cwd=tmp_path, env=env)
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
def test_two_processors_share_a_training(digits):
    """The lines of "In practice", with two halves of this processor for two cards."""
    (text,) = (cell.source for cell in notebook.cells if cell.id == "in-practice")
    (lines,) = re.findall(r"(?s)```python\n(.*?)```", text)
    lines = broken(textwrap.dedent(lines), "Strategy()", 'Strategy(["CPU:0", "CPU:1"])')
    before = ["import", "seed", "load", "split", "one-hot", "build-model"]
    script = [
        "import tensorflow as tf",
        "(cpu,) = tf.config.list_physical_devices('CPU')",
        "halves = [tf.config.LogicalDeviceConfiguration()] * 2",
        "tf.config.set_logical_device_configuration(cpu, halves)",
        *(cells[cell_id].source for cell_id in before),
        broken(lines, "epochs=10", "epochs=2"),
        "print(f'accuracy: {shared.history.history[\"val_accuracy\"][-1]:.4f}')",
    ]
    run = run_python("-c", "\n".join(script))
    assert run.returncode == 0, run.stderr
    (accuracy,) = re.findall(r"(?m)accuracy: (0\.\d{4})$", run.stdout)
    _, second, *_ = read_facts()["fit"][0]
    assert common.within(accuracy, re.search(f"val_accuracy: {BAND}", second)[1])


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
