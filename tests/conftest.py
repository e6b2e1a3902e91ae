"""What several tests share: the notebook's functions, its pad's network, a browser."""

import base64
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
import pytest
from common import code_cells, definitions, read
from nbconvert import PythonExporter
from playwright import sync_api as playwright

WITHOUT_MNIST = pytest.StashKey[tuple]()


def pytest_collection_finish(session):
    """Start the notebook as a script, without network and with a broken cache.

    It runs beside the first tests, as one training does not keep two cores busy.
    """
    names = [item.name for item in session.items]
    if "test_goes_on_without_mnist" not in names or session.config.option.collectonly:
        return
    folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    home, nowhere = Path(folder.name), "http://127.0.0.1:9"
    source, _ = PythonExporter().from_notebook_node(read())
    (home / "notebook.py").write_text(source, encoding="utf-8")
    (home / "datasets").mkdir()
    (home / "datasets" / "mnist.npz").write_bytes(b"not what was published")
    environment = dict.fromkeys(["HOME", "USERPROFILE", "KERAS_HOME"], str(home))
    environment |= dict.fromkeys(["http_proxy", "https_proxy"], nowhere)
    environment |= {"MPLBACKEND": "agg", "PYTHONIOENCODING": "utf-8"}
    with open(home / "printed.txt", "w") as printed:
        run = subprocess.Popen(
            [sys.executable, "notebook.py"],
            cwd=home,
            env=os.environ | environment,
            stdout=printed,
            stderr=subprocess.STDOUT,
        )
    session.config.add_cleanup(run.kill)
    session.config.stash[WITHOUT_MNIST] = run, folder


@pytest.fixture
def printed_without_mnist(pytestconfig):
    """What the notebook prints where MNIST can't be had."""
    run, folder = pytestconfig.stash[WITHOUT_MNIST]
    failed = run.wait(timeout=1800)
    printed = (Path(folder.name) / "printed.txt").read_text(encoding="utf-8")
    assert not failed, printed
    return printed


@pytest.fixture(scope="session")
def names():
    """The functions that the notebook defines, and what it imports, by name."""
    return definitions()


@pytest.fixture(scope="session")
def digits():
    """MNIST's 6,000 validation images, uint8, and their labels; skipped without MNIST."""
    socket.setdefaulttimeout(30)  # a blocked address may never answer
    try:
        (images, labels), _ = keras.datasets.mnist.load_data()
    except Exception as error:
        if "CI" in os.environ:
            raise
        pytest.skip(f"MNIST can't be had: {error}")
    return images[-6000:], labels[-6000:]


@pytest.fixture(scope="session")
def network(executed):
    """The network in the pad of the page, as a Keras model."""
    html = code_cells(executed)["pad"].outputs[0].data["text/html"]
    text = re.search(r'atob\("([^"]+)"\)', html)[1]
    weights = np.frombuffer(base64.b64decode(text), dtype="<f4")
    model = keras.Sequential([keras.Input((28, 28)), keras.layers.Reshape((28, 28, 1))])
    layers = json.loads(re.search(r"layers = (\[.*\]);", html)[1])
    for layer in layers:
        filters = layer["filters"]
        convolution = keras.layers.Conv2D(filters, layer["width"], use_bias=False)
        scale = keras.layers.BatchNormalization(epsilon=0)
        last = keras.layers.Softmax() if layer is layers[-1] else keras.layers.ReLU()
        for part in (
            convolution,
            keras.layers.MaxPooling2D(layer["pool"]),
            scale,
            last,
        ):
            model.add(part)
        (shape,) = [weight.shape for weight in convolution.get_weights()]
        sizes = np.cumsum([np.prod(shape), filters, filters])
        kernel, factor, summand, weights = np.split(weights, sizes)
        convolution.set_weights([kernel.reshape(shape)])
        scale.set_weights([factor, summand, np.zeros(filters), np.ones(filters)])
    assert not len(weights)
    model.add(keras.layers.Flatten())
    return model


@pytest.fixture(scope="module")
def browser():
    """Chromium, or Chrome; where there is none, tests are skipped, but never in CI."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    found = {"executable_path": path} if path else {"channel": "chrome"}
    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with playwright.sync_playwright() as driver:
        try:
            browser = driver.chromium.launch(args=options, **found)
        except playwright.Error as error:
            if "CI" in os.environ:
                raise
            pytest.skip(f"no Chromium or Chrome could be started: {error}")
        yield browser
        browser.close()
