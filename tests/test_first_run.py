"""Loads MNIST where something is missing or broken: cache, network, permissions.

    python -m pytest -m slow tests/test_first_run.py

Runs the beginning of the notebook, up to the shapes of the arrays, as a script. A server on
this machine stands in for the one that Keras downloads from.
"""

import hashlib
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import keras
import nbformat
import pytest
from nbconvert import PythonExporter
from refresh import NOTEBOOK

pytestmark = pytest.mark.slow

SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
NOWHERE = "http://127.0.0.1:9"
# Root may write where permissions forbid it, unless it gives that up.
IS_ROOT = os.name == "posix" and os.geteuid() == 0
OBEY_PERMISSIONS = ["setpriv", "--bounding-set=-dac_override"] if IS_ROOT else []
# Python runs a module of this name when it starts.
SITECUSTOMIZE = """
import urllib.request
download = urllib.request.urlretrieve
def urlretrieve(url, *arguments):
    return download(url.replace("https://storage.googleapis.com", "{address}"), *arguments)
urllib.request.urlretrieve = urlretrieve
"""


@pytest.fixture(scope="module")
def mnist():
    """The bytes of mnist.npz."""
    return Path(keras.utils.get_file("mnist.npz", origin=NOWHERE)).read_bytes()


@pytest.fixture(scope="module")
def beginning():
    """The notebook up to the shapes of the arrays."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    end = [cell.id for cell in notebook.cells].index("load")
    notebook.cells = notebook.cells[: end + 1]
    return notebook


@pytest.fixture
def serve():
    """A function that starts a server of the given bytes and returns its address."""
    servers = []

    def start(content):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def reader(tmp_path, beginning):
    """A reader's folder, with home and cache of its own, and ways to run there."""
    return Reader(tmp_path, beginning)


class Reader:
    def __init__(self, path, beginning):
        self.home, self.folder = path / "home", path / "folder"
        self.cache = self.home / ".keras" / "datasets" / "mnist.npz"
        self.cache.parent.mkdir(parents=True)
        self.folder.mkdir()
        source, _ = PythonExporter().from_notebook_node(beginning)
        (self.folder / "notebook.py").write_text(source, encoding="utf-8")
        (path / "site").mkdir()
        self.site = path / "site" / "sitecustomize.py"
        self.environment = (
            {key: os.environ[key] for key in os.environ if key != "KERAS_HOME"}
            | {"HOME": str(self.home), "USERPROFILE": str(self.home)}
            | {"http_proxy": NOWHERE, "https_proxy": NOWHERE, "no_proxy": "127.0.0.1"}
            | {"PYTHONPATH": str(path / "site"), "PYTHONIOENCODING": "utf-8"}
        )

    def download_from(self, address):
        self.site.write_text(SITECUSTOMIZE.format(address=address))

    def start(self, *command):
        return subprocess.Popen(
            [*OBEY_PERMISSIONS, sys.executable, *command],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )

    def run(self):
        """Start the notebook as a script; return the process."""
        return self.start("notebook.py")

    def message(self):
        """Run the notebook as a script; return how it says that MNIST is missing."""
        run = self.run()
        output, _ = run.communicate()
        assert run.returncode == 0, output
        assert "Training images: (1437, 28, 28)" in output
        (message,) = re.findall(r"^MNIST could not be loaded .*$", output, re.MULTILINE)
        assert message.endswith("run all cells again.")
        return message


def assert_loads_mnist(run):
    output, _ = run.communicate()
    assert run.returncode == 0, output
    assert "Training images: (60000, 28, 28)" in output


def is_mnist(path):
    return hashlib.sha256(path.read_bytes()).hexdigest() == SHA256


def damaged(mnist, how):
    """Return mnist.npz cut off in the middle, or with one bit changed there."""
    half = len(mnist) // 2
    if how == "truncated":
        return mnist[:half]
    return mnist[:half] + bytes([mnist[half] ^ 1]) + mnist[half + 1 :]


def test_first_run_downloads(reader, serve, mnist):
    reader.download_from(serve(mnist))
    assert_loads_mnist(reader.run())
    assert is_mnist(reader.cache)


def test_without_a_network(reader):
    assert "connect to the internet" in reader.message()


@pytest.mark.parametrize("how", ["truncated", "tampered"])
def test_broken_cache_is_downloaded_again(reader, serve, mnist, how):
    reader.cache.write_bytes(damaged(mnist, how))
    reader.download_from(serve(mnist))
    assert_loads_mnist(reader.run())
    assert is_mnist(reader.cache)


@pytest.mark.parametrize("how", ["truncated", "tampered"])
def test_broken_cache_without_a_network(reader, mnist, how):
    reader.cache.write_bytes(damaged(mnist, how))
    assert "connect to the internet" in reader.message()


def test_download_of_something_else(reader, serve):
    reader.download_from(serve(b"<html>Please log in to this network.</html>"))
    assert "hash does not match" in reader.message()


@pytest.mark.skipif(os.name != "posix", reason="needs the permissions of POSIX")
@pytest.mark.parametrize("cached", [True, False])
def test_read_only_home_and_folder(reader, serve, mnist, cached):
    # Keras keeps MNIST in /tmp if it can't write to its cache.
    reader.download_from(serve(mnist))
    if cached:
        reader.cache.write_bytes(mnist)
    for folder in [reader.folder, reader.home, *reader.home.rglob("*")]:
        folder.chmod(folder.stat().st_mode & ~0o222)
    assert_loads_mnist(reader.run())


def test_two_runs_share_a_cache(reader, serve, mnist):
    reader.download_from(serve(mnist))
    for run in [reader.run() for _ in range(2)]:
        assert_loads_mnist(run)
    assert is_mnist(reader.cache)
