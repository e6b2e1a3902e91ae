"""Draws in the notebook's pad, in a real browser, on the page nbconvert makes."""

import base64
import re
import shutil
from contextlib import contextmanager

import keras
import numpy as np
import pytest
from drawings import FOREIGN, STROKES, moved
from nbconvert import HTMLExporter
from PIL import Image
from sklearn.datasets import load_digits

playwright = pytest.importorskip("playwright.sync_api", reason="no playwright here")
BROWSERS = ["chromium", "chromium-browser", "google-chrome", "chrome"]
browser_path = next(filter(None, map(shutil.which, BROWSERS)), None)
pytestmark = pytest.mark.skipif(
    not browser_path, reason="no Chromium is installed here"
)


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


def answer(page):
    """Return what the pad says about the drawing."""
    return page.evaluate("document.querySelectorAll('.digit-pad output')[1].value")


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
    """Return n of MNIST's validation digits, enlarged to the pad's 280×280 pixels."""
    try:
        (images, _), _ = keras.datasets.mnist.load_data()
    except Exception as error:  # noqa: BLE001, Keras raises nothing narrower
        pytest.skip(f"MNIST can't be had: {error}")
    for image in images[-6000:][:n]:
        large = Image.fromarray(image).resize((280, 280), Image.Resampling.BICUBIC)
        yield 255 - np.asarray(large)


def test_page_has_the_network_that_was_taught(network, notebook_names, outputs):
    digits = load_digits()
    half = len(digits.target) // 2
    images = [notebook_names["prepare_digit"](i) for i in digits.images[half:]]
    read = network.predict(np.stack(images), verbose=0).argmax(axis=1)
    text = "".join(output.get("text", "") for output in outputs["taught"])
    (printed,) = re.findall(r"other writers +[\d.]+ +([\d.]+)", text)
    wrong = 100 * np.mean(read != digits.target[half:])
    assert wrong == pytest.approx(float(printed), abs=0.15)


def test_network_gives_what_keras_gives(page, network, notebook_names):
    prepared = np.stack(
        [notebook_names["prepare_digit"](i) for i in load_digits().images[:200]]
    )
    script = "images => images.map(i => Array.from(document.querySelector('.digit-pad').readDigit(i).shares))"
    in_page = page.evaluate(script, prepared.reshape(-1, 784).tolist())
    np.testing.assert_allclose(in_page, network.predict(prepared, verbose=0), atol=1e-3)


def test_reads_drawings_as_python_does(page, network, notebook_names):
    script = """text => {
      const pad = document.querySelector(".digit-pad");
      const pixels = new ImageData(280, 280);
      [...atob(text)].forEach((c, i) => pixels.data.set([c, c, c].map((c) => c.charCodeAt(0)), 4 * i));
      pixels.data.forEach((_, i) => { if (i % 4 === 3) pixels.data[i] = 255; });
      pad.paper.putImageData(pixels, 0, 0);
      const image = pad.prepareDigit(pad.paper);
      return [Array.from(image), Array.from(pad.readDigit(image).shares)];
    }"""
    same = []
    for drawing in drawings(400):
        text = base64.b64encode(drawing.tobytes()).decode()
        image, probabilities = page.evaluate(script, text)
        in_page = network(np.reshape(image, (1, 28, 28)), training=False)[0]
        np.testing.assert_allclose(probabilities, in_page, atol=1e-3)
        prepared = notebook_names["prepare_digit"](drawing)
        in_python = network(prepared[None], training=False)[0]
        same.append(np.argmax(probabilities) == np.argmax(in_python))
    page.get_by_role("button", name="Clear").click()
    assert np.mean(same) >= 0.99


def test_shows_what_is_read_as_drawn(page):
    draw(page, [[(30 + x / 4, 30 + y / 4) for x, y in STROKES[7][0]]])
    values = "outputs => outputs.map((output) => output.value)"
    texts = page.locator(".digit-pad output").evaluate_all(values)
    assert re.fullmatch(r"read as \d", texts[0]), texts
    assert texts[1] == "This is a 7."


def test_reads_drawn_digits(page):
    answers = {digit: draw(page, strokes) for digit, strokes in STROKES.items()}
    right = [digit for digit, said in answers.items() if said == f"This is a {digit}."]
    assert len(right) >= 9, answers


def correct(page, strokes, digit):
    """Draw, and click the right digit if it is misread, up to three times.

    Returns how often that was needed.
    """
    clicks = 0
    while draw(page, strokes) != f"This is a {digit}." and clicks < 3:
        page.get_by_role("button", name=f"This is a {digit}").click()
        clicks += 1
    return clicks


@pytest.mark.parametrize("form", FOREIGN)
def test_learns_a_form_that_it_misreads(page, form):
    digit, strokes = FOREIGN[form]
    rng, right = np.random.default_rng(0), f"This is a {digit}."
    hands = [moved(strokes, rng) for _ in range(12)]
    misread = [hand for hand in hands if draw(page, hand) != right]
    assert misread
    taught = [correct(page, hand, digit) for hand in misread[:3]]
    assert all(draw(page, hand) == right for hand in misread[:3])
    assert max(taught) <= 3
    still = [hand for hand in hands if draw(page, hand) != right]
    assert len(still) < len(misread) / 2
    said = page.locator(".digit-pad .learned")
    n = sum(taught)
    assert said.inner_text() == f"Learned from {n} drawing{'' if n == 1 else 's'}."
    answers = {digit: draw(page, strokes) for digit, strokes in STROKES.items()}
    kept = [digit for digit, said in answers.items() if said == f"This is a {digit}."]
    assert len(kept) >= 9, answers
    page.get_by_role("button", name="Forget").click()
    assert said.inner_text() == "Learned from 0 drawings."
    assert draw(page, misread[0]) != right


def test_is_used_from_the_keyboard(page):
    page.get_by_role("button", name="Clear").click()
    page.locator(".digit-pad canvas").first.focus()
    keys = ["ArrowUp"] * 12 + ["Space"] + ["ArrowDown"] * 24
    for key in keys:
        page.keyboard.press(key)
    assert answer(page) == "This is a 1."
    for _ in range(3):
        page.keyboard.press("7")
    assert answer(page) == "This is a 7."
    page.get_by_role("button", name="Forget").click()
    assert answer(page) == "This is a 1."
    page.locator(".digit-pad canvas").first.focus()
    page.keyboard.press("Delete")
    assert answer(page) == "Draw a digit."
