"""Breaks data, networks and trainings on purpose: the recorder must note the difference.

Each network takes one small step here, as what it is given does not depend on it. A few
breaks are run end to end, on the cells of part 1 (slow).
"""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from itertools import compress
from types import SimpleNamespace

import keras
import nbformat
import pytest
import tensorflow as tf

import recorder
from common import NOTEBOOK, ROOT, code_cells, read, read_breaks

cells, breaks = code_cells(read()), read_breaks()
SMALL = [heading for heading in breaks if heading.startswith("small: ")]


@pytest.fixture(scope="module")
def small_steps(digits):
    """Start the recorder; each training takes one step, with the first images of MNIST."""
    with pytest.MonkeyPatch.context() as patch:
        fit, evaluate = keras.Model.fit, keras.Model.evaluate

        @wraps(fit)
        def one_step(model, x, y, *_, validation_data, **kwargs):
            held = [part[:32] for part in validation_data]
            return fit(model, x[:32], y[:32], validation_data=held, verbose=0)

        @wraps(evaluate)
        def few(model, x, y, **kwargs):
            return evaluate(model, x[:32], y[:32], verbose=0, return_dict="return_dict" in kwargs)

        for name in ("fit", "evaluate", "predict", "__call__"):
            patch.setattr(keras.Model, name, getattr(keras.Model, name))
        patch.setattr(keras.Model, "fit", one_step)
        patch.setattr(keras.Model, "evaluate", few)
        recorder.load()
        recorder.start({})
        train, test = keras.datasets.mnist.load_data()
        few_images = [part[:3000].copy() for part in (*train, *test)]

        def load_data():
            x, y, x_test, y_test = (part.copy() for part in few_images)
            return (x, y), (x_test, y_test)

        patch.setattr(keras.datasets.mnist, "load_data", load_data)
        tf.config.run_functions_eagerly(True)
        yield
        tf.config.run_functions_eagerly(False)


def facts_of(group, broken="", code="", instead=""):
    """Return what the recorder notes of cells, one of them broken."""
    (_, _), (x_test, y_test) = keras.datasets.mnist.load_data()
    recorder.take("", {})
    history = SimpleNamespace(history={"val_accuracy": [0]})  # of part 1
    names = {"seconds": {}, "x_test": x_test / 255, "history": history}
    names["y_test"] = keras.utils.to_categorical(y_test)
    found = []
    for cell_id in ["import", "seed", *group]:
        source = cells[cell_id].source
        if cell_id == broken:
            assert source.count(code) == 1, f"{code!r} must stand there once"
            source = source.replace(code, instead)
        exec(compile(source, cell_id, "exec"), names)  # noqa: S102
        if cell_id == "build-convolutional":
            names["best_model"] = names["build_convolutional"]()
        if cell_id == "others":
            names["prepared"] = names["resized"]
        found.append(recorder.take(cell_id, names))
    return found


@pytest.mark.parametrize("heading", SMALL, ids=lambda heading: heading.split()[-1])
def test_breaks_of_training_are_noted(small_steps, heading):
    group = heading.split()[1:]
    control = facts_of(group)
    assert control == facts_of(group)
    assert not [b for b in breaks[heading] if facts_of(group, *b) == control]


def test_arguments_are_noted_with_and_without_their_names(small_steps):
    model = keras.Sequential([keras.Input((28, 28)), keras.layers.Flatten()])
    (images, _), _ = keras.datasets.mnist.load_data()
    recorder.take("", {})
    model(images[:2])
    model(inputs=images[:2])
    model.predict(images[:2], 2, 0)
    model.predict(x=images[:2], batch_size=2, verbose=0)
    call, predict = recorder.take("", {}).splitlines()
    assert call == "call a network not fitted; train 0–1 (2 times)"
    assert predict == "predict a network not fitted; train 0–1; batch_size 2 (2 times)"


def is_noticed(folder, cell, code, instead, noticed_by):
    """Return whether pytest notices a break, in a copy of the notebook up to a cell."""
    copy = read()
    last = [c.id for c in copy.cells].index(noticed_by)
    copy.cells = copy.cells[: last + 1]
    broken = code_cells(copy)[cell]
    assert broken.source.count(code) == 1
    broken.source = broken.source.replace(code, instead)
    nbformat.write(copy, folder / NOTEBOOK.name)
    options = ["-q", "-p", "conftest", "--rootdir", ROOT, "--keep", folder / "kept.json"]
    command = [sys.executable, "-m", "pytest", *options, folder / NOTEBOOK.name]
    run = subprocess.run(
        command,
        check=False,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "tests")},
        capture_output=True,
        encoding="utf-8",
        timeout=900,
    )
    failed = re.findall(r"(?m)^_+ .*::([\w-]+) _+$", run.stdout)
    return noticed_by in failed and "Cell outputs differ" in run.stdout


@pytest.mark.slow
def test_breaks_are_noticed_end_to_end(digits, tmp_path_factory):
    def missed(one):
        return not is_noticed(tmp_path_factory.mktemp("broken"), *one)

    with ThreadPoolExecutor(2) as pool:
        assert not list(compress(breaks["end to end"], pool.map(missed, breaks["end to end"])))
