"""Checks of the notebook's file, of facts.txt, and that outputs bear out what the text says.

Outputs are compared by nbval (see the conftest.py beside the notebook), in bands as wide as
networks vary. Here, one number is compared with another, and with the text.
"""

import os
import re
import shutil
import textwrap
import warnings
from pathlib import Path
from unittest.mock import Mock

import nbformat
import numpy as np
import pytest

import common
import facts
import sentences
from common import NOTEBOOK, ROOT, code_cells, read, text_of
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
    assert NOTEBOOK.stat().st_size < 1_700_000, "as larger ones open slowly, make figures smaller"
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
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w~$.])/(?:root|home|Users|tmp|work)/\w|[A-Z]:\\{1,4}\w+\\", text)


def test_figures_have_alternative_texts_of_their_own():
    alts = {c: cell.metadata["alt"] for c, cell in cells.items() if "alt" in cell.metadata}
    assert list(alts) == [c for c, cell in cells.items() if common.picture(cell.outputs)]
    assert len({*alts.values()}) == len(alts), alts


def test_facts_and_breaks_are_of_cells_and_bands_exclude_mistakes():
    breaks = common.read_breaks()
    last = {heading.removeprefix("up to ") for heading in breaks if heading != "run again"}
    assert last | read_facts().keys() <= cells.keys()
    for change in (change for changes in breaks.values() for change in changes):
        change.apply(cells[change.cell].source)  # raises an error if the code is gone
    for line in re.findall(r"(?m)^[^#\n].*", facts.FACTS.read_text(encoding="utf-8")):
        for token in TOKEN.finditer(line):
            assert not token["low"] or can_fail(token["low"], token["high"]), line
            assert not token["refers"] or token["refers"] in facts.named_bands(), line
    found = {}  # what is saved must agree on all named numbers, too
    for cell_id, (printed, _) in read_facts().items():
        text = facts.with_tokens(text_of(cells[cell_id].outputs), printed, found)
        for line in printed:
            assert line in text, f"[{cell_id}] prints another form, or one network two numbers"


def test_no_network_learns_from_test_images_or_from_what_is_unknown():
    lines = [(cell_id, line) for cell_id, (_, facts) in read_facts().items() for line in facts]
    form = r"(\d+ times: )?(fit|train_on_batch) |.*; training True"  # as a loop of one's own calls a network
    fits = [found for found in lines if re.match(form, found[1])]
    assert fits
    for cell_id, line in fits:
        if cell_id == "noise-lesson":  # learns from as many images of noise, on purpose
            line = re.sub(r"5,000 (unknown|not with their own labels)\b", "", line)
        assert not re.search(r"\btest\b|unknown|not with their own", line)
    assert not [line for _, line in lines if "does not know" in line]


def test_readme_images_and_notebook_are_as_renew_leaves_them():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"images/([\w-]+)\.png", readme)
    assert sorted(path.stem for path in (ROOT / "images").glob("*")) == sorted(shown)
    assert len(re.findall(r"<!-- ([\w-]+) -->\n```text", readme)) == 2
    made = from_saved()
    assert made.pop(NOTEBOOK).decode() == f"{nbformat.writes(notebook)}\n", TIDY
    assert not [path.name for path, content in made.items() if path.read_bytes() != content], TIDY


def test_numbers_in_sentences_are_those_that_cells_print():
    printed = {cell_id: text_of(cell.outputs) for cell_id, cell in cells.items()}
    texts = {cell.id: cell.source for cell in notebook.cells if cell.cell_type == "markdown"}
    bound, wrong = facts.sections(common.TESTS / "numbers.txt"), []
    assert bound.keys() <= texts.keys()
    for name, text in texts.items():
        found = sentences.mistakes(text, bound.get(name, []), printed)
        wrong += [f"[{name}] {mistake}" for mistake in found]
    assert not wrong, "tests/numbers.txt says what they are bound to:\n" + "\n".join(wrong)


def test_what_the_text_concludes_is_so_in_this_run(runs):
    lines = (
        line for lines in facts.sections(common.TESTS / "numbers.txt").values() for line in lines
    )
    claims = [line.split(" ← ")[1] for line in lines if " ← always: " in line]
    assert len(claims) > 5
    assert not [claim for claim in claims for run in runs if not sentences.holds(claim, run)]


def test_build_model_builds_what_is_asked_for(names):
    _, *layers = names["build_model"]([64, 32], activation="tanh").layers
    built = [(layer.units, layer.activation.__name__) for layer in layers]
    assert built == [(64, "tanh"), (32, "tanh"), (10, "softmax")]


@pytest.mark.slow
def test_lines_of_in_practice_train_a_network(names, digits):
    (text,) = (cell.source for cell in notebook.cells if cell.id == "in-practice")
    (lines,) = re.findall(r"(?s)```python\n(.*?)```", text)
    x, y = digits[0] / 255, np.eye(10)[digits[1]]
    values = names | {"x_train": x, "y_train": y, "x_val": x, "y_val": y}
    exec(textwrap.dedent(lines), values)  # noqa: S102
    assert values["shared"].history.history["val_accuracy"][-1] > 0.95


def test_mnist_is_taken_as_soon_as_it_can_be_had(tmp_path, names, digits, monkeypatch):
    """The cell runs three times; Keras' own `load_data` answers as listed.

    1. There is no file. The download, under a name of its own, is stopped: small digits.
    2. The file is there, but Keras does not find it: the cell reads it.
    3. There is only the download under its own name: the cell renames it, and Keras loads it.
    """
    cached = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"), "datasets", "mnist.npz")
    for home in ("HOME", "USERPROFILE", "KERAS_HOME"):
        monkeypatch.setenv(home, str(tmp_path))
    mnist, file = names["keras"].datasets.mnist, tmp_path / "datasets" / "mnist.npz"
    own = file.with_name(f"mnist-{os.getpid()}.npz")
    file.parent.mkdir()
    answers = [KeyboardInterrupt, OSError("no network"), "MNIST in a file of this process", "MNIST"]
    monkeypatch.setattr(mnist, "load_data", download := Mock(side_effect=answers))

    def run_cell():
        exec(cells["small-digits"].source, names | {"SEED": 42})  # noqa: S102

    run_cell()
    (images, _), _ = mnist.load_data()
    assert len(images) == 14_300  # small digits
    shutil.copy(cached, file)
    run_cell()
    (images, labels), _ = mnist.load_data()
    np.testing.assert_array_equal(images[-6000:], digits[0])
    np.testing.assert_array_equal(labels[-6000:], digits[1])
    file.rename(own)  # as Keras would leave it
    run_cell()
    assert [call.args for call in download.call_args_list] == [(own.name,), (), (own.name,), ()]
    assert list(file.parent.iterdir()) == [file]
