"""What tests and tools share: the notebook, its outputs, and how far they may differ."""

import ast
import base64
import os
import re
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path

import nbformat

TOOLS = Path(__file__).resolve().parent
ROOT = TOOLS.parent
NOTEBOOK = ROOT / "MNIST_digit_classification.ipynb"
BANDS = ROOT / "tests" / "bands.txt"
TEASER = "sample-predictions"  # the cell whose picture opens the notebook
# With this environment, figures in the kernel say in words what they draw.
STARTUP = {
    "PYTHONSTARTUP": str(TOOLS / "startup.py"),
    "PYTHONPATH": os.pathsep.join(
        [str(TOOLS), *filter(None, [os.environ.get("PYTHONPATH")])]
    ),
}
NUMBER = r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?"
# What a first run prints about its download, and progress bars, which are cleared
# when a training is done, but not by nbval.
NOT_COMPARED = {
    r"(?m)^(?:Downloading data from |A local file was found|Epoch \d+/\d+$).*\n": "",
    r"(?:\x1b\[\d*m)*\s*\d+/(?:\d+|Unknown)(?:\x1b\[\d*m)* "
    r"(?:\x1b\[\d*m)*[\u2501\u2578.>=]+.*\n": "",
}
# What TensorFlow logs about the processor.
LOG = r"(?:[IWE](?:\d{4})? |WARNING: All log messages before|To enable the following).*\n?"


def read(path=NOTEBOOK):
    """Return a notebook."""
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    """Return the code cells of a notebook as {cell id: cell}."""
    return {cell.id: cell for cell in notebook.cells if cell.cell_type == "code"}


def definitions():
    """Return the functions that the notebook defines, by name, and what it imports.

    Nothing else is run: no training, no figure.
    """
    cells = code_cells(read())
    kept = ast.Import, ast.ImportFrom, ast.FunctionDef
    trees = [ast.parse(cell.source).body for cell in cells.values()]
    body = [node for tree in trees for node in tree if isinstance(node, kept)]
    (seed,) = re.findall(r"(?m)^SEED = (\d+)$", cells["seed"].source)
    names = {"SEED": int(seed)}
    exec(compile(ast.Module(body, []), NOTEBOOK.name, "exec"), names)  # noqa: S102
    return names


def pictures(notebook):
    """Return the picture of each cell that draws a figure, as {cell id: PNG bytes}."""
    return {
        cell_id: base64.b64decode(output.data["image/png"])
        for cell_id, cell in code_cells(notebook).items()
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    }


def texts(notebook):
    """Return what the cells put out, pictures as their words, as {cell id: text}."""

    def text(output):
        data = output.get("data", {})
        shown = data.get("text/html") or data.get("text/plain", "")
        return output.get("text", "") or f"{shown}\n"

    return {
        cell_id: "".join(map(text, without_logs(cell.outputs)))
        for cell_id, cell in code_cells(notebook).items()
    }


def readme_pictures():
    """Return the names, without ending, of the pictures that README.md shows."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return sorted(set(re.findall(r"images/([\w-]+)\.png", readme)))


def with_results(readme, notebook):
    """Return the text of README.md with what cells print in its blocks named after them."""
    cells = code_cells(notebook)

    def block(match):
        outputs = cells[match[1]].outputs
        printed = "".join(o.text for o in outputs if o.get("name") == "stdout")
        lines = re.sub(r"(?m) +$", "", textwrap.dedent(printed).rstrip())
        return f"<!-- {match[1]} -->\n```text\n{lines}\n```"

    return re.sub(r"(?s)<!-- ([\w-]+) -->\n```text\n.*?\n```", block, readme)


def without_logs(outputs):
    """Return the outputs of a cell without what TensorFlow logs about the processor."""

    def is_log(output):
        text = re.sub(r"(?m)^20\S+ \S+: ", "", output.get("text", ""))
        return output.get("name") == "stderr" and re.fullmatch(f"(?:{LOG})+", text)

    return [output for output in outputs if not is_log(output)]


def fingerprint():
    """Return a hash of how this machine computes, see fingerprint.py.

    Raises:
        LookupError: MNIST can't be had; the message says why.
    """
    command = [sys.executable, TOOLS / "fingerprint.py"]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    if run.returncode == 3:
        raise LookupError(run.stdout.splitlines()[-1])
    if run.returncode:
        raise RuntimeError(f"fingerprint.py failed: {run.stderr}")
    return run.stdout.split()[-1]


def bands():
    """Return the lines of bands.txt as {cell id: [line, ...]}, without comments."""
    found = {}
    for line in BANDS.read_text(encoding="utf-8").splitlines():
        line, *_ = re.split(r"(?:^|\s\s)#", line)
        if heading := re.fullmatch(r"\[([\w-]+)\]", line.strip()):
            lines = found.setdefault(heading[1], [])
        elif line.strip():
            lines.append(line.strip())
    return found


def pattern(line):
    """Return the regex that finds what has the form of a line of bands.txt."""
    text = re.escape(" ".join(line.split())).replace(r"\ ", " +")
    text = re.sub(r"\\\{(?:…|\\\*)\\\}", "(.*)", text)
    text = re.sub(r"\\\{.*?\\\}", lambda _: f"({NUMBER})", text)
    return rf"(?m)^ *{text} *$"


def compared(lines, same_machine, match):
    """Return a line of the outputs as it is compared: with bands in place of its numbers.

    A number outside its band stays, followed by what is allowed, for pytest to show.
    Where the machine is the same, all numbers stay.

    Args:
        lines: the lines of bands.txt of this form; the nth is for the nth match.
        same_machine: whether this machine computes as the one that saved the outputs.
        match: the match of `pattern` in the output.
    """
    nth = len(re.findall(match.re, match.string[: match.start()]))
    if nth >= len(lines):
        return match[0]
    found = iter(match.groups())

    def checked(place):
        band, value = place[1], next(found)
        if band == "*" or (band == "…" and not same_machine):
            return place[0]
        if band == "…" or same_machine:
            return value
        ends = ["0", "9"] if band == "digit" else band.split(" … ")
        low, high = (float(end.replace(",", "")) for end in ends)
        within = low <= float(value.replace(",", "")) <= high
        return place[0] if within else f"{value} (allowed: {band})"

    return re.sub(r"\{(.*?)\}", checked, lines[nth])


def rules(cell_id, same_machine):
    """Return what nbval replaces in the outputs of a cell, as {regex: replacement}."""
    forms = {}
    for line in bands().get(cell_id, []):
        forms.setdefault(pattern(line), []).append(line)
    return NOT_COMPARED | {
        form: partial(compared, lines, same_machine) for form, lines in forms.items()
    }


def sanitized(text, cell_id, same_machine):
    """Return a text as nbval compares it."""
    for regex, replacement in rules(cell_id, same_machine).items():
        text = re.sub(regex, replacement, text)
    return text
