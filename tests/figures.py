"""What a figure shows, as lines of text, and where its texts stand in its picture.

Noted are titles, axes, legends, images, heatmaps, bars, lines, arrows, areas and texts, and
colours, limits and transparency where they are not what the library would choose.
"""

import re
from collections import Counter

import matplotlib as mpl
import numpy as np
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Rectangle
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import BboxTransformFrom

from facts import SOME
from known import DIGIT, answers_text, number, recognised, rows_text, summary, told, values_text

NOT_KNOWN = "which the recorder does not know"


def counted(lines):
    """Return lines, each once, and how often it was there."""
    return [f"{n} times: {line}" if n > 1 else line for line, n in Counter(lines).items()]


def words(text):
    """Return a Matplotlib text in one line, and its colour, if it is not the usual."""
    colours = to_hex(text.get_color()), to_hex(mpl.rcParams["text.color"])
    return " ".join(text.get_text().split()) + f" ({colours[0]})" * (colours[0] != colours[1])


def alpha_text(artist):
    alpha = artist.get_alpha()
    return "" if alpha is None or np.all(alpha == 1) else f" alpha {alpha}"


def span(low, high):
    return f"{number(low)} to {number(high)}"


def axis_text(axes, name):
    """Return an axis' label, scale, limits and ticks, if they are set."""
    axis, limits = getattr(axes, f"{name}axis"), getattr(axes, f"get_{name}lim")()
    own = not getattr(axes, f"get_autoscale{name}_on")() or axis.get_inverted()
    if axes.images:  # an image sets the limits
        left, right, bottom, top = axes.images[0].get_extent()
        own = not np.allclose(limits, (left, right) if name == "x" else (bottom, top))
    chosen = not isinstance(axis.get_major_locator(), MaxNLocator)
    ticks = " ".join(map(words, axis.get_ticklabels())).strip()
    found = {
        f'"{words(axis.label)}"': axis.get_label_text(),
        axis.get_scale(): axis.get_scale() != "linear",
        span(*limits): own,
        f"ticks {ticks}": chosen and ticks,
    }
    text = ", ".join(text for text, said in found.items() if said)
    return f"{name} {text}" if text else ""


def colours_text(images):
    """Return the colour maps of images or heatmaps, and limits that are not their values' own."""
    texts = {}
    for image in images:
        values, clim = np.ma.masked_invalid(image.get_array()), image.get_clim()
        own = values.ndim == 2 and not np.allclose(clim, [values.min(), values.max()])
        name = image.get_cmap().name  # versions of Matplotlib name one's own differently
        name = name if name in mpl.colormaps else to_hex(image.get_cmap()(0.5))
        texts[name + alpha_text(image) + f" from {span(*clim)}" * own] = None
    return " and ".join(texts)


def images_text(images):
    """Yield what images are, and their titles."""
    arrays = [np.asarray(image.get_array()) for image in images]
    found = recognised(arrays)
    (whole,) = recognised([np.concatenate([array.ravel() for array in arrays])])
    rows = whole.source if len(arrays) > 1 else ""  # of channels, some may be all 0, and so alike
    yield f"images {colours_text(images)}: {rows or rows_text(found)}"
    unknown = [np.float64(array) for array, entry in zip(arrays, found) if not entry.source]
    alike = len({array.shape for array in unknown}) == 1
    yield from (f"values: {summary(part)}" for part in ([unknown] if alike else unknown))
    titles = [told(words(image.axes.title), entry) for image, entry in zip(images, found)]
    if sum(bool(re.search(r"\bright\b", title)) for title in titles) > 1:
        # Which ones are read right differs from run to run, but not what is said of these.
        kinds = {re.sub(r"[\d.]+(?=%)", "…", title) for title in titles}
        yield from (f"{SOME} {kind}" for kind in sorted(kinds))
    elif any(titles):
        alike = len(set(titles)) == 1
        yield f"titles: {len(titles)} × {titles[0]}" if alike else f"titles: {' | '.join(titles)}"


def is_count(text):
    return re.fullmatch(r"-?[\d.,]+%?", text.get_text())


def heatmaps_text(axes, meshes):
    """Yield a title, what heatmaps show together, and whether the numbers in them are the same.

    In the title, two digits that name the greatest number off the diagonal are "row" and "column".
    """
    # Several have the cells that the others leave out: together they are one matrix.
    colours = sum(np.ma.filled(mesh.get_array(), 0) for mesh in meshes)
    numbers, title = np.zeros(colours.shape), words(axes.title)
    for text in filter(is_count, axes.texts):
        column, row = map(int, text.get_position())
        numbers[row, column] = float(re.sub("[%,]", "", text.get_text()))
    if colours.shape == (10, 10):
        row, column = np.unravel_index(np.argmax(colours * (1 - np.eye(10))), colours.shape)
        names = {str(row): "row", str(column): "column"}
        title = re.sub(DIGIT, lambda digit: names.get(digit[0], "another"), title)
    same = "with" if np.allclose(numbers, colours) else "without"
    yield f'title "{title}"'
    yield f"heatmap {colours_text(meshes)}: {rows_text(recognised([colours]))}, {same} its numbers"


def look_of(artist):
    """Return what an artist looks like, with no word about where it is."""
    kind, rc = type(artist).__name__, mpl.rcParams
    if isinstance(artist, Line2D):
        style = artist.get_linestyle()
        look = f"line {style} {artist.get_marker()} {to_hex(artist.get_color())}"
        size = "markersize" if style == "None" else "linewidth"
        width, usual = getattr(artist, f"get_{size}")(), rc[f"lines.{size}"]
    elif isinstance(artist, (Rectangle, Circle)):
        face = to_hex(artist.get_facecolor()) if artist.get_fill() else "empty"
        look = f"{kind} {face}" + f" hatch {artist.get_hatch()}" * bool(artist.get_hatch())
        look += f" edge {to_hex(artist.get_edgecolor())}"
        width, usual = artist.get_linewidth(), rc["patch.linewidth"]
    else:
        return f"a {kind}, {NOT_KNOWN}"
    return look + f" width {number(width)}" * (width != usual) + alpha_text(artist)


def places_of(artist, axes):
    """Return the points (n, 2) of a line, or the box (1, 4) of a patch, in the axes' data."""
    path = (artist.get_transform() - axes.transData).transform_path(artist.get_path())
    return path.vertices if isinstance(artist, Line2D) else [path.get_extents().bounds]


def places_text(places, height=None):
    """Return points or boxes as text; height: what is known of the heights of boxes."""
    columns = [values_text(column) for column in np.round(places, 6).T]
    if len(columns) == 2:
        return f"{len(places)} points, x {columns[0]}; y {columns[1]}"
    left, bottom, width, own = columns
    return f"left {left}; bottom {bottom}; width {width}; height {height or own}"


def text_place(text):
    """Return what a text says, where, and where its arrow leads."""
    said = f'"{words(text)}" at ({", ".join(map(number, text.get_position()))})'
    if arrow := getattr(text, "arrow_patch", None):
        style, colour = type(arrow.get_arrowstyle()).__name__, to_hex(arrow.get_edgecolor())
        said += f" arrow {style} {colour} → ({', '.join(map(number, text.xy))})"
    return said


def artists_text(axes, image):
    """Yield what is drawn in axes, with the places of all that looks the same.

    Bars whose heights a network gave are noted together: to this image or another, as a drawing of
    280×280 pixels is shown, but read in 28×28.
    """
    bars, groups = [patch for patch in axes.patches if isinstance(patch, Rectangle)], {}
    if answers := answers_text([bar.get_height() for bar in bars], image):
        highest = max(bars, key=lambda bar: bar.get_height())
        looks = counted(sorted("the highest " * (b is highest) + look_of(b) for b in bars))
        boxes = places_text([places_of(bar, axes)[0] for bar in bars], answers)
        yield f"bars together: {boxes}; {', '.join(looks)}"
    artists = [*axes.lines, *axes.patches, *axes.collections, *axes.artists, *axes.tables]
    for artist in artists + axes.child_axes:
        is_noted = isinstance(artist, QuadMesh) or (answers and artist in bars)
        if is_noted or not artist.get_visible():
            continue
        look, label = look_of(artist), artist.get_label()
        if NOT_KNOWN in look:
            yield look
            continue
        look = look if label.startswith("_") or not label else f'"{label}" {look}'
        groups.setdefault(look, []).extend(places_of(artist, axes))
    for look, places in groups.items():
        yield f"{look} {places_text(places)}"


def axes_text(axes, image):
    """Yield what can be seen in a part of a figure, but for images and their titles."""
    meshes = [shape for shape in axes.collections if isinstance(shape, QuadMesh)]
    around = [axis_text(axes, "x"), axis_text(axes, "y"), "no axes" * (not axes.axison)]
    if words(axes.title) and not axes.images and not meshes:
        around.insert(0, f'title "{words(axes.title)}"')
    if legend := axes.get_legend():
        entries = zip(legend.get_texts(), legend.legend_handles)
        around.append("legend " + ", ".join(f'"{words(t)}" {look_of(h)}' for t, h in entries))
    yield "; ".join(filter(None, around))
    yield from heatmaps_text(axes, meshes) if meshes else []
    texts = [text for text in axes.texts if text.get_visible() and not (meshes and is_count(text))]
    yield f"texts {', '.join(map(text_place, texts))}" if texts else ""
    yield from artists_text(axes, image)


def texts_of(figure):
    """Yield each text of a figure, its box as shares of the picture, and whether axes are behind.

    The box is (left, bottom, right, top), from the lower left. Labels of ticks are left out, as
    Matplotlib also keeps some that it does not draw.
    """
    renderer = figure.canvas.get_renderer()
    whole = figure.get_tightbbox(renderer).padded(mpl.rcParams["savefig.pad_inches"])
    shares = figure.dpi_scale_trans.inverted() + BboxTransformFrom(whole)
    axis = [axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]
    ticks = {tick for one in axis for tick in one.get_ticklabels()}
    for text in set(figure.findobj(Text)) - ticks:
        if text.get_visible() and text.get_text().strip():
            pixels = text.get_window_extent(renderer)
            box = pixels.transformed(shares).extents
            is_over = pixels.count_overlaps([axes.bbox for axes in figure.axes]) > 0
            if box.min() >= 0 and box.max() <= 1:  # else it is cut off
                yield " ".join(text.get_text().split()), box.round(5).tolist(), bool(is_over)


def figure_text(figure):
    """Return what a figure shows, one line for each kind of thing."""
    parts = [axes for axes in figure.axes if axes.get_visible()]
    images = [image for axes in parts for image in axes.images if image.get_visible()]
    title = "".join(f' "{words(text)}"' for text in figure.texts)
    lines = list(images_text(images)) if images else []
    shown = recognised([np.asarray(image.get_array()) for image in images])
    # In a figure of images above bars, the n-th bars are answers to the n-th image.
    beside = dict(zip([axes for axes in parts if axes.patches], shown))
    lines += counted(x for axes in parts for x in axes_text(axes, beside.get(axes)) if x)
    lines += [f"a legend of the figure, {NOT_KNOWN}" for _ in figure.legends]
    first, *others = lines or ["empty"]
    return [f"figure {figure.bbox.width:.0f}×{figure.bbox.height:.0f}{title}; {first}", *others]
