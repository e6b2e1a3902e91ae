"""What several tests share: the notebook's functions, and the network in its pad."""

import base64
import json
import re

import keras
import numpy as np
import pytest
from test_notebook import definitions


@pytest.fixture(scope="session")
def outputs(executed):
    """What the notebook's cells put out, as {cell id: outputs}."""
    return {cell.id: cell.get("outputs") for cell in executed.cells}


@pytest.fixture(scope="session")
def notebook_names():
    """The functions of the notebook that the pad copies in JavaScript."""
    return definitions()


@pytest.fixture(scope="session")
def network(outputs):
    """The network in the page, as a Keras model."""
    html = outputs["pad"][0].data["text/html"]
    text = re.search(r'atob\("([^"]+)"\)', html)[1]
    weights = np.frombuffer(base64.b64decode(text), dtype="<f4")
    model = keras.Sequential([keras.Input((28, 28)), keras.layers.Reshape((28, 28, 1))])
    layers = json.loads(re.search(r"layers = (\[.*\]);", html)[1])
    for i, layer in enumerate(layers):
        filters = layer["filters"]
        convolution = keras.layers.Conv2D(filters, layer["width"], use_bias=False)
        scale = keras.layers.BatchNormalization(epsilon=0)
        model.add(convolution)
        model.add(keras.layers.MaxPooling2D(layer["pool"]))
        model.add(scale)
        model.add(
            keras.layers.ReLU() if i < len(layers) - 1 else keras.layers.Softmax()
        )
        (shape,) = [weight.shape for weight in convolution.get_weights()]
        sizes = np.cumsum([np.prod(shape), filters, filters])
        kernel, factor, summand, weights = np.split(weights, sizes)
        convolution.set_weights([kernel.reshape(shape)])
        scale.set_weights([factor, summand, np.zeros(filters), np.ones(filters)])
    assert not len(weights)
    model.add(keras.layers.Flatten())
    return model
