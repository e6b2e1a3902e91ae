"""Checks of the notebook's file, of facts.txt, and that outputs bear out what the text says.

Outputs are compared by nbval (see the conftest.py beside the notebook), in bands as wide as
networks vary. Here, one number is compared with another, and with the text.
"""

import json
import os
import re
import shutil
import textwrap
import warnings
from pathlib import Path

import nbformat
import numpy as np
import pytest

import common
import facts
import sentences
from common import NOTEBOOK, ROOT, Change, code_cells, read, run_python, text_of
from facts import TOKEN, read_facts
from renew import FOLDED, can_fail, from_saved

notebook = read()
cells = code_cells(notebook)
LOGS = [cell_id for cell_id, cell in cells.items() if any(map(common.is_log, cell.outputs))]
for cell in cells.values():
    cell.outputs = [output for output in cell.outputs if not common.is_log(output)]
KINDS = ["stream stdout", "display_data image/png text/plain", "display_data text/html text/plain"]
METADATA = {*FOLDED, "alt", "trusted", "collapsed", "scrolled", "editable", "execution"}
TIDY = "`python tests/renew.py --saved` puts that right"


def test_file_is_what_jupyter_saves():
    nbformat.validate(notebook)
    assert not LOGS or "CI" not in os.environ, f"imports log; {TIDY}"
    if LOGS:
        warnings.warn(f"Imports log in {LOGS}; {TIDY}", stacklevel=1)
    assert NOTEBOOK.stat().st_size < 1_700_000, "make figures smaller"
    counts = [cell.execution_count for cell in cells.values()]
    assert counts == list(range(1, len(cells) + 1)), "choose Run All, and save"
    for cell_id, cell in cells.items():
        assert set(cell.metadata) <= METADATA, cell_id
        assert not re.search(r"(?m)^\s*[%!]|NBVAL_|PYTEST_VALIDATE", cell.source), cell_id
        for output in cell.outputs:
            data = output.get("data", {})
            kind = " ".join([output.output_type, *sorted(data or [output.name])])
            assert kind in KINDS, cell_id
            if "image/png" in data:
                assert re.fullmatch(r"<Figure size .* Axes>", data["text/plain"]), cell_id
            assert not data.get("text/html", "").lstrip().startswith("<!--"), cell_id
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w~$.])/(?:root|home|Users|tmp|work)/\w|[A-Z]:\\{1,4}\w+\\", text)


def test_figures_have_alternative_texts_of_their_own():
    outputs = [(cell_id, output) for cell_id, cell in cells.items() for output in cell.outputs]
    figures = [cell_id for cell_id, output in outputs if "image/png" in output.get("data", {})]
    alts = {c: cell.metadata["alt"] for c, cell in cells.items() if "alt" in cell.metadata}
    assert figures == list(alts), "a cell has one figure, and then a text"
    assert min(map(len, alts.values())) > 20
    assert len({*alts.values()}) == len(alts), alts


def test_facts_and_breaks_are_of_cells_and_bands_exclude_mistakes():
    breaks = common.read_breaks()
    last = {heading.removeprefix("up to ") for heading in breaks if heading != "run again"}
    assert last | read_facts().keys() <= cells.keys()
    for change in (change for changes in breaks.values() for change in changes):
        change.apply(cells[change.cell].source)  # raises an error if the code is gone
    for line in re.findall(r"(?m)^[^#\n].*", facts.FACTS.read_text(encoding="utf-8")):
        assert ("{…" in line) == ("  # left out: " in line), line
        for token in TOKEN.finditer(line):
            assert not token["low"] or can_fail(token["low"], token["high"]), line
            assert not token["name"] or token["name"] in facts.named_bands(), line
    found = {}
    for cell_id, (printed, _) in read_facts().items():
        text = facts.with_tokens(text_of(cells[cell_id].outputs), printed, found)
        for line in printed:
            assert line in text, f"[{cell_id}] prints another form, or one network two numbers"


def test_no_network_learns_from_test_images_or_from_what_is_unknown():
    lines = [(cell_id, line) for cell_id, (_, facts) in read_facts().items() for line in facts]
    form = r"fit |train_on_batch |.*; training True"  # the last is a loop of one's own
    fits = [found for found in lines if re.match(form, found[1])]
    assert fits
    for cell_id, line in fits:
        if cell_id == "noise-lesson":  # learns from as many images of noise, on purpose
            line = re.sub(r"5,000 (unknown|not with their own labels)\b", "", line)
        assert not re.search(r"\btest\b|unknown|not with their own", line)
        validated = "; reached val_accuracy " in line or "; validated on nothing" in line
        assert validated or not line.startswith("fit ")
    assert not [line for _, line in lines if "does not know" in line]


def test_readme_images_and_notebook_are_as_renew_leaves_them():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"images/([\w-]+)\.png", readme)
    assert sorted(path.stem for path in (ROOT / "images").glob("*")) == sorted(shown)
    assert len(re.findall(r"<!-- ([\w-]+) -->\n```text", readme)) == 2
    made = from_saved()
    assert made.pop(NOTEBOOK).decode() == f"{nbformat.writes(notebook)}\n", TIDY
    assert not [path.name for path, content in made.items() if path.read_bytes() != content], TIDY


def test_numbers_in_sentences_are_those_that_cells_print(runs):
    texts = {cell.id: cell.source for cell in notebook.cells if cell.cell_type == "markdown"}
    wrong = sentences.mistakes(texts, runs[0])
    assert not wrong, "tests/numbers.txt says what they are bound to:\n" + "\n".join(wrong)


@pytest.mark.parametrize("claim", facts.sections(sentences.NUMBERS)["claims"])
def test_outputs_bear_out_what_the_text_concludes(runs, claim):
    for printed in runs:
        assert sentences.holds(claim, printed)


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
    lines = textwrap.dedent(lines)
    for code, instead in [("Strategy()", 'Strategy(["CPU:0", "CPU:1"])'), ("=10", "=2")]:
        lines = Change("in-practice", code, instead).apply(lines)
    script = [
        "import tensorflow as tf",
        "(cpu,) = tf.config.list_physical_devices('CPU')",
        "halves = [tf.config.LogicalDeviceConfiguration()] * 2",
        "tf.config.set_logical_device_configuration(cpu, halves)",
        *("show-images", "import", "small-digits", "load", "split", "one-hot", "build-model"),
        lines,
        "print(f'accuracy: {shared.history.history[\"val_accuracy\"][-1]:.4f}')",
    ]
    (accuracy,) = re.findall(r"(?m)accuracy: (0\.\d{4})$", run_cells(script))
    assert float(accuracy) > 0.95


def run_cells(names, env=()):
    """Run cells, by their ids, and lines of code in a new Python; return what is printed."""
    script = "\n".join(cells[name].source if name in cells else name for name in names)
    run = run_python("-c", script, env={"MPLBACKEND": "agg"} | dict(env))
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_settings_of_an_older_project_change_nothing(tmp_path, digits):
    older = {"image_data_format": "channels_first", "floatx": "float16", "backend": "torch"}
    (tmp_path / "keras.json").write_text(json.dumps(older), encoding="utf-8")
    (tmp_path / "matplotlibrc").write_text("image.origin: lower\ntext.usetex: True")
    env = {"KERAS_HOME": tmp_path, "MATPLOTLIBRC": tmp_path, "KERAS_MAX_EPOCHS": 1}
    lines = """
        print(conv_model.output_shape, conv_model(np.ones((2, 28, 28, 1))).dtype)
        conv_model.compile(loss="categorical_crossentropy")
        history = conv_model.fit(np.ones((2, 28, 28, 1)), np.ones((2, 10)), epochs=2)
        print(len(history.epoch), "epochs", plt.rcParams["image.origin"])"""
    names = ["show-images", "import", "build-convolutional", textwrap.dedent(lines)]
    said = run_cells(names, env={key: str(value) for key, value in env.items()})
    assert "(None, 10) <dtype: 'float32'>" in said
    assert "2 epochs upper" in said


def loaded(names, monkeypatch, home, load_data):
    """Return what the notebook takes for MNIST in a home of Keras, and with its `load_data`."""
    (home / "datasets").mkdir(exist_ok=True)
    monkeypatch.setenv("KERAS_HOME", str(home))
    monkeypatch.setattr(names["keras"].datasets.mnist, "load_data", load_data)
    exec(cells["small-digits"].source, names | {"SEED": 42})  # noqa: S102
    return names["keras"].datasets.mnist.load_data()


def test_mnist_is_taken_as_soon_as_it_can_be_had(tmp_path, names, monkeypatch):
    """The download is stopped; then the file is copied, and the cell runs again."""

    def load_data(path="mnist.npz"):
        if not (tmp_path / "datasets" / "mnist.npz").exists():
            raise KeyboardInterrupt
        return "MNIST"

    for home in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(home, str(tmp_path))
    (images, _), _ = loaded(names, monkeypatch, tmp_path, load_data)
    assert len(images) == 14_300  # small digits
    (tmp_path / "datasets" / "mnist.npz").touch()
    load_data = names["keras"].datasets.mnist.load_data
    assert loaded(names, monkeypatch, tmp_path, load_data) == "MNIST"


def test_mnist_is_found_in_a_home_that_is_not_written_to(tmp_path, names, digits, monkeypatch):
    """There Keras looks elsewhere, and downloads; here it can't."""
    cached = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"), "datasets", "mnist.npz")

    def load_data(path="mnist.npz"):
        shutil.copy(cached, tmp_path / "datasets")
        raise OSError("no network")

    (images, labels), _ = loaded(names, monkeypatch, tmp_path, load_data)
    np.testing.assert_array_equal(images[-6000:], digits[0])
    np.testing.assert_array_equal(labels[-6000:], digits[1])


def test_two_downloads_at_once_do_not_meet_in_one_file(tmp_path, names, monkeypatch):
    """Keras writes to a file of this process, which then takes the place of the other."""
    written = []

    def load_data(path="mnist.npz"):
        file = tmp_path / "datasets" / path
        if not file.exists():
            written.append(path)
            file.write_bytes(b"")
        return "MNIST"

    assert loaded(names, monkeypatch, tmp_path, load_data) == "MNIST"
    assert written == [f"mnist-{os.getpid()}.npz"]
    assert [path.name for path in (tmp_path / "datasets").iterdir()] == ["mnist.npz"]
