"""Runs the notebook's cells with nbval, as strictly as this machine allows.

Where MNIST can't be had, the cells are skipped. Where the machine computes exactly
as the one that saved the outputs, all numbers must be the same; elsewhere they
must lie in the bands of tests/bands.txt. The new outputs are kept for the tests
that look closer.
"""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbval.plugin import IPyNbCell

TESTS = Path(__file__).with_name("tests")
sys.path.insert(0, str(TESTS))
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
    saved = cells[0].parent.nb.metadata.get("fingerprint")
    if saved is None:  # a copy that test_breaks.py made
        config.stash[SAME_ARITHMETIC] = False
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
    *_, fingerprint = run.stdout.split()
    config.stash[SAME_ARITHMETIC] = fingerprint == saved


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Give nbval the bands of a cell; keep what it puts out, even if nbval objects."""
    if not isinstance(item, IPyNbCell):
        return (yield)
    from bands import rules
    from refresh import without_logs

    same = item.config.stash[SAME_ARITHMETIC]
    item.parent.sanitize_patterns = rules(item.cell.id, same)
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


def pytest_report_collectionfinish(config):
    if config.stash[SAME_ARITHMETIC] is None:
        return None
    if config.stash[SAME_ARITHMETIC]:
        return "This machine computes as the one that saved the notebook: no bands."
    return "The notebook's numbers may lie in the bands of tests/bands.txt."


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
