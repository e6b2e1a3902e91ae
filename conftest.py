"""Runs the notebook's cells with nbval only where MNIST can be had, and keeps
their new outputs for the tests that look closer than nbval does."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbval.plugin import IPyNbCell

NEW_OUTPUTS = pytest.StashKey[dict]()
LOAD_MNIST = """
import socket, keras
socket.setdefaulttimeout(30)
keras.datasets.mnist.load_data()
"""


def pytest_configure(config):
    config.stash[NEW_OUTPUTS] = {}


def pytest_collection_modifyitems(items):
    """Skip all cells of the notebook if Keras can't load MNIST."""
    cells = [item for item in items if isinstance(item, IPyNbCell)]
    if not cells:
        return
    load = subprocess.run(
        [sys.executable, "-c", LOAD_MNIST],
        check=False,
        capture_output=True,
        text=True,
    )
    if load.returncode:
        reason = load.stderr.strip().splitlines()[-1]
        skip = pytest.mark.skip(
            reason=f"MNIST can't be had ({reason}): connect to the internet, or "
            "copy mnist.npz to .keras/datasets in your home folder"
        )
        for cell in cells:
            cell.add_marker(skip)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Keep what a cell of the notebook puts out, even if nbval objects to it."""
    try:
        return (yield)
    finally:
        if isinstance(item, IPyNbCell):
            item.config.stash[NEW_OUTPUTS][item.cell.id] = item.test_outputs or []


@pytest.fixture(scope="session")
def new_outputs(pytestconfig):
    """The outputs of this run's cells, as {cell id: outputs}; empty without a run."""
    return pytestconfig.stash[NEW_OUTPUTS]


@pytest.fixture(scope="session")
def executed(new_outputs):
    """The notebook with this run's outputs, and saved ones where a cell was not run."""
    path = Path(__file__).with_name("MNIST_digit_classification.ipynb")
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.id in new_outputs:
            cell.outputs = new_outputs[cell.id]
    return notebook
