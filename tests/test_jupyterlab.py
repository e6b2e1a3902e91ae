"""Runs the notebook in JupyterLab as a reader does: in a real browser, by its menu.

It has no MNIST there, so that the small digits make it short, and says so.
"""

import os
import re
import socket
import subprocess
import sys
from contextlib import suppress

import nbformat
import pytest
from nbconvert.preprocessors import ClearOutputPreprocessor
from playwright.sync_api import Error

from common import NOTEBOOK, code_cells, is_log, picture, read, text_of
from helpers import STROKES, draw

pytestmark = pytest.mark.slow


@pytest.fixture
def lab(tmp_path):
    """The address of a JupyterLab on a copy of the notebook without outputs, and the copy.

    Its home has an odd name, no network, a broken file of MNIST, and settings of older
    projects; Python leaves out assertions.
    """
    path = tmp_path / "Schüler 学生" / NOTEBOOK.name
    mnist = path.parent / "datasets" / "mnist.npz"
    # Cells out of view are drawn too, so that the test need not scroll.
    settings = tmp_path / "@jupyterlab/notebook-extension/tracker.jupyterlab-settings"
    for folder in (mnist.parent, settings.parent):
        folder.mkdir(parents=True)
    nbformat.write(ClearOutputPreprocessor().preprocess(read(), {})[0], path)
    mnist.write_bytes(b"not what was published")
    older = '{"image_data_format": "channels_first", "floatx": "float16", "backend": "torch"}'
    (path.parent / "keras.json").write_text(older)
    (path.parent / "matplotlibrc").write_text("image.origin: lower\ntext.usetex: True")
    settings.write_text('{"windowingMode": "none"}', encoding="utf-8")
    env = dict.fromkeys(["HOME", "USERPROFILE", "KERAS_HOME"], str(path.parent))
    env |= dict.fromkeys(["http_proxy", "https_proxy"], "http://127.0.0.1:9")
    env |= dict.fromkeys(["PYTHONOPTIMIZE", "TF_USE_LEGACY_KERAS", "KERAS_MAX_EPOCHS"], "1")
    env["MPLBACKEND"] = "Agg"
    env["JUPYTERLAB_SETTINGS_DIR"] = str(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--no-browser", "--allow-root", "--IdentityProvider.token=", f"--port={port}"]
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyter", "lab", *options],
        cwd=path.parent,
        env=os.environ | env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield f"http://127.0.0.1:{port}", path
    server.terminate()
    server.wait(timeout=60)


def test_runs_shows_all_pictures_and_reads_a_drawn_digit(lab, browser):
    address, path = lab
    page = browser.new_page()
    for _ in range(60):
        page.wait_for_timeout(1000)
        with suppress(Error):  # the server is not up yet
            page.goto(f"{address}/lab/tree/{NOTEBOOK.name}")
            break
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
    for _ in range(300):
        page.keyboard.press("ControlOrMeta+s")
        page.wait_for_timeout(3000)
        cells = list(code_cells(read(path)).values())
        outputs = [o for cell in cells for o in cell.outputs if not is_log(o)]
        if cells[-1].execution_count or any(o.output_type == "error" for o in outputs):
            break
    assert not [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    said = "\n".join(text_of(cell.outputs) for cell in cells)
    (message,) = re.findall(r"(?m)^MNIST could not be loaded.*$", said)
    assert "connect to the internet" in message
    for network, least in {"first": 93, "convolutional": 96, "augmented": 97, "taught": 97}.items():
        assert float(re.search(rf"{network} +([\d.]+)% read right", said)[1]) >= least
    shown = "images => images.filter((i) => i.naturalWidth).length"
    pictures = len([cell for cell in code_cells(read()).values() if picture(cell.outputs)])
    assert page.eval_on_selector_all(".jp-OutputArea img", shown) >= pictures
    assert re.match(r"This is a \d\.|perhaps a \d, or no digit", draw(page, STROKES[7]))
