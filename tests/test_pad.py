"""Draws in the notebook's pad, in a real browser, on the page that README's command makes."""

import base64
import json
import re
from io import BytesIO
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect
from sklearn.datasets import load_digits

from common import NOTEBOOK, code_cells, picture, read, run_python, text_of
from helpers import FOREIGN, STROKES, draw, network_of_pad

SAYS = [f"This is a {digit}." for digit in range(10)]
notebook = read()
cells = code_cells(notebook)


@pytest.fixture(scope="module")
def page(tmp_path_factory, browser):
    """The page in a browser, for all tests; a script error in any of them fails the last."""
    folder, errors = tmp_path_factory.mktemp("page"), []
    convert = f"-m jupyter nbconvert --config page/config.py {NOTEBOOK.name} --output-dir"
    run = run_python(*convert.split(), folder, env={"GITHUB_REPOSITORY": "someone/digits"})
    assert run.returncode == 0, run.stderr
    page = browser.new_page(offline=True)
    page.on("pageerror", lambda error: errors.append(error))
    page.goto((folder / f"{NOTEBOOK.stem}.html").as_uri(), wait_until="domcontentloaded")
    page.wait_for_selector(".digit-pad[data-ready]")
    yield page
    assert not errors


def test_has_the_network_that_was_taught(names):
    network, others = network_of_pad(notebook), load_digits()
    half = len(others.target) // 2
    images = np.stack([names["prepare_digit"](image) for image in others.images[half:]])
    misread = network.predict(images, verbose=0).argmax(axis=1) != others.target[half:]
    said = re.search(r"Misread after: ([\d.]+)%", text_of(cells["taught"].outputs))[1]
    assert 100 * misread.mean() == pytest.approx(float(said), abs=0.15)


def test_reads_drawings_as_python_does(page, names, digits):
    script = """async (pngs) => {
      const pad = document.querySelector(".digit-pad"), drawing = new Image(), read = [];
      for (const png of pngs) {
        drawing.src = `data:image/png;base64,${png}`;
        await drawing.decode();
        pad.paper.drawImage(drawing, 0, 0);
        const image = pad.prepareDigit(pad.paper);
        read.push([[...image], pad.readDigit(image).shares]);
      }
      return JSON.stringify(read);
    }"""
    pngs, prepared = [], []
    for image in digits[0][:400]:
        drawing = Image.fromarray(255 - image).resize((280, 280), Image.Resampling.BICUBIC)
        drawing.save(file := BytesIO(), "PNG")
        pngs.append(base64.b64encode(file.getvalue()).decode())
        try:
            prepared.append(names["prepare_digit"](np.asarray(drawing)))
        except ValueError:  # refused: it does not agree
            prepared.append(np.full((28, 28), np.nan))
    images, shares = zip(*json.loads(page.evaluate(script, pngs)))
    network = network_of_pad(notebook)
    expected = network.predict(np.reshape(images, (-1, 28, 28)), verbose=0)
    np.testing.assert_allclose(shares, expected, atol=1e-3)
    in_python = network.predict(np.stack(prepared), verbose=0)
    same = np.argmax(shares, axis=1) == in_python.argmax(axis=1)
    assert np.mean(same & ~np.isnan(in_python[:, 0])) >= 0.99


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_reads_drawn_digits(page, width, scheme):
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    page.reload(wait_until="domcontentloaded")
    canvas = page.locator(".digit-pad canvas").first
    canvas.scroll_into_view_if_needed()
    expect(canvas).to_be_in_viewport(ratio=1)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    answers = [draw(page, strokes) for strokes in STROKES]
    assert np.sum(np.array(answers) == SAYS) >= 9, answers
    small = [[(30 + x / 4, 30 + y / 4) for x, y in stroke] for stroke in STROKES[7]]
    assert draw(page, small) == SAYS[7]
    expect(page.locator(".digit-pad output").first).to_have_text(re.compile(r"^read as \d$"))


def test_page_folds_cells_and_describes_figures(page):
    colab = f"https://colab.research.google.com/github/someone/digits/blob/HEAD/{NOTEBOOK.name}"
    expect(page.locator("a", has_text="Open in Colab")).to_have_attribute("href", colab)
    folded = [c.source.splitlines()[0] for c in cells.values() if "cellView" in c.metadata]
    summaries = page.locator("details:not([open]) > summary").all_inner_texts()
    wanted = [title.removeprefix("# @title ") for title in folded]
    assert [s for s in summaries if s not in ("Contents", "Show the answers")] == wanted
    alts = page.eval_on_selector_all(".jp-OutputArea img", "i => i.map((i) => i.alt)")
    assert alts == [c.metadata["alt"] for c in cells.values() if picture(c.outputs)]
    links = "details a[href^='#'], .jp-MarkdownOutput a[href^='#']:not(.anchor-link)"
    lead = "l => l.map((a) => !!document.getElementById(decodeURI(a.hash.slice(1))))"
    found = page.eval_on_selector_all(links, lead)
    assert len(found) > 20 and all(found), found


def say(page, drawings):
    """Return what the pad says to drawings: a script paints them; undoing a Clear, it reads."""
    script = """drawings => drawings.map((strokes) => {
      const pad = document.querySelector(".digit-pad");
      pad.paper.fillRect(0, 0, 280, 280);
      pad.paper.stroke(new Path2D(strokes.map((corners) => `M${corners.join("L")}`).join("")));
      for (const name of ["clear", "undo"]) pad.querySelector(`.${name}`).click();
      return pad.querySelectorAll("output")[1].value;
    })"""
    return page.evaluate(script, drawings)


@pytest.mark.parametrize(("digit", "strokes"), FOREIGN.values(), ids=FOREIGN)
def test_learns_a_form_that_it_misreads(page, digit, strokes):
    rng, right, clicks = np.random.default_rng(0), SAYS[digit], 0
    shaken = [[s + rng.uniform(-8, 8, np.shape(s)) for s in strokes] for _ in range(12)]
    hands = [[stroke.tolist() for stroke in hand] for hand in shaken]
    misread = [hand for hand, said in zip(hands, say(page, hands)) if said != right]
    assert misread, "The network reads them all: choose another form, to see it learn."
    for hand in misread[:3]:
        for _ in range(3):
            if say(page, [hand]) != [right]:
                page.get_by_role("button", name=f"This is a {digit}").click()
                clicks += 1
    assert set(say(page, misread[:3])) == {right}
    assert draw(page, misread[0]) == right
    still = [said for said in say(page, hands) if said != right]
    assert len(still) < max(1, len(misread) / 2)
    learned = page.locator(".digit-pad .learned")
    assert learned.inner_text() == f"Learned from {clicks} drawing{'s' * (clicks != 1)}."
    answers = [draw(page, strokes) for strokes in STROKES]
    assert np.sum(np.array(answers) == SAYS) >= 9, answers
    page.get_by_role("button", name="Forget").click()
    assert learned.inner_text() == "Learned from 0 drawings."
    assert say(page, misread[:1]) != [right]


def test_is_used_from_the_keyboard(page):
    page.get_by_role("button", name="Clear").click()
    canvas = page.locator(".digit-pad canvas").first

    def press(keys, said):
        canvas.focus()
        for key in keys:
            page.keyboard.press(key)
        assert page.locator(".digit-pad output").last.inner_text() == said

    press(["ArrowUp"] * 12 + ["Space"] + ["ArrowDown"] * 24, SAYS[1])
    press("777", SAYS[7])
    page.get_by_role("button", name="Forget").click()
    press([], SAYS[1])
    press(["Delete"], "Draw a digit.")
    press(["Control+z"], SAYS[1])
    page.keyboard.press("Tab")
    expect(canvas).not_to_be_focused()


def ink(page):
    """Return the ink on the pad, (280, 280), from 0 to 255."""
    url = page.evaluate("document.querySelector('.digit-pad').paper.canvas.toDataURL()")
    return 255 - np.asarray(Image.open(urlopen(url)).convert("L"))


def test_draws_where_the_first_pointer_is_and_nowhere_else(page):
    page.get_by_role("button", name="Clear").click()
    canvas, mouse = page.locator(".digit-pad canvas").first, page.mouse
    undo_button = page.get_by_role("button", name="Undo")
    for style in ["zoom: 1.5", "transform: scale(0.7)", ""]:
        canvas.evaluate("(c, style) => { c.closest('.digit-pad').style = style; }", style)
        canvas.scroll_into_view_if_needed()
        left, top, width, height = canvas.bounding_box().values()
        for undo in [lambda: page.keyboard.press("Control+z"), undo_button.click]:
            mouse.click(left + width / 4, top + height / 2)  # a tap is a dot
            rows, columns = np.nonzero(ink(page) > 128)
            assert (columns.mean(), rows.mean()) == pytest.approx((70, 140), abs=2), style
            undo()
            assert ink(page).max() == 0
    mouse.move(left - 20, top + 100)  # pressed outside, and moved in
    mouse.down()
    mouse.move(left + 100, top + 100)
    mouse.up()
    for button in ["right", "middle"]:
        mouse.click(left + 100, top + 100, button=button)
    assert ink(page).max() == 0
    touch = page.context.new_cdp_session(page)
    for kind, *points in [
        ("touchStart", (60, 60)),
        ("touchStart", (60, 60), (200, 200)),
        ("touchMove", (60, 160), (200, 250)),
        ("touchEnd",),
    ]:
        fingers = [{"x": left + x, "y": top + y, "id": n} for n, (x, y) in enumerate(points)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})
    rows, columns = np.nonzero(ink(page) > 128)
    assert np.ptp(columns) < 30, "The second finger must not draw."
    assert np.ptp(rows) > 90
