"""Runs the notebook's cells with nbval, as strictly as this machine allows.

Where MNIST can't be had, the cells are skipped. Where the machine computes exactly
as the one that saved the outputs, all figures must be the same; elsewhere they
must lie in their bands. The new outputs are kept for the tests that look closer.
"""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbval.plugin import IPyNbCell

TESTS = Path(__file__).with_name("tests")
NEW_OUTPUTS = pytest.StashKey[dict]()
SAME_ARITHMETIC = pytest.StashKey[bool | None]()  # None: no cells are run


def pytest_configure(config):
    config.stash[NEW_OUTPUTS] = {}
    config.stash[SAME_ARITHMETIC] = None


@pytest.hookimpl(trylast=True)  # when cells that are not asked for are gone
def pytest_collection_modifyitems(config, items):
    """Skip the notebook's cells without MNIST; choose how much their outputs may differ."""
    cells = [item for item in items if isinstance(item, IPyNbCell)]
    if not cells:
        return
    run = subprocess.run(
        [sys.executable, TESTS / "fingerprint.py"],
        check=False,
        capture_output=True,
        text=True,
    )
    if run.returncode == 3:
        *_, reason = run.stdout.splitlines()
        skip = pytest.mark.skip(
            reason=f"MNIST can't be had ({reason}): connect to the internet, or "
            "copy mnist.npz to .keras/datasets in your home folder"
        )
        for cell in cells:
            cell.add_marker(skip)
        return
    if run.returncode:
        raise pytest.UsageError(f"tests/fingerprint.py failed: {run.stderr}")
    notebook = cells[0].parent
    *_, fingerprint = run.stdout.split()
    same = fingerprint == notebook.nb.metadata.get("fingerprint")
    config.stash[SAME_ARITHMETIC] = same
    files = ["sanitize.cfg"] if same else ["sanitize.cfg", "bands.cfg"]
    notebook.get_sanitize_files = lambda: [TESTS / file for file in files]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Keep what a cell of the notebook puts out, even if nbval objects to it."""
    try:
        return (yield)
    finally:
        if isinstance(item, IPyNbCell):
            item.config.stash[NEW_OUTPUTS][item.cell.id] = item.test_outputs or []


def pytest_report_collectionfinish(config):
    if config.stash[SAME_ARITHMETIC] is None:
        return None
    if config.stash[SAME_ARITHMETIC]:
        return "This machine computes as the one that saved the notebook: no bands."
    return "The notebook's figures may lie in the bands of tests/bands.cfg."


@pytest.fixture(scope="session")
def new_outputs(pytestconfig):
    """The outputs of this run's cells, as {cell id: outputs}; empty without a run."""
    return pytestconfig.stash[NEW_OUTPUTS]


@pytest.fixture(scope="session")
def same_arithmetic(pytestconfig):
    """Whether this machine computes exactly as the one that saved the outputs."""
    return pytestconfig.stash[SAME_ARITHMETIC]


@pytest.fixture(scope="session")
def executed(new_outputs):
    """The notebook with this run's outputs, and saved ones where a cell was not run."""
    path = Path(__file__).with_name("MNIST_digit_classification.ipynb")
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.id in new_outputs:
            cell.outputs = new_outputs[cell.id]
    return notebook
