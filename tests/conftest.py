"""What several tests share: the notebook's functions, its pad's network, a browser."""

import base64
import json
import os
import re
import shutil
import socket

import keras
import numpy as np
import pytest
from common import code_cells, definitions
from playwright import sync_api as playwright


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
    except Exception as error:  # noqa: BLE001, Keras raises nothing narrower
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
