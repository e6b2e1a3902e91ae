"""Compares the pixels of the notebook's pictures with the saved ones.

What a figure draws, nbval compares in words, on every machine. Pixels are compared where
this machine computes and draws as the one that saved them. A picture that differs is left
in the folder result_images, with the saved one and their difference.
"""

from io import BytesIO

import pytest
from common import ROOT, pictures, read
from matplotlib.testing.compare import compare_images
from PIL import Image

RESULTS = ROOT / "result_images"
SAVED = pictures(read())
TIMED = "scoreboard-plot"  # its points stand at the seconds that the machine took


@pytest.mark.parametrize("cell_id", sorted(SAVED.keys() - {TIMED}))
def test_picture(cell_id, new_outputs, executed, same_machine):
    if not new_outputs or not same_machine:
        pytest.skip(
            "pixels are compared after a run of the notebook, where all is equal"
        )
    assert cell_id in new_outputs, f"The cell {cell_id!r} was not run."
    assert cell_id in pictures(executed), f"The cell {cell_id!r} drew no figure."
    pngs = {"saved": SAVED[cell_id], "new": pictures(executed)[cell_id]}
    opened = {kind: Image.open(BytesIO(png)) for kind, png in pngs.items()}
    if len({picture.info["Software"] for picture in opened.values()}) > 1:
        pytest.skip("another version of Matplotlib draws otherwise")
    RESULTS.mkdir(exist_ok=True)
    paths = [RESULTS / f"{cell_id}-{kind}.png" for kind in opened]
    for path, picture in zip(paths, opened.values()):
        picture.convert("RGB").save(path)
    difference = compare_images(*map(str, paths), tol=0)
    assert difference is None, difference
    for path in RESULTS.glob(f"{cell_id}-*.png"):
        path.unlink()
