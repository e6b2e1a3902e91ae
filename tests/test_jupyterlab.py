"""Runs the notebook in JupyterLab, in a real browser, by its menu."""

import base64
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import pytest
from common import NOTEBOOK, code_cells, pictures, read, without_logs
from helpers import STROKES, draw

pytestmark = pytest.mark.slow
PANEL = 'document.querySelector(".jp-NotebookPanel .jp-WindowedPanel-outer")'
AT_END = f"(p => p.scrollTop + p.clientHeight >= p.scrollHeight - 5)({PANEL})"


@pytest.fixture
def lab(tmp_path):
    """The address of a JupyterLab on a copy of the notebook without outputs, and the copy."""
    path = tmp_path / NOTEBOOK.name
    copy = read()
    for cell in code_cells(copy).values():
        cell.outputs, cell.execution_count = [], None
    nbformat.write(copy, path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--no-browser", "--allow-root", "--IdentityProvider.token="]
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyter", "lab", *options, f"--port={port}"],
        cwd=path.parent,
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
    yield address, path
    server.terminate()
    server.wait(timeout=60)


@pytest.fixture
def page(lab, browser):
    """The notebook in JupyterLab, after *Run All Cells*, saved with its outputs."""
    address, path = lab
    page = browser.new_page(viewport={"width": 1300, "height": 900})
    page.goto(f"{address}/lab/tree/{NOTEBOOK.name}")
    # The page shows an idle kernel before it is connected, and then the menu has no
    # effect. The server knows better.
    for _ in range(120):
        page.wait_for_timeout(1000)
        kernels = page.request.get(f"{address}/api/kernels").json()
        if [k["execution_state"] for k in kernels if k["connections"]] == ["idle"]:
            break
    page.wait_for_selector('[data-status="idle"]', timeout=120_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.locator(".lm-Menu-itemLabel", has_text="Run All Cells").first.click()
    for _ in range(400):
        page.keyboard.press("Control+s")
        page.wait_for_timeout(3000)
        if list(code_cells(read(path)).values())[-1].execution_count:
            break
    return page


def test_runs_shows_all_pictures_and_reads_a_drawn_digit(page, lab):
    copy = read(lab[1])
    cells = code_cells(copy).values()
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        for output in without_logs(cell.outputs):
            assert output.output_type != "error", cell.id
            assert output.get("name") != "stderr", cell.id
    assert pictures(copy).keys() == pictures(read()).keys()
    pngs = [base64.b64encode(png).decode() for png in pictures(copy).values()]
    hidden = {f"data:image/png;base64,{png}" for png in pngs}
    canvas, said = page.locator(".digit-pad canvas").first, None
    page.evaluate(f"{PANEL}.scrollTop = 0")
    for _ in range(1000):
        shown = "images => images.filter((i) => i.naturalWidth).map((i) => i.src)"
        hidden -= set(page.eval_on_selector_all(".jp-OutputArea img", shown))
        if said is None and canvas.is_visible():
            canvas.scroll_into_view_if_needed()
            said = draw(page, STROKES[7])
        if page.evaluate(AT_END):
            break
        page.evaluate(f"{PANEL}.scrollTop += 400")
        page.wait_for_timeout(100)
    assert not hidden
    assert said == "This is a 7."
