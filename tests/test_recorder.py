"""Breaks data, networks and trainings on purpose: the recorder must note the difference.

No network is trained here, as what it is given does not depend on it. A few breaks are run
end to end, on the cells of part 1 (slow).
"""

import re
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from types import SimpleNamespace

import keras
import nbformat
import pytest

import recorder
from common import NOTEBOOK, ROOT, broken, code_cells, read, read_breaks, run_python

cells, breaks = code_cells(read()), read_breaks()
SMALL = [heading for heading in breaks if heading.startswith("small: ")]


@pytest.fixture(scope="module")
def small(digits):
    """Start the recorder; no training takes a step, and MNIST has its first images."""
    with pytest.MonkeyPatch.context() as patch:
        fit, sets = keras.Model.fit, keras.datasets.mnist.load_data()

        @wraps(fit)
        def no_step(model, *args, **kwargs):
            return SimpleNamespace(model=model, epoch=[0], history={"val_accuracy": [0]})

        for name in recorder.METHODS:
            patch.setattr(keras.Model, name, getattr(keras.Model, name))
        patch.setattr(keras.Model, "fit", no_step)
        recorder.load()
        recorder.start({})

        def few():
            return [[part[:600].copy() for part in parts] for parts in sets]

        patch.setattr(keras.datasets.mnist, "load_data", few)
        yield


def facts_of(group, cell="", code="", instead=""):
    """Return what the recorder notes of cells, one of them broken."""
    _, (x_test, y_test) = keras.datasets.mnist.load_data()
    recorder.take("", {})
    history = SimpleNamespace(history={"val_accuracy": [0]})  # of part 1
    names = {"seconds": {}, "x_test": x_test / 255, "history": history}
    names["y_test"] = keras.utils.to_categorical(y_test)
    found = []
    for cell_id in ["import", "seed", *group]:
        source = cells[cell_id].source
        source = broken(source, code, instead) if cell_id == cell else source
        exec(compile(source, cell_id, "exec"), names)  # noqa: S102
        if cell_id == "build-convolutional":
            names["best_model"] = names["build_convolutional"]()
            recorder.networks[names["best_model"]] = "[train-augmented]"
        if cell_id == "others":
            names["prepared"] = names["resized"]
        found.append(recorder.take(cell_id, names))
    return found


@pytest.mark.parametrize("heading", SMALL, ids=lambda heading: heading.split()[-1])
def test_breaks_of_training_are_noted(small, heading):
    group = heading.split()[1:]
    control = facts_of(group)
    assert control == facts_of(group)
    assert not [b for b in breaks[heading] if facts_of(group, *b) == control]


def test_arguments_are_noted_with_and_without_their_names(small):
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


@pytest.mark.slow
def test_breaks_are_noticed_end_to_end(digits, tmp_path_factory):
    """pytest notices them in copies of the notebook up to a cell, two at a time."""

    def is_noticed(change):
        cell, code, instead, noticed_by = change
        folder, copy = tmp_path_factory.mktemp("broken"), read()
        last = [c.id for c in copy.cells].index(noticed_by)
        copy.cells = copy.cells[: last + 1]
        changed = code_cells(copy)[cell]
        changed.source = broken(changed.source, code, instead)
        nbformat.write(copy, folder / NOTEBOOK.name)
        options = ["-q", "-p", "conftest", "--rootdir", ROOT, "--keep", folder / "kept.json"]
        command = ["-m", "pytest", *options, folder / NOTEBOOK.name]
        run = run_python(*command, env={"PYTHONPATH": str(ROOT / "tests")})
        failed = re.findall(r"(?m)^_+ .*::([\w-]+) _+$", run.stdout)
        return noticed_by in failed and "Cell outputs differ" in run.stdout

    changes = breaks["end to end"]
    with ThreadPoolExecutor(2) as pool:
        noticed = dict(zip(changes, pool.map(is_noticed, changes)))
    assert all(noticed.values()), noticed
