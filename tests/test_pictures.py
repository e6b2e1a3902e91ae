"""Compares the notebook's figures with the saved ones, after nbval has run it.

nbval leaves pictures out. A picture that differs too much is left in the folder
result_images, with the saved one and their difference.
"""

import base64
import io

import nbformat
import numpy as np
import pytest
from matplotlib.testing.compare import calculate_rms, save_diff_image
from PIL import Image, ImageFilter
from refresh import NOTEBOOK, ROOT, figures

RESULTS = ROOT / "result_images"
saved = nbformat.read(NOTEBOOK, as_version=4)
saved_figures = figures(saved)

# On a machine that computes as the one that saved the figures, even the worst block
# of a picture differs by 0. One wrong digit in a title makes 10 or more.
SAME = 5
# Fonts and layout of Matplotlib 3.9.0 and 3.11.2 differ by up to 19 in the worst
# block, and by up to 7.1 in the whole picture.
OTHER_MATPLOTLIB, OTHER_MATPLOTLIB_WHOLE = 25, 9
# Where other networks are trained, because a processor rounds differently, whole
# pictures may differ by this, see bands.py. Figures that are not named here show
# nothing that was trained.
OTHER_NETWORK = {
    "curves-plot": 17,
    "confusion-plot": 75,
    "sample-predictions": 4,
    "mistakes": 92,
    "recipes-plot": 22,
    "filters": 50,
    "scoreboard-plot": 20,
    "read-pictures": 1,
    "other-writers-plot": 54,
}
# The points of this figure stand at the seconds that the machine took.
TIMED = "scoreboard-plot"


def open_figure(notebook, cell_id):
    """Return the figure of a cell as a PIL image, RGB."""
    png = base64.b64decode(figures(notebook)[cell_id])
    return Image.open(io.BytesIO(png))


def shades(picture):
    """Return a slightly blurred picture as an array (height, width, 3), 0 to 255."""
    return np.asarray(picture.convert("RGB").filter(ImageFilter.GaussianBlur(2)), float)


def worst_block(saved, new, size=16, shift=2):
    """Return how much two pictures differ in the block where they differ most.

    Each block may be moved a little to fit, as another version of a font moves it.

    Args:
        saved, new: PIL images of the same size.
        size: height and width of a block, in pixels.
        shift: how far a block may be moved in each direction, in pixels.

    Returns:
        Root of the mean square of the differences, from 0 to 255.
    """
    saved, new = shades(saved), shades(new)
    height, width = (n // size for n in saved.shape[:2])
    fits = []
    for move in np.ndindex(2 * shift + 1, 2 * shift + 1):
        moved = np.roll(new, np.subtract(move, shift), axis=(0, 1))
        squares = ((saved - moved) ** 2)[: height * size, : width * size]
        fits.append(squares.reshape(height, size, width, size, 3).mean(axis=(1, 3, 4)))
    return np.sqrt(np.min(fits, axis=0).max())


def whole(saved, new):
    """Return how much two pictures of the same size differ as a whole, 0 to 255."""
    return calculate_rms(shades(saved), shades(new))


def compare(cell_id, saved, new, same_arithmetic):
    """Return how much two pictures differ and how much they may."""
    same_matplotlib = saved.info.get("Software") == new.info.get("Software")
    if cell_id in OTHER_NETWORK and (cell_id == TIMED or not same_arithmetic):
        more = 0 if same_matplotlib else OTHER_MATPLOTLIB_WHOLE
        return whole(saved, new), OTHER_NETWORK[cell_id] + more
    return worst_block(saved, new), SAME if same_matplotlib else OTHER_MATPLOTLIB


@pytest.mark.parametrize("cell_id", saved_figures)
def test_figure(cell_id, new_outputs, executed, same_arithmetic):
    if not new_outputs:
        pytest.skip("the notebook was not run")
    assert cell_id in new_outputs, f"The cell {cell_id!r} was not run."
    assert cell_id in figures(executed), f"The cell {cell_id!r} drew no figure."
    old, new = (open_figure(notebook, cell_id) for notebook in (saved, executed))
    assert new.size == pytest.approx(old.size, rel=0.03), "The figure's size changed."
    new_info, new = new.info, new.resize(old.size)
    new.info = new_info

    differs, may = compare(cell_id, old, new, same_arithmetic)
    if differs > may:
        RESULTS.mkdir(exist_ok=True)
        kinds = "saved", "new", "difference"
        paths = [str(RESULTS / f"{cell_id}-{kind}.png") for kind in kinds]
        for path, picture in zip(paths, (old, new)):
            picture.convert("RGB").save(path)
        save_diff_image(*paths)
        pytest.fail(
            f"The figure of cell {cell_id!r} differs by {differs:.1f} from the saved "
            f"one, {may} are allowed. See {RESULTS.name}/{cell_id}-*.png."
        )
