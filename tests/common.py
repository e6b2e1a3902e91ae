"""What conftest.py, tests and renew.py share: the notebook, and facts.txt with its bands."""

import ast
import base64
import os
import re
import subprocess
import sys
from collections import defaultdict
from functools import cache
from io import BytesIO
from itertools import chain
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
NOTEBOOK = ROOT / "MNIST_digit_classification.ipynb"
FACTS = TESTS / "facts.txt"
BAND = r"\{(…|\S+ … \S+?)\}"  # in a line of facts.txt
NUMBER = r"(?<![\w.#])-?\d+(?:,\d{3})*(?:\.\d+)?"
# Cells that show other images in each run: in ten, saved and new pictures correlated by 0.1 to
# 0.99. Those that vary otherwise had 0.86 to 1, and pictures of other cells 0.47 at most.
LUCK = ["confusion-plot", "doubt", "mistakes", "answers", "variations", "remaining", "misread"]
# What TensorFlow and Matplotlib log when they are imported.
LOG = (
    r"(?:(?:20\S+ \S+: )?(?:[IWE](?:\d{4})? |WARNING: All log messages before|To enable the following)"
    r"|Matplotlib is building the font cache).*\n?"
)


def missing(reason):
    """Skip a test that needs what this machine lacks; where CI is set, let it fail."""
    (pytest.fail if "CI" in os.environ else pytest.skip)(reason)


def run_python(*arguments, cwd=ROOT, env=(), before=(), timeout=900):
    """Run Python, behind a command such as taskset; return its status and what it prints."""
    command, env = [*before, sys.executable, *arguments], os.environ | dict(env)
    text = {"capture_output": True, "encoding": "utf-8", "errors": "replace"}
    return subprocess.run(command, check=False, cwd=cwd, env=env, timeout=timeout, **text)


def read(path=NOTEBOOK):
    """Return a notebook."""
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    """Return the code cells of a notebook as {cell id: cell}."""
    return {cell.id: cell for cell in notebook.cells if cell.cell_type == "code"}


def broken(source, code, instead):
    """Return the source of a cell with a piece of code that stands there once replaced."""
    assert source.count(code) == 1, f"{code!r} must stand there once"
    return source.replace(code, instead)


def definitions():
    """Return the functions that the notebook defines, by name, and what it imports.

    Nothing else is run: no training, no figure.
    """
    kept = ast.Import, ast.ImportFrom, ast.FunctionDef
    trees = [ast.parse(cell.source).body for cell in code_cells(read()).values()]
    body = [node for tree in trees for node in tree if isinstance(node, kept)]
    names = {"SEED": 42}
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


def likeness(old, new):
    """Return the correlation of two pictures, PNG bytes, in blocks of 16×16 pixels."""
    first, second = (Image.open(BytesIO(png)).convert("L") for png in (old, new))
    blocks = [np.ravel(p.resize(first.size).reduce(16)) for p in (first, second)]
    return np.corrcoef(blocks)[0, 1]


def sections(path):
    """Return the lines of a text file below each of its [headings], without comments."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        line, *_ = re.split(r"^#|  # ", line)
        if heading := re.fullmatch(r"\[(.+)\]", line):
            lines = found.setdefault(heading[1], [])
        elif line:
            lines.append(line)
    return found


@cache
def read_facts():
    """Return facts.txt as {cell id: (lines that the cell prints, facts)}; of others, none."""
    found = defaultdict(lambda: ([], []))
    for cell_id, lines in sections(FACTS).items():
        for line in lines:
            found[cell_id][not line.startswith("> ")].append(line.removeprefix("> "))
    return found


def read_breaks():
    """Return breaks.txt as {heading: [(cell id, code, instead, ...), ...]}."""
    found = {}
    for heading, lines in sections(TESTS / "breaks.txt").items():
        for line in lines:
            cell_id, line = line.split(": ", 1) if " " in heading else (heading, line)
            parts = [part.strip() for part in f"{line} ".split(" → ")]
            found.setdefault(heading, []).append((cell_id, *parts))
    return found


def pattern(line):
    """Return the regex that finds what has the form of a line of facts.txt."""
    parts = re.split(BAND, " ".join(line.split()))
    parts[::2] = [re.escape(part).replace(r"\ ", " +") for part in parts[::2]]
    parts[1::2] = [r"(\S.*?)" if band == "…" else f"({NUMBER})" for band in parts[1::2]]
    return rf"(?m)^ *{''.join(parts)} *$"


def numbers(text):
    """Return the numbers of a band such as "0.1 … 1,000", or a single one."""
    return [float(number) for number in text.replace(",", "").split(" … ")]


def within(value, band):
    """Return whether a number as text lies in a band; any text does in "…"."""
    if band == "…":
        return True
    low, high = numbers(band)
    return low <= numbers(value)[0] <= high


def filled(line, texts):
    """Return a line of facts.txt with texts in place of its bands."""
    texts = iter(texts)
    return re.sub(BAND, lambda band: next(texts), line)


def banded(text, cell_id):
    """Return a text that a cell puts out with bands in place of its numbers, to be compared.

    A number outside its band stays, followed by what is allowed, for pytest to show. Lines
    are looked for in the order of facts.txt.
    """
    done = ""
    for line in chain(*read_facts()[cell_id]):
        match = re.search(pattern(line), text)
        if match and match.groups():
            shown = [
                f"{{{band}}}" if within(value, band) else f"{value} (allowed: {band})"
                for value, band in zip(match.groups(), re.findall(BAND, line))
            ]
            done += text[: match.start()] + filled(line, shown)
            text = text[match.end() :]
    return done + text
