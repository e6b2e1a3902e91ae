"""Run the notebook, save its outputs, and bring its pictures up to date.

    python tools/refresh.py

executes the notebook from top to bottom and saves it in place, with the fingerprint
of how this machine computes in its metadata. Then it writes the pictures that
README.md shows to images/, each named after the id of its cell, the picture that opens
the notebook into the cell "teaser", and the numbers of the results into README.md.
What TensorFlow logs is not saved.
"""

import base64
import os
import re
from io import BytesIO

import nbformat
from common import (
    NOTEBOOK,
    ROOT,
    STARTUP,
    TEASER,
    code_cells,
    fingerprint,
    pictures,
    read,
    readme_pictures,
    with_results,
    without_logs,
)
from nbclient import NotebookClient
from nbval.plugin import coalesce_streams
from PIL import Image
from PIL.PngImagePlugin import PngInfo


def compressed(png):
    """Return an opaque PNG picture in base64 as a smaller one with the same pixels."""
    picture = Image.open(BytesIO(base64.b64decode(png)))
    note, smaller = PngInfo(), BytesIO()
    note.add_text("Software", picture.info["Software"])  # the version of Matplotlib
    picture = picture.convert("RGB")
    if picture.convert("L").convert("RGB") == picture:
        picture = picture.convert("L")
    picture.save(smaller, "png", optimize=True, pnginfo=note)
    return base64.b64encode(smaller.getvalue()).decode()


def main():
    notebook = read()
    notebook.metadata["fingerprint"] = fingerprint()
    folder = {"metadata": {"path": ROOT}}
    client = NotebookClient(
        notebook, kernel_name="python3", record_timing=False, resources=folder
    )
    client.execute(env=os.environ | STARTUP)
    for cell in code_cells(notebook).values():
        cell.outputs = coalesce_streams(without_logs(cell.outputs))
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = compressed(output.data["image/png"])
    found = pictures(notebook)
    for name in readme_pictures():
        (ROOT / "images" / f"{name}.png").write_bytes(found[name])
    (teaser,) = (cell for cell in notebook.cells if cell.id == "teaser")
    text = base64.b64encode(found[TEASER]).decode()
    teaser.source = re.sub(r"base64,[^)]*", f"base64,{text}", teaser.source)
    nbformat.write(notebook, NOTEBOOK)
    readme = ROOT / "README.md"
    text = with_results(readme.read_text(encoding="utf-8"), notebook)
    readme.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
