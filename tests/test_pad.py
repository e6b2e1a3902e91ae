"""Draws on the notebook's two pads, in a real browser, on the page that README's command makes."""

import re
from io import BytesIO
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from common import NOTEBOOK, code_cells, picture, read, run_python
from helpers import FOREIGN, STROKES, draw, hands, network_of, network_of_pad, parts_of_pad

SAYS = [f"This is a {digit}." for digit in range(10)]
PADS = ["draw-first", "draw-again"]  # as drawn; prepared, with doubt and teaching
# The pad must do without: some browsers lack them, or change what is read from a canvas.
OLD = """delete self.OffscreenCanvas; delete Array.prototype.at;
CanvasRenderingContext2D.prototype.getImageData = () => { throw Error("not read") };"""
cells = code_cells(read())
html = {name: cells[name].outputs[0].data["text/html"] for name in PADS}


@pytest.fixture(scope="module")
def page(tmp_path_factory, browser):
    """The page in a browser, for all tests; a script error in any of them fails the last."""
    folder, errors = tmp_path_factory.mktemp("page"), []
    convert = f"-m jupyter nbconvert --config page/config.py {NOTEBOOK.name} --output-dir"
    run = run_python(*convert.split(), folder, env={"PUBLISHED_FROM": "someone/digits"})
    assert run.returncode == 0, run.stderr
    page = browser.new_page(offline=True)
    page.add_init_script(OLD)
    page.on("pageerror", lambda error: errors.append(error))
    page.goto((folder / f"{NOTEBOOK.stem}.html").as_uri(), wait_until="domcontentloaded")
    page.wait_for_selector(".digit-pad[data-ready]")
    yield page
    assert not errors


@pytest.fixture
def pad(page):
    """The pad of part 3, empty, and having learned nothing."""
    pad = page.locator(".digit-pad").last
    pad.get_by_role("button", name="Forget").click()
    pad.get_by_role("button", name="Clear").click()
    return pad


def shown(pad, drawings):
    """Draw by a script; return what the pad says to each, its bars and its 28×28 pixels."""
    script = """(pad, drawings) => drawings.map((strokes) => [
      pad.drawn(strokes),
      [...pad.querySelectorAll(".bar")].map((bar) => [
        bar.children[0].textContent,
        parseFloat(bar.children[1].style.width),
        parseFloat(bar.children[2].textContent),
        getComputedStyle(bar).fontWeight > 500,
      ]),
      Array.from(pad.prepareDigit(pad.ink) || []),
    ])"""
    return list(zip(*pad.evaluate(script, drawings)))


def say(pad, drawings):
    """Return what the pad says to each of the drawings."""
    return np.array(shown(pad, drawings)[0])


def paper(pad):
    """Return the ink on the paper, (280, 280), from 0 to 255."""
    url = pad.locator(".paper").evaluate("canvas => canvas.toDataURL()")
    return 255 - np.asarray(Image.open(urlopen(url)).convert("L"))


def test_computes_what_a_network_with_normalization_does(names):
    exec(cells["build-convolutional"].source, values := dict(names))  # noqa: S102
    model, rng = values["conv_model"], np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, names["keras"].layers.BatchNormalization):
            layer.set_weights(rng.uniform(0.5, 2, (4, *layer.gamma.shape)))
    images = rng.random((20, 28, 28))
    found = network_of(*names["layers_of"](model)).predict(images, verbose=0)
    np.testing.assert_allclose(found, model.predict(images, verbose=0), atol=1e-4)


def test_is_a_picture_where_no_script_runs(browser):
    left = "".join(re.sub("(?s)<script>.*</script>", "", html[name]) for name in PADS)
    assert not re.search("<(style|canvas|button|svg|script)|hidden|style=", left)
    page = browser.new_page()
    page.set_content(left)
    images = page.eval_on_selector_all("img", "i => i.map((i) => [i.alt, i.naturalWidth])")
    assert len(images) == len(PADS)
    for alt, width in images:
        assert re.search(r"a digit, read as \d", alt) and width > 300
    expect(page.get_by_text("run this cell, in Colab or Jupyter, to draw")).to_have_count(2)
    page.close()


@pytest.mark.parametrize("name", PADS)
def test_says_and_shows_what_python_computes(page, name):
    pad, limit = page.locator(".digit-pad").nth(PADS.index(name)), parts_of_pad(name)["limit"]
    said, bars, seen = shown(pad, [*hands(40), []])
    assert said[-1] == "Draw a digit." and {bar[1] for bar in bars[-1]} == {0}
    images = np.reshape(seen[:-1], (-1, 28, 28))
    shares = network_of_pad(name).predict(images, verbose=0)
    for sentence, drawn, share in zip(said, bars, shares):
        digit, doubt = share.argmax(), share.max() < limit
        assert sentence == (f"perhaps a {digit}, or no digit" if doubt else SAYS[digit])
        labels, widths, percentages, bold = zip(*drawn)
        assert "".join(labels) == "0123456789"
        assert widths == pytest.approx(100 * share, abs=0.2)
        assert percentages == pytest.approx(100 * share, abs=0.7)
        assert bold == tuple(np.arange(10) == digit)
    # With a limit, some say "This is" and some "perhaps".
    assert len({sentence.split()[0] for sentence in said[:-1]}) == (2 if limit else 1)


def test_sees_what_python_prepares(page, names):
    """Compares size, place and greys of the 28×28 pixels: as drawn, and prepared."""
    inks = [names["drawing"](*([*map(tuple, s)] for s in hand)) for hand in hands(20)]
    texts = [(np.uint8(ink) + 48).tobytes().decode() for ink in inks]  # "000011100…"
    script = """(pad, texts) => texts.map((text) =>
      Array.from(pad.prepareDigit(Array.from(text, Number))))"""
    pads = page.locator(".digit-pad").all()
    first, again = (np.reshape(pad.evaluate(script, texts), (-1, 28, 28)) for pad in pads)
    means = [ink.reshape(28, 10, 28, 10).mean(axis=(1, 3)) for ink in inks]
    np.testing.assert_allclose(first, means, atol=1e-4)
    python = [names["prepare_digit"](np.uint8(255 * (1 - ink))) for ink in inks]
    np.testing.assert_allclose(again, python, atol=1e-3)


def test_learns_by_the_gradient(pad):
    """One step towards a 9, in the last layer; its rate is 0.5 / the sum of its squared inputs."""
    script = """(pad, image) => {
      const old = pad.weights.slice();
      pad.learnDigit(image, 9, 1, 1);  // until its share is 1, in one step at most
      return [Array.from(pad.weights, (weight, i) => weight - old[i]), pad.readDigit(image).shares];
    }"""
    *_, (image,) = shown(pad, [STROKES[4]])
    step, (*_, nine) = pad.evaluate(script, image)
    network, values = network_of_pad(), np.reshape(image, (1, 28, 28))
    probabilities = network(values)[0]
    for layer in network.layers[:-1]:
        values = layer(values)
    inputs = np.append(values, 1)  # with that of the biases
    slopes = np.outer(inputs, probabilities - np.eye(10)[9]).ravel()
    expected = np.append(np.zeros(len(step) - len(slopes)), -0.5 / np.sum(inputs**2) * slopes)
    np.testing.assert_allclose(step, expected, atol=1e-6)
    assert nine > probabilities[9]


@pytest.mark.parametrize("width", [390, 1280])
def test_is_seen_whole_with_a_digit_until_somebody_draws(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.reload(wait_until="domcontentloaded")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for name, pad in zip(PADS, page.locator(".digit-pad").all()):
        (digit,) = re.findall(r"a digit, read as (\d)", html[name])
        expect(pad.locator("output")).to_have_text(SAYS[int(digit)])
        expect(hint := pad.get_by_text("Draw a digit here")).to_be_visible()
        pad.evaluate("pad => scrollTo(0, pad.getBoundingClientRect().top + scrollY)")
        for part in [".paper", "output", ".bars", ".seen"]:
            expect(pad.locator(part)).to_be_in_viewport(ratio=1)
        pad.locator(".paper").click(position={"x": 70, "y": 140})
        expect(hint).to_be_hidden()
        assert paper(pad)[:, 100:].max() == 0, "The example must go with the first stroke."


def test_works_in_a_page_that_a_browser_saved(page, browser, tmp_path):
    (path := tmp_path / "saved.html").write_text(page.content(), encoding="utf-8")
    saved = browser.new_page(offline=True)
    saved.goto(path.as_uri(), wait_until="domcontentloaded")
    assert [draw(saved, STROKES[4], which) for which in (0, 1)] == [SAYS[4]] * 2
    saved.close()


@pytest.mark.parametrize(("which", "wanted"), [(0, 6), (1, 9)])
def test_reads_drawn_digits(page, names, which, wanted):
    pad = page.locator(".digit-pad").nth(which)
    answers = say(pad, STROKES)
    assert np.sum(answers == SAYS) >= wanted, answers
    assert draw(page, STROKES[4], which) == answers[4]
    assert np.mean(np.abs(paper(pad) / 255 - names["drawing"](*STROKES[4]))) < 0.02


@pytest.mark.parametrize("how", ["media=print", "forced_colors=active", "color_scheme=dark"])
def test_is_seen_printed_in_forced_colours_and_in_the_dark(page, pad, how):
    say(pad, STROKES[1:2])
    page.emulate_media(**dict([how.split("=")]))
    pngs = [pad.locator(part).screenshot() for part in (".sheet", ".bars")]
    page.emulate_media(media="screen", forced_colors="none", color_scheme="light")
    sheet, bars = (np.asarray(Image.open(BytesIO(png)).convert("RGB")) for png in pngs)
    assert (sheet > 250).all(axis=2).mean() > 0.8 and (sheet < 5).all(axis=2).mean() > 0.03
    assert (np.abs(bars - [1.0, 115, 178]) < 3).all(axis=2).sum() > 1000, "the highest bar"


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


@pytest.mark.parametrize(("digit", "strokes"), FOREIGN.items(), ids=map(str, FOREIGN))
def test_learns_a_form_that_it_misreads_or_doubts(pad, digit, strokes):
    rng, right, clicks = np.random.default_rng(0), SAYS[digit], 0
    forms = [[(s + rng.uniform(-8, 8, np.shape(s))).tolist() for s in strokes] for _ in range(9)]
    said, before, _ = shown(pad, forms)
    taught = [form for form, answer in zip(forms, said) if answer != right][:3]
    assert taught, "The network reads them all: choose another form, to see it learn."
    for form in 3 * taught:
        if say(pad, [form]) != right:
            pad.get_by_role("button", name=right[:-1]).click()
            clicks += 1
    said, after, _ = shown(pad, forms)
    assert {answer for form, answer in zip(forms, said) if form in taught} == {right}
    # What the right digit lacks of all shares, also in drawings that it did not learn
    lacks, lacked = (np.mean([100 - bars[digit][1] for bars in found]) for found in (after, before))
    assert lacks < lacked / 2
    learned = pad.locator(".learned")
    assert learned.inner_text() == f"Learned from {clicks} drawing{'s' * (clicks != 1)}."
    assert np.sum(say(pad, STROKES) == SAYS) >= 9
    pad.get_by_role("button", name="Forget").click()
    assert learned.inner_text() == "Learned from 0 drawings."
    assert say(pad, taught[:1]) != right


def test_is_used_from_the_keyboard(page, pad):
    page.evaluate("() => { onkeydown = (e) => { document.title += e.key; }; }")
    title = page.title()

    def press(keys, said):
        pad.locator(".paper").focus()
        for key in keys:
            page.keyboard.press(key)
        assert pad.locator("output").inner_text() == said

    press(["ArrowUp"] * 12 + ["Space"] + ["ArrowDown"] * 24, SAYS[1])
    press("777", SAYS[7])  # digits teach it
    pad.get_by_role("button", name="Forget").click()
    press([], SAYS[1])
    press(["Delete"], "Draw a digit.")
    press(["Control+z"], SAYS[1])
    page.keyboard.press("Tab")
    expect(pad.locator(".paper")).not_to_be_focused()
    for key in ["x", "Delete"]:  # Jupyter would cut or delete the cell
        page.keyboard.press(key)
    assert page.title() == title, "Keys must stay in the pad."
    assert pad.get_attribute("data-lm-suppress-shortcuts") == "true"


def test_draws_where_the_pointer_is_and_nowhere_else(pad):
    canvas, mouse = pad.locator(".paper"), pad.page.mouse
    for style in ["zoom: 1.5", "transform: scale(0.7)", ""]:
        pad.evaluate("(pad, style) => { pad.style = style; }", style)
        canvas.scroll_into_view_if_needed()
        left, top, width, height = canvas.bounding_box().values()
        mouse.click(left + width / 4, top + height / 2)  # a tap is a dot
        rows, columns = np.nonzero(paper(pad) > 128)
        assert (columns.mean(), rows.mean()) == pytest.approx((70, 140), abs=2), style
        pad.get_by_role("button", name="Undo").click()
    mouse.move(left - 20, top + 100)  # pressed outside, and moved in
    mouse.down()
    mouse.move(left + 100, top + 100)
    mouse.up()
    for button in ["right", "middle"]:
        mouse.click(left + 100, top + 100, button=button)
    assert paper(pad).max() == 0


def test_second_fingers_and_palms_do_not_draw(page, pad):
    pad.locator(".paper").scroll_into_view_if_needed()
    left, top, *_ = pad.locator(".paper").bounding_box().values()
    device = page.context.new_cdp_session(page)

    def touch(kind, *points):
        fingers = [{"x": left + x, "y": top + y, "id": n} for n, (x, y) in enumerate(points)]
        device.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": fingers})

    def pen(kind, x, y):
        options = {"pointerType": "pen", "button": "left", "buttons": 1, "clickCount": 1}
        place = {"type": f"mouse{kind}", "x": left + x, "y": top + y}
        device.send("Input.dispatchMouseEvent", place | options)

    def draws_one_stroke():
        extent = [np.ptp(places) for places in np.nonzero(paper(pad) > 128)]
        pad.get_by_role("button", name="Undo").click()
        return extent == pytest.approx([121, 21], abs=3) and paper(pad).max() == 0

    touch("Start", (60, 60))
    touch("Start", (60, 60), (200, 200))
    touch("Move", (60, 160), (200, 250))
    touch("End")
    assert draws_one_stroke()
    for palm in [(250, 250), (295, 250)]:  # on the paper, beside it
        page.wait_for_timeout(600)  # until it no longer takes touches for the palm of before
        touch("Start", palm)
        pen("Pressed", 60, 60)
        touch("Move", (palm[0], 200))
        pen("Moved", 60, 160)
        pen("Released", 60, 160)
        touch("End")
        touch("Start", (200, 200))  # the palm again, as the pen has just left
        touch("End")
        assert draws_one_stroke(), palm
