"""Draws in the notebook's pad, in a real browser, on the page that README's command makes."""

import base64
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from common import NOTEBOOK, ROOT, code_cells, pictures, read, texts
from helpers import FOREIGN, STROKES, draw, moved, network_of_pad
from PIL import Image
from sklearn.datasets import load_digits

# With its saved outputs, as the page is published. The cells of a new run are compared
# with these, all but the weights in the pad.
notebook = read()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The path of the page, with the link that it has on GitHub."""
    folder = tmp_path_factory.mktemp("page")
    convert = ["nbconvert", "--config", "page/config.py", NOTEBOOK]
    subprocess.run(
        [sys.executable, "-m", "jupyter", *convert, "--output-dir", folder],
        check=True,
        cwd=ROOT,
        env=os.environ | {"GITHUB_REPOSITORY": "someone/digits"},
    )
    return folder / "MNIST_digit_classification.html"


@pytest.fixture(scope="module")
def open_page(made, browser):
    """A function that opens the page in a browser; a script error there fails the test."""
    errors = []

    def open_page(**options):
        page = browser.new_page(offline=True, **options)
        page.on("pageerror", lambda error: errors.append(error))
        page.goto(made.as_uri(), wait_until="domcontentloaded")
        page.wait_for_selector(".digit-pad[data-ready]")
        return page

    yield open_page
    assert not errors


@pytest.fixture(scope="module")
def page(open_page):
    """The page in a browser."""
    return open_page()


@pytest.fixture
def say(page):
    """A function that returns what the pad says now."""
    return lambda: page.locator(".digit-pad output").last.evaluate("o => o.value")


def test_page_has_the_network_that_was_taught(executed, names, digits):
    network = network_of_pad(executed)
    others = load_digits()
    half = len(others.target) // 2
    images = [names["prepare_digit"](image) for image in others.images[half:]]
    answers = network.predict(np.stack(images), verbose=0).argmax(axis=1)
    printed = texts(executed)["taught"]
    (misread,) = re.findall(r"other writers +[\d.]+ +([\d.]+)", printed)
    wrong = 100 * np.mean(answers != others.target[half:])
    assert wrong == pytest.approx(float(misread), abs=0.15)
    (misread,) = re.findall(r"test images +[\d.]+ +([\d.]+)", printed)
    _, (images, labels) = names["load_mnist"]()
    answers = network.predict(images / 255, verbose=0).argmax(axis=1)
    assert 100 * np.mean(answers != labels) == pytest.approx(float(misread), abs=0.015)


def test_reads_drawings_as_python_does(page, names, digits):
    script = """text => {
      const pad = document.querySelector(".digit-pad");
      const pixels = new ImageData(280, 280);
      const grey = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
      grey.forEach((v, i) => pixels.data.set([v, v, v, 255], 4 * i));
      pad.paper.putImageData(pixels, 0, 0);
      const image = pad.prepareDigit(pad.paper);
      return [Array.from(image), Array.from(pad.readDigit(image).shares)];
    }"""
    images, shares, prepared = [], [], []
    for image in digits[0][:400]:
        large = Image.fromarray(image).resize((280, 280), Image.Resampling.BICUBIC)
        drawn = 255 - np.asarray(large)
        seen = page.evaluate(script, base64.b64encode(drawn.tobytes()).decode())
        images.append(np.reshape(seen[0], (28, 28)))
        shares.append(seen[1])
        prepared.append(names["prepare_digit"](drawn))
    network = network_of_pad(notebook)
    by_keras = network.predict(np.stack(images), verbose=0)
    np.testing.assert_allclose(shares, by_keras, atol=1e-3)
    in_python = network.predict(np.stack(prepared), verbose=0)
    assert np.mean(np.argmax(shares, axis=1) == in_python.argmax(axis=1)) >= 0.99


def test_shows_what_is_read_as_drawn(page):
    small = [[(30 + x / 4, 30 + y / 4) for x, y in stroke] for stroke in STROKES[7]]
    assert draw(page, small) == "This is a 7."
    as_drawn = page.locator(".digit-pad output").first.evaluate("o => o.value")
    assert re.fullmatch(r"read as \d", as_drawn)


def assert_reads_drawn_digits(page):
    answers = [draw(page, strokes) for strokes in STROKES]
    assert sum(said == f"This is a {d}." for d, said in enumerate(answers)) >= 9, (
        answers
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_reads_drawn_digits(open_page, width, scheme):
    page = open_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    pad = page.locator(".digit-pad canvas").first
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    assert 0 <= box["x"] <= box["x"] + box["width"] <= width
    assert_reads_drawn_digits(page)
    page.close()


def test_page_folds_cells_and_describes_figures(page):
    cells = code_cells(notebook)
    assert page.locator("a", has_text="Open in Colab").get_attribute("href") == (
        "https://colab.research.google.com/github/someone/digits/blob/HEAD/"
        "MNIST_digit_classification.ipynb"
    )
    folded = [c for c in cells.values() if c.source.startswith("# @title ")]
    titles = [c.source.splitlines()[0].removeprefix("# @title ") for c in folded]
    assert page.locator("details:not([open]) > summary").all_inner_texts() == [
        *titles,
        "Answers",
    ]
    alts = page.eval_on_selector_all(".jp-OutputArea img", "i => i.map((i) => i.alt)")
    assert alts == [cells[cell_id].metadata["alt"] for cell_id in pictures(notebook)]


@pytest.mark.parametrize(("digit", "strokes"), FOREIGN.values(), ids=FOREIGN)
def test_learns_a_form_that_it_misreads(page, digit, strokes):
    rng, right, clicks = np.random.default_rng(0), f"This is a {digit}.", 0
    hands = [moved(strokes, rng) for _ in range(12)]
    misread = [hand for hand in hands if draw(page, hand) != right]
    assert misread, "The network reads them all: choose another form, to see it learn."
    for hand in misread[:3]:
        for _ in range(3):
            if draw(page, hand) != right:
                page.get_by_role("button", name=f"This is a {digit}").click()
                clicks += 1
    assert all(draw(page, hand) == right for hand in misread[:3])
    still = [hand for hand in hands if draw(page, hand) != right]
    assert len(still) < len(misread) / 2
    learned = page.locator(".digit-pad .learned")
    plural = "" if clicks == 1 else "s"
    assert learned.inner_text() == f"Learned from {clicks} drawing{plural}."
    assert_reads_drawn_digits(page)
    page.get_by_role("button", name="Forget").click()
    assert learned.inner_text() == "Learned from 0 drawings."
    assert draw(page, misread[0]) != right


def test_is_used_from_the_keyboard(page, say):
    def press(*keys):
        page.locator(".digit-pad canvas").first.focus()
        for key in keys:
            page.keyboard.press(key)
        return say()

    page.get_by_role("button", name="Clear").click()
    upright = press(*["ArrowUp"] * 12, "Space", *["ArrowDown"] * 24)
    assert upright == "This is a 1."
    assert press("7", "7", "7") == "This is a 7."
    page.get_by_role("button", name="Forget").click()
    assert say() == "This is a 1."
    assert press("Delete") == "Draw a digit."
