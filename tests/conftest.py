"""Skips the comparison of the notebook's outputs where MNIST can't be had."""

import subprocess
import sys

import pytest
from nbval.plugin import IPyNbCell

LOAD_MNIST = """
import socket, keras
socket.setdefaulttimeout(30)
keras.datasets.mnist.load_data()
"""


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
