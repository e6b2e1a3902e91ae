"""Draws in the notebook's pad, in a real browser, on the page nbconvert makes."""

import base64
import json
import re
import shutil
from contextlib import contextmanager

import keras
import numpy as np
import pytest
from nbconvert import HTMLExporter
from PIL import Image, ImageDraw
from sklearn.datasets import load_digits
from test_notebook import run_cells
from test_prepare_digit import STEPS

playwright = pytest.importorskip("playwright.sync_api", reason="no playwright here")
BROWSERS = ["chromium", "chromium-browser", "google-chrome", "chrome"]
browser_path = next(filter(None, map(shutil.which, BROWSERS)), None)
pytestmark = pytest.mark.skipif(
    not browser_path, reason="no Chromium is installed here"
)

# One way to write each digit: its strokes as corners on the pad of 280×280 pixels.
STROKES = {
    0: [
        [(140, 60), (95, 95), (85, 165), (120, 225), (165, 225), (195, 165), (140, 60)]
    ],
    1: [[(140, 50), (140, 230)]],
    2: [
        [(90, 100), (110, 65), (160, 60), (185, 95), (170, 140), (90, 225), (195, 225)]
    ],
    3: [
        [(95, 70), (150, 55), (185, 85), (130, 138), (190, 190), (160, 225), (95, 220)]
    ],
    4: [[(105, 55), (90, 150), (195, 150)], [(170, 60), (165, 235)]],
    5: [
        [(185, 60), (105, 60), (100, 130), (150, 125), (188, 160), (175, 210)],
        [(175, 210), (130, 228), (95, 215)],
    ],
    6: [
        [
            (165, 55),
            (95, 165),
            (110, 220),
            (155, 225),
            (182, 190),
            (165, 155),
            (98, 185),
        ]
    ],
    7: [[(90, 65), (190, 65), (130, 230)]],
    8: [
        [(145, 135), (105, 100), (115, 62), (160, 58), (178, 95), (145, 135)],
        [(145, 135), (105, 170), (105, 215), (150, 230), (185, 200), (145, 135)],
    ],
    9: [
        [
            (180, 95),
            (110, 75),
            (105, 115),
            (140, 135),
            (182, 90),
            (175, 160),
            (150, 230),
        ]
    ],
}


@contextmanager
def open_browser():
    """Start Chromium."""
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=browser_path,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def outputs(executed):
    """What the notebook's cells put out, as {cell id: outputs}."""
    return {cell.id: cell.get("outputs") for cell in executed.cells}


@pytest.fixture(scope="module")
def page(executed, tmp_path_factory):
    """The notebook as a page in Chromium; a script error there fails the test."""
    html, _ = HTMLExporter().from_notebook_node(executed)
    path = tmp_path_factory.mktemp("page") / "notebook.html"
    path.write_text(html, encoding="utf-8")
    errors = []
    with open_browser() as browser:
        page = browser.new_page(offline=True)
        page.on("pageerror", lambda error: errors.append(error))
        page.goto(path.as_uri(), wait_until="domcontentloaded")
        page.wait_for_selector(".digit-pad[data-ready]")
        yield page
    assert not errors


@pytest.fixture(scope="module")
def notebook_names():
    """The functions of the notebook that the pad copies in JavaScript."""
    return run_cells(*STEPS, "build-convolutional")


@pytest.fixture(scope="module")
def network(notebook_names, outputs):
    """The network in the page, as a Keras model."""
    html = outputs["pad"][0].data["text/html"]
    layer_sizes = json.loads(re.search(r"layerSizes = (\[.*\]),", html)[1])
    text = re.search(r'atob\("([^"]+)"\)', html)[1]
    weights = np.frombuffer(base64.b64decode(text), dtype="<f4")
    model = notebook_names["build_convolutional"](layer_sizes)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            n = layer.gamma.shape[0]
            # The page has one factor and one summand: what is left of the four
            # weights if the mean is 0 and the variance, with epsilon, is 1.
            mean, variance = np.zeros(n), np.full(n, 1 - layer.epsilon)
            layer.set_weights([weights[:n], weights[n : 2 * n], mean, variance])
            weights = weights[2 * n :]
        else:
            shapes = [weight.shape for weight in layer.get_weights()]
            sizes = [int(np.prod(shape)) for shape in shapes]
            parts = np.split(weights, np.cumsum(sizes))
            layer.set_weights([p.reshape(s) for p, s in zip(parts, shapes)])
            weights = parts[-1]
    assert not len(weights)
    return model


def answer(page):
    """Return what the pad says about the drawing."""
    return page.evaluate("document.querySelector('.digit-pad output').value")


def draw(page, strokes):
    """Clear the pad, draw strokes on it, and return what it says about them."""
    page.get_by_role("button", name="Clear").click()
    box = page.locator(".digit-pad canvas").first.bounding_box()
    for (x, y), *corners in strokes:
        page.mouse.move(box["x"] + x, box["y"] + y)
        page.mouse.down()
        for x, y in corners:
            page.mouse.move(box["x"] + x, box["y"] + y, steps=5)
        page.mouse.up()
    return answer(page)


def drawings(n):
    """Return n drawings of random strokes, as uint8 arrays of 280×280 pixels."""
    rng = np.random.default_rng(0)
    for _ in range(n):
        large = Image.new("L", (1120, 1120), "white")
        corners = rng.integers(
            *np.sort(rng.integers(50, 1070, 2) + [0, 50]), (rng.integers(2, 9), 2)
        )
        ImageDraw.Draw(large).line([*map(tuple, corners)], "black", 88, "curve")
        yield np.asarray(large.reduce(4))


def test_page_has_the_network_that_was_trained(network, notebook_names, outputs):
    digits = load_digits()
    prepared = np.stack([notebook_names["prepare_digit"](i) for i in digits.images])
    right = np.mean(
        network.predict(prepared, verbose=0).argmax(axis=1) == digits.target
    )
    printed = re.search(
        r"best network, prepared: ([\d.]+)%",
        outputs["other-writers-words"][0].text,
    )[1]
    assert 100 * right == pytest.approx(float(printed), abs=0.1)


def test_network_gives_what_keras_gives(page, network, notebook_names):
    prepared = np.stack(
        [notebook_names["prepare_digit"](i) for i in load_digits().images[:200]]
    )
    script = (
        "images => images.map(i => document.querySelector('.digit-pad').readDigit(i))"
    )
    in_page = page.evaluate(script, prepared.reshape(-1, 784).tolist())
    np.testing.assert_allclose(in_page, network.predict(prepared, verbose=0), atol=1e-3)


def test_preparation_gives_what_python_gives(page, network, notebook_names):
    script = """text => {
      const pad = document.querySelector(".digit-pad");
      const ink = Float32Array.from(atob(text), (c) => 1 - c.charCodeAt(0) / 255);
      const image = pad.prepareDigit(ink, 280);
      return [Array.from(image), pad.readDigit(image)];
    }"""
    for drawing in drawings(200):
        text = base64.b64encode(drawing.tobytes()).decode()
        image, probabilities = page.evaluate(script, text)
        prepared = notebook_names["prepare_digit"](drawing)
        np.testing.assert_allclose(image, prepared.ravel(), atol=1e-3)
        in_python = network(prepared[None])[0]
        np.testing.assert_allclose(probabilities, in_python, atol=1e-3)


def test_reads_drawn_digits(page):
    answers = {digit: draw(page, strokes) for digit, strokes in STROKES.items()}
    right = [digit for digit, said in answers.items() if said == f"This is a {digit}."]
    assert len(right) >= 9, answers


def test_is_used_from_the_keyboard(page):
    page.get_by_role("button", name="Clear").click()
    page.locator(".digit-pad canvas").first.focus()
    keys = ["ArrowUp"] * 12 + ["Space"] + ["ArrowDown"] * 24
    for key in keys:
        page.keyboard.press(key)
    assert answer(page) == "This is a 1."
    page.keyboard.press("Delete")
    assert answer(page) == "Draw a digit."
