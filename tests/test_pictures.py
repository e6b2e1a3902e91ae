"""Compares the notebook's figures with the saved ones, after nbval has run it.

nbval leaves pictures out. A picture that differs too much is left in the folder
result_images, with the saved one and their difference.
"""

import base64
import io

import nbformat
import numpy as np
import pytest
from bands import limits, read_bands
from matplotlib.testing.compare import calculate_rms, save_diff_image
from PIL import Image, ImageFilter
from refresh import NOTEBOOK, ROOT, figures

RESULTS = ROOT / "result_images"
saved = nbformat.read(NOTEBOOK, as_version=4)
saved_figures = figures(saved)

# On a machine that computes as the one that saved the figures, even the worst block
# of a picture differs by 0. One wrong digit in a title makes 10 or more.
SAME = 5
# Fonts and layout of Matplotlib 3.9.0 and 3.11.2 differ by up to 19.1 in the worst
# block, by up to 7.6 in the rows of a picture, and by up to 1.4 as a whole.
OTHER_MATPLOTLIB, OTHER_MATPLOTLIB_ROWS, OTHER_MATPLOTLIB_WHOLE = 25, 9, 2
# Where other networks are trained, because a processor rounds differently, figures
# that show results may differ by what bands.txt says: {cell id: (rows, whole)}.
OTHER_NETWORK = {
    name.removeprefix("picture "): [limits(line)[0][1] for line in lines]
    for name, lines in read_bands().items()
    if name.startswith("picture ")
}
# The points of this figure stand at the seconds that the machine took. They move
# sideways, so the rows of pixels keep their mean: 60 times of a third to three times
# the saved ones changed it by up to 0.44, leaving out the published values by 1.1.
TIMED, TIMED_ROWS = "scoreboard-plot", 0.65


def open_figure(notebook, cell_id):
    """Return the figure of a cell as a PIL image."""
    png = base64.b64decode(figures(notebook)[cell_id])
    return Image.open(io.BytesIO(png))


def shades(picture, blur=2):
    """Return a blurred picture as an array (height, width, 3), 0 to 255."""
    blurred = picture.convert("RGB").filter(ImageFilter.GaussianBlur(blur))
    return np.asarray(blurred, float)


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


def rows(saved, new):
    """Return how much the rows of pixels differ in their mean, but for the worst 5%.

    Nothing that moves sideways changes it.
    """
    saved, new = (shades(picture).mean(axis=1) for picture in (saved, new))
    return np.percentile(abs(new - saved), 95)


def whole(saved, new):
    """Return how much two pictures differ once they are blurred beyond reading.

    What is left is where how much was drawn, in which colour.
    """
    return calculate_rms(*(shades(picture, blur=32) for picture in (saved, new)))


def compare(cell_id, saved, new, same_arithmetic):
    """Yield what is compared of two pictures, how much it differs, how much it may."""
    same_matplotlib = saved.info.get("Software") == new.info.get("Software")
    if cell_id == TIMED and same_arithmetic and same_matplotlib:
        yield "in its rows", rows(saved, new), TIMED_ROWS
    elif cell_id == TIMED or (cell_id in OTHER_NETWORK and not same_arithmetic):
        may_rows, may_whole = OTHER_NETWORK[cell_id]
        if not same_matplotlib:
            may_rows += OTHER_MATPLOTLIB_ROWS
            may_whole += OTHER_MATPLOTLIB_WHOLE
        yield "in its rows", rows(saved, new), may_rows
        yield "as a whole", whole(saved, new), may_whole
    else:
        may = SAME if same_matplotlib else OTHER_MATPLOTLIB
        yield "in its worst block", worst_block(saved, new), may


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

    for where, differs, may in compare(cell_id, old, new, same_arithmetic):
        if differs > may:
            RESULTS.mkdir(exist_ok=True)
            kinds = "saved", "new", "difference"
            paths = [str(RESULTS / f"{cell_id}-{kind}.png") for kind in kinds]
            for path, picture in zip(paths, (old, new)):
                picture.convert("RGB").save(path)
            save_diff_image(*paths)
            pytest.fail(
                f"The figure of cell {cell_id!r} differs {where} by {differs:.3g} from "
                f"the saved one, {may} are allowed. See {RESULTS.name}/{cell_id}-*.png."
            )


@pytest.mark.parametrize("same_arithmetic", [True, False])
@pytest.mark.parametrize("cell_id", saved_figures)
def test_empty_figure_is_noticed(cell_id, same_arithmetic):
    old = open_figure(saved, cell_id)
    new = Image.new("RGB", old.size, "white")
    new.info = old.info
    found = compare(cell_id, old, new, same_arithmetic)
    assert any(differs > may for _, differs, may in found)
