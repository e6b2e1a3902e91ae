"""What several tests share: the notebook's functions, MNIST, a browser."""

import shutil
import socket
from contextlib import suppress

import pytest
from playwright import sync_api as playwright

from common import definitions, missing


@pytest.fixture(scope="session")
def names():
    """The functions that the notebook defines, and what it imports, by name."""
    return definitions()


@pytest.fixture(scope="session")
def digits(names):
    """MNIST's 6,000 validation images, uint8, and their labels; skipped without MNIST."""
    socket.setdefaulttimeout(30)  # a blocked address may never answer
    try:
        (images, labels), _ = names["keras"].datasets.mnist.load_data()
    except Exception as error:  # noqa: BLE001, Keras raises nothing narrower
        missing(f"MNIST can't be had: {error}")
    finally:
        socket.setdefaulttimeout(None)
    return images[-6000:], labels[-6000:]


@pytest.fixture(scope="module")
def browser():
    """Chromium, Playwright's own, or Chrome; skipped without, but never in CI."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with playwright.sync_playwright() as driver:
        for found in [{"executable_path": path}, {}, {"channel": "chrome"}]:
            with suppress(playwright.Error):
                browser = driver.chromium.launch(args=options, **found)
                break
        else:
            missing("no Chromium or Chrome could be started: install one")
        yield browser
        browser.close()
