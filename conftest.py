"""Runs the notebook's cells with nbval, as strictly as this machine allows.

Where the machine computes exactly as the one that saved the outputs, all numbers must be
the same; elsewhere they must lie in the bands of tests/bands.txt. Where MNIST can't be
had, the cells are skipped. The new outputs are kept for the tests that look closer.
"""

import os
from functools import cache

import pytest
from common import STARTUP, code_cells, fingerprint, read, rules, without_logs
from nbval.plugin import IPyNbCell

NEW_OUTPUTS = pytest.StashKey[dict]()


@cache
def computes_the_same():
    """Return whether this machine computes exactly as the one that saved the outputs.

    tests/test_breaks.py passes the fingerprint on, to save its many runs the time.
    """
    here = os.environ.get("NOTEBOOK_FINGERPRINT") or fingerprint()
    return here == read().metadata.get("fingerprint")


@cache
def without_mnist():
    """Return why the notebook can't be compared, or nothing."""
    try:
        computes_the_same()
    except LookupError as error:
        return (
            f"MNIST can't be had ({error}): connect to the internet, or copy mnist.npz "
            "to .keras/datasets in your home folder"
        )


def pytest_configure(config):
    config.stash[NEW_OUTPUTS] = {}
    os.environ.update(STARTUP)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Let one process run the cells, and then all tests that look at their new outputs."""
    items.sort(key=lambda item: not isinstance(item, IPyNbCell))
    for item in items:
        if isinstance(item, IPyNbCell) or "new_outputs" in item.fixturenames:
            item.add_marker(pytest.mark.xdist_group("notebook"))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Skip the notebook's cells where MNIST can't be had, but never unseen in CI."""
    if isinstance(item, IPyNbCell) and (reason := without_mnist()):
        (pytest.fail if "CI" in os.environ else pytest.skip)(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Give nbval the bands of a cell; keep what it puts out, even if nbval objects."""
    if not isinstance(item, IPyNbCell):
        return (yield)
    item.parent.sanitize_patterns = rules(item.cell.id, computes_the_same())
    compare = item.compare_outputs

    def compare_shown(new, saved):
        """Leave out logs, and progress bars that the notebook clears."""
        shown = [o for o in without_logs(new) if item.sanitize(o.get("text", "-"))]
        return compare(shown, saved)

    item.compare_outputs = compare_shown
    try:
        return (yield)
    finally:
        item.config.stash[NEW_OUTPUTS][item.cell.id] = item.test_outputs or []


@pytest.fixture(scope="session")
def same_machine():
    """Whether this machine computes exactly as the one that saved the outputs."""
    return not without_mnist() and computes_the_same()


@pytest.fixture(scope="session")
def new_outputs(pytestconfig):
    """The outputs of this run's cells, as {cell id: outputs}; empty without a run."""
    return pytestconfig.stash[NEW_OUTPUTS]


@pytest.fixture(scope="session")
def executed(new_outputs):
    """The notebook with this run's outputs, and saved ones where a cell was not run."""
    notebook = read()
    for cell_id, cell in code_cells(notebook).items():
        cell.outputs = new_outputs.get(cell_id, cell.outputs)
    return notebook
