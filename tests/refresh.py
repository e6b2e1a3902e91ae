"""Run the notebook, save its outputs, and bring its pictures up to date.

    python tests/refresh.py

executes the notebook from top to bottom and saves it in place, with the fingerprint
of how this machine computes in its metadata. Then it writes the figures that
README.md shows to images/, each named after the id of its cell, and the figure that
opens the notebook into the cell "teaser". What TensorFlow logs is not saved.
"""

import base64
import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbval.plugin import coalesce_streams
from PIL import Image
from PIL.PngImagePlugin import PngInfo

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "MNIST_digit_classification.ipynb"
TEASER = "sample-predictions"


def figures(notebook):
    """Return the PNG figure of each cell that has one, as {cell id: base64}."""
    return {
        cell.id: output.data["image/png"].replace("\n", "")
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    }


def without_logs(outputs):
    """Return the outputs of a cell without what TensorFlow logs about the processor."""
    log = (
        r"(?:[IWE]\d{4} |WARNING: All log messages before|To enable the following).*\n?"
    )
    return [
        output
        for output in outputs
        if output.get("name") != "stderr"
        or not re.fullmatch(
            f"(?:{log})+", re.sub(r"^20\S+ \S+: ", "", output.text, flags=re.MULTILINE)
        )
    ]


def compressed(png):
    """Return a PNG picture in base64 as a smaller one with the same pixels and texts."""
    picture, texts, smaller = (
        Image.open(BytesIO(base64.b64decode(png))),
        PngInfo(),
        BytesIO(),
    )
    for key, text in picture.text.items():
        texts.add_text(key, text)
    if picture.convert("RGB").convert("RGBA") == picture.convert("RGBA"):  # opaque
        picture = picture.convert("RGB")
        if picture.convert("L").convert("RGB") == picture:
            picture = picture.convert("L")
    picture.save(smaller, "png", optimize=True, pnginfo=texts)
    return base64.b64encode(smaller.getvalue()).decode()


def printed(notebook):
    """Return what the code cells of a notebook print, as {cell id: text}."""
    return {
        cell.id: "".join(o.text for o in cell.outputs if o.get("name") == "stdout")
        for cell in notebook.cells
        if cell.cell_type == "code"
    }


def readme_images():
    """Return the names, without ending, of the images that README.md shows."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return sorted(set(re.findall(r"images/([\w-]+)\.png", readme)))


def fingerprint():
    """Return the fingerprint of how this machine computes, see fingerprint.py."""
    command = [sys.executable, ROOT / "tests" / "fingerprint.py"]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    *_, fingerprint = run.stdout.split()
    return fingerprint


def execute(notebook):
    """Run a notebook in place, and note how this machine computes."""
    notebook.metadata["fingerprint"] = fingerprint()
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": ROOT}},
    )
    client.execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = coalesce_streams(without_logs(cell.outputs))
            for output in cell.outputs:
                if "image/png" in output.get("data", {}):
                    output.data["image/png"] = compressed(output.data["image/png"])


def main():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    execute(notebook)
    pictures = figures(notebook)
    for name in readme_images():
        picture = base64.b64decode(pictures[name])
        (ROOT / "images" / f"{name}.png").write_bytes(picture)
    (teaser,) = (cell for cell in notebook.cells if cell.id == "teaser")
    teaser.source = re.sub(r"base64,[^)]*", f"base64,{pictures[TEASER]}", teaser.source)
    nbformat.write(notebook, NOTEBOOK)


if __name__ == "__main__":
    main()
