"""Draws in the notebook's pad, in a real browser, on the page that README's command makes."""

import base64
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from common import NOTEBOOK, ROOT, code_cells, picture, read, text_of
from helpers import FOREIGN, STROKES, draw, moved, network_of_pad

notebook = read()
cells = code_cells(notebook)


@pytest.fixture(scope="module")
def open_page(tmp_path_factory, browser):
    """A function that opens the page in a browser; a script error there fails the test."""
    folder, errors = tmp_path_factory.mktemp("page"), []
    convert = ["nbconvert", "--config", "page/config.py", NOTEBOOK, "--output-dir", folder]
    subprocess.run(
        [sys.executable, "-m", "jupyter", *convert],
        check=True,
        cwd=ROOT,
        env=os.environ | {"GITHUB_REPOSITORY": "someone/digits"},
        timeout=300,
    )

    def open_page(**options):
        page = browser.new_page(offline=True, **options)
        page.on("pageerror", lambda error: errors.append(error))
        page.goto((folder / f"{NOTEBOOK.stem}.html").as_uri(), wait_until="domcontentloaded")
        page.wait_for_selector(".digit-pad[data-ready]")
        return page

    yield open_page
    assert not errors


@pytest.fixture(scope="module")
def page(open_page):
    return open_page()


def say(page):
    """Return what the pad says now."""
    return page.locator(".digit-pad output").last.evaluate("o => o.value")


def ink(page):
    """Return the ink on the pad, (280, 280), from 0 to 255."""
    script = (
        "() => [...document.querySelector('.digit-pad').paper.getImageData(0, 0, 280, 280).data]"
    )
    return 255 - np.reshape(page.evaluate(script), (280, 280, 4))[..., 0]


def test_has_the_network_that_was_taught(names, digits):
    network, others = network_of_pad(notebook), load_digits()
    half = len(others.target) // 2
    images = np.stack([names["prepare_digit"](image) for image in others.images[half:]])
    misread = network.predict(images, verbose=0).argmax(axis=1) != others.target[half:]
    said = re.search(r"Misread after: ([\d.]+)%", text_of(cells["taught"].outputs))[1]
    assert 100 * misread.mean() == pytest.approx(float(said), abs=0.15)


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
        try:
            prepared.append(names["prepare_digit"](drawn))
        except ValueError:  # refused: it does not agree
            prepared.append(np.full((28, 28), np.nan))
    network = network_of_pad(notebook)
    np.testing.assert_allclose(shares, network.predict(np.stack(images), verbose=0), atol=1e-3)
    in_python = network.predict(np.stack(prepared), verbose=0)
    same = np.argmax(shares, axis=1) == in_python.argmax(axis=1)
    agreed = np.mean(same & ~np.isnan(in_python[:, 0]))
    assert agreed >= 0.99


def test_shows_what_is_read_as_drawn(page):
    small = [[(30 + x / 4, 30 + y / 4) for x, y in stroke] for stroke in STROKES[7]]
    assert draw(page, small) == "This is a 7."
    as_drawn = page.locator(".digit-pad output").first.evaluate("o => o.value")
    assert re.fullmatch(r"read as \d", as_drawn)


def assert_reads_drawn_digits(page):
    answers = [draw(page, strokes) for strokes in STROKES]
    assert sum(said == f"This is a {d}." for d, said in enumerate(answers)) >= 9, answers


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_reads_drawn_digits(open_page, width, scheme):
    page = open_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    pad = page.locator(".digit-pad canvas").first
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    assert 0 <= box["x"] <= box["x"] + box["width"] <= width
    assert_reads_drawn_digits(page)
    page.close()


def test_page_folds_cells_and_describes_figures(page):
    assert page.locator("a", has_text="Open in Colab").get_attribute("href") == (
        "https://colab.research.google.com/github/someone/digits/blob/HEAD/"
        "MNIST_digit_classification.ipynb"
    )
    folded = [c.source.splitlines()[0] for c in cells.values() if "cellView" in c.metadata]
    summaries = page.locator("details:not([open]) > summary").all_inner_texts()
    wanted = [title.removeprefix("# @title ") for title in folded]
    assert [s for s in summaries if s not in ("Contents", "Show the answers")] == wanted
    alts = page.eval_on_selector_all(".jp-OutputArea img", "i => i.map((i) => i.alt)")
    assert alts == [c.metadata["alt"] for c in cells.values() if picture(c.outputs)]
    missing = "l => l.filter((a) => !document.getElementById(decodeURI(a.hash.slice(1)))).length"
    links = "details a[href^='#'], .jp-MarkdownOutput a[href^='#']:not(.anchor-link)"
    assert page.eval_on_selector_all(links, "l => l.length") > 20
    assert page.eval_on_selector_all(links, missing) == 0


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
    assert len(still) < max(1, len(misread) / 2)
    learned = page.locator(".digit-pad .learned")
    assert learned.inner_text() == f"Learned from {clicks} drawing{'s' * (clicks != 1)}."
    assert_reads_drawn_digits(page)
    page.get_by_role("button", name="Forget").click()
    assert learned.inner_text() == "Learned from 0 drawings."
    assert draw(page, misread[0]) != right


def test_is_used_from_the_keyboard(page):
    page.get_by_role("button", name="Clear").click()
    canvas = page.locator(".digit-pad canvas").first

    def press(*keys):
        canvas.focus()
        for key in keys:
            page.keyboard.press(key)
        return say(page)

    assert press(*["ArrowUp"] * 12, "Space", *["ArrowDown"] * 24) == "This is a 1."
    assert press("7", "7", "7") == "This is a 7."
    page.get_by_role("button", name="Forget").click()
    assert say(page) == "This is a 1."
    assert press("Delete") == "Draw a digit."
    assert press("Control+z") == "This is a 1."
    press("Tab")
    assert not canvas.evaluate("c => c === document.activeElement")


def test_draws_where_the_first_pointer_is_and_nowhere_else(page):
    page.get_by_role("button", name="Clear").click()
    canvas = page.locator(".digit-pad canvas").first
    for style in ["zoom: 1", "zoom: 1.5", "transform: scale(0.7)"]:
        canvas.evaluate("(c, style) => { c.closest('.digit-pad').style = style; }", style)
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        middle = box["x"] + box["width"] / 4, box["y"] + box["height"] / 2
        for undo in [
            lambda: page.keyboard.press("Control+z"),
            lambda: page.get_by_role("button", name="Undo").click(),
        ]:
            page.mouse.click(*middle)  # a tap is a dot
            rows, columns = np.nonzero(ink(page) > 128)
            assert abs(columns.mean() - 70) < 2, style
            assert abs(rows.mean() - 140) < 2, style
            undo()
            assert ink(page).max() == 0
    canvas.evaluate("c => { c.closest('.digit-pad').style = ''; }")
    box = canvas.bounding_box()
    page.mouse.move(box["x"] - 20, box["y"] + 100)  # pressed outside, and moved in
    page.mouse.down()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.up()
    page.mouse.click(box["x"] + 100, box["y"] + 100, button="right")
    page.mouse.click(box["x"] + 100, box["y"] + 100, button="middle")
    assert ink(page).max() == 0
    touch = page.context.new_cdp_session(page)
    points = [{"x": box["x"] + 60, "y": box["y"] + 60, "id": 0}]
    second = {"x": box["x"] + 200, "y": box["y"] + 200, "id": 1}
    for kind, touches in [
        ("touchStart", points),
        ("touchStart", [*points, second]),
        ("touchMove", [{**points[0], "y": box["y"] + 160}, second]),
        ("touchEnd", []),
    ]:
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})
    rows, columns = np.nonzero(ink(page) > 128)
    assert np.ptp(columns) < 30, "The second finger must not draw."
    assert np.ptp(rows) > 90
    page.get_by_role("button", name="Clear").click()
