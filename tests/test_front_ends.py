"""Runs the notebook in JupyterLab, in a real browser, by its menu.

    python -m pytest -m slow tests/test_front_ends.py

As a plain script the notebook runs in test_notebook.py.
"""

import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import pytest
from drawings import STROKES
from refresh import NOTEBOOK, figures, without_logs
from test_pad import draw, open_browser
from test_pad import pytestmark as needs_browser

pytestmark = [pytest.mark.slow, needs_browser]

PANEL = 'document.querySelector(".jp-NotebookPanel .jp-WindowedPanel-outer")'
AT_END = f"(p => p.scrollTop + p.clientHeight >= p.scrollHeight - 5)({PANEL})"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a JupyterLab on a copy of the notebook without outputs, and the copy."""
    folder = tmp_path_factory.mktemp("lab")
    copy = nbformat.read(NOTEBOOK, as_version=4)
    for cell in copy.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.write(copy, folder / NOTEBOOK.name)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--no-browser", "--allow-root", "--IdentityProvider.token="]
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyter", "lab", *options, f"--port={port}"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    for _ in range(60):
        try:
            urllib.request.urlopen(f"{address}/api", timeout=10)
            break
        except OSError:
            time.sleep(1)
    yield address, folder / NOTEBOOK.name
    server.terminate()
    server.wait()


def code_cells(path):
    """Return the code cells of a notebook file."""
    cells = nbformat.read(path, as_version=4).cells
    return [cell for cell in cells if cell.cell_type == "code"]


@pytest.fixture(scope="module")
def page(lab):
    """The notebook in JupyterLab, after *Run All Cells*, saved with its outputs."""
    address, copy = lab
    with open_browser() as browser:
        page = browser.new_page(viewport={"width": 1300, "height": 900})
        page.goto(f"{address}/lab/tree/{NOTEBOOK.name}")
        # The page shows an idle kernel before it is connected, and then the menu
        # has no effect. The server knows better.
        for _ in range(120):
            page.wait_for_timeout(1000)
            kernels = page.request.get(f"{address}/api/kernels").json()
            states = [k["execution_state"] for k in kernels if k["connections"]]
            if states == ["idle"]:
                break
        page.wait_for_selector('[data-status="idle"]', timeout=120_000)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.locator(".lm-Menu-itemLabel", has_text="Run All Cells").first.click()
        for _ in range(400):
            page.keyboard.press("Control+s")
            page.wait_for_timeout(3000)
            *_, last = code_cells(copy)
            if last.execution_count:
                break
        yield page


def test_runs_all_cells_without_errors(page, lab):
    cells = code_cells(lab[1])
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        for output in without_logs(cell.outputs):
            assert output.output_type != "error", cell.id
            assert output.get("name") != "stderr", cell.id
    saved, reference = (nbformat.read(path, 4) for path in (lab[1], NOTEBOOK))
    assert figures(saved).keys() == figures(reference).keys()


def test_shows_all_figures(page, lab):
    pictures = figures(nbformat.read(lab[1], as_version=4)).values()
    hidden = {f"data:image/png;base64,{picture}" for picture in pictures}
    page.evaluate(f"{PANEL}.scrollTop = 0")
    while not page.evaluate(AT_END):
        shown = "images => images.filter((i) => i.naturalWidth).map((i) => i.src)"
        hidden -= set(page.eval_on_selector_all(".jp-OutputArea img", shown))
        page.evaluate(f"{PANEL}.scrollTop += 400")
        page.wait_for_timeout(100)
    assert not hidden


def test_pad_reads_a_drawn_digit(page):
    canvas = page.locator(".digit-pad canvas").first
    for _ in range(100):
        if canvas.is_visible():
            break
        page.evaluate(f"{PANEL}.scrollTop -= 400")
        page.wait_for_timeout(100)
    canvas.scroll_into_view_if_needed()
    assert draw(page, STROKES[7]) == "This is a 7."
