"""Reads the notebook's file, its cells and outputs, and the ways to break it on purpose."""

import ast
import base64
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest

from facts import sections

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
NOTEBOOK = ROOT / "MNIST_digit_classification.ipynb"
BREAKS = TESTS / "breaks.txt"
# What TensorFlow and Matplotlib log when they are imported.
LOG = (
    r"(?:(?:20\S+ \S+: )?(?:[IWE](?:\d{4})? |WARNING: All log messages before|To enable the following)"
    r"|Matplotlib is building the font cache).*\n?"
)


def missing(reason):
    """Skip a test that needs what this machine lacks; where CI is set, let it fail."""
    if "CI" in os.environ:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def run_python(*arguments, cwd=ROOT, env=(), timeout=900):
    """Run Python; return its status and what it prints."""
    command, env = [sys.executable, *arguments], os.environ | dict(env)
    text = {"capture_output": True, "encoding": "utf-8", "errors": "replace"}
    return subprocess.run(command, check=False, cwd=cwd, env=env, timeout=timeout, **text)


def read(path=NOTEBOOK):
    """Return a notebook."""
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    """Return the code cells of a notebook as {cell id: cell}."""
    return {cell.id: cell for cell in notebook.cells if cell.cell_type == "code"}


class Change(NamedTuple):
    """A way to break a cell on purpose: a piece of code, and what is put in its place."""

    cell: str
    code: str
    instead: str

    def __str__(self):
        return f"{self.cell}: {self.code} → {self.instead}"

    def apply(self, source):
        """Return the source of the cell with the code replaced, which must stand there once."""
        assert source.count(self.code) == 1, f"{self.code!r} must stand once in {self.cell}"
        return source.replace(self.code, self.instead)


def changes(lines):
    """Return lines such as "load: / 255 → / 127" as changes."""
    forms = (re.fullmatch(r"([\w-]+): (.+?) →(?: (.*))?", line) for line in lines)
    return [Change(*form.groups("")) for form in forms]


def read_breaks():
    """Return breaks.txt as {heading: [Change, ...]}."""
    return {heading: changes(lines) for heading, lines in sections(BREAKS).items()}


def definitions():
    """Return the functions that the notebook defines, by name, and what it imports.

    Nothing else is run: no training, no figure.
    """
    tree = ast.parse("\n".join(cell.source for cell in code_cells(read()).values()))
    kept = ast.Import, ast.ImportFrom, ast.FunctionDef
    body = [node for node in tree.body if isinstance(node, kept)]
    names = {"SEED": 42, "x_train": None, "y_train": None}  # needed by default arguments
    exec(compile(ast.Module(body, []), NOTEBOOK.name, "exec"), names)  # noqa: S102
    return names


def is_log(output):
    """Return whether an output of a cell is nothing but what an import logs."""
    stderr = output.get("name") == "stderr"
    return stderr and bool(re.fullmatch(f"(?:{LOG})+", output["text"]))


def text_of(outputs):
    """Return all text that outputs of a cell show."""
    data = [output.get("data", {}) for output in outputs]
    html = [d.get("text/html") or d.get("text/plain", "") for d in data]
    return "\n".join(o.get("text") or shown for o, shown in zip(outputs, html))


def picture(outputs):
    """Return the picture among the outputs of a cell as PNG bytes, or None."""
    pngs = [o["data"]["image/png"] for o in outputs if "image/png" in o.get("data", {})]
    return base64.b64decode(pngs[0]) if pngs else None
