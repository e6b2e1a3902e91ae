"""What several tests share: the notebook's functions, MNIST, a browser."""

import os
import shutil
import socket

import pytest
from common import definitions
from playwright import sync_api as playwright


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
    except Exception as error:
        if "CI" in os.environ:
            raise
        pytest.skip(f"MNIST can't be had: {error}")
    return images[-6000:], labels[-6000:]


@pytest.fixture(scope="module")
def browser():
    """Chromium, or Chrome; where there is none, tests are skipped, but never in CI."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    found = {"executable_path": path} if path else {"channel": "chrome"}
    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with playwright.sync_playwright() as driver:
        try:
            browser = driver.chromium.launch(args=options, **found)
        except playwright.Error as error:
            if "CI" in os.environ:
                raise
            pytest.skip(f"no Chromium or Chrome could be started: {error}")
        yield browser
        browser.close()
