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
from matplotlib.patches import FancyArrowPatch, Patch, Rectangle
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from facts import SOME
from known import DIGIT, answers_text, number, recognised, rows_text, summary, told, values_text

UNKNOWN = "which the recorder does not know"


def counted(lines):
    """Return lines, each once, and how often it was there."""
    return [f"{line} ({n} times)" if n > 1 else line for line, n in Counter(lines).items()]


def words(text):
    """Return a text in one line; of a Matplotlib text also its colour, if it is not the usual."""
    if not isinstance(text, Text):
        return " ".join(str(text).split())
    usual = {mpl.rcParams[key] for key in ("text.color", "axes.labelcolor", "axes.titlecolor")}
    colour = colour_text(text.get_color())
    own = colour not in [colour_text(c) for c in usual - {"auto"}]
    return words(text.get_text()) + f" ({colour})" * own + alpha_text(text)


def colour_text(colour):
    """Return a colour such as #0173b2, with what shines through behind it, if anything does."""
    text = to_hex(colour, keep_alpha=True)
    return text[:7] if text.endswith("ff") else text


def alpha_text(artist):
    alpha = artist.get_alpha()
    return "" if alpha is None or np.all(alpha == 1) else f" alpha {values_text(alpha)}"


def span(low, high):
    return f"{number(low)} to {number(high)}"


def points_text(points):
    """Return points (n, 2) as text."""
    points = np.reshape(points, (-1, 2))
    if len(points) == 1:
        return f"({number(points[0][0])}, {number(points[0][1])})"
    return f"{len(points)} points, x {values_text(points[:, 0])}; y {values_text(points[:, 1])}"


def axis_text(axes, name):
    """Return an axis' label, scale, limits and ticks, if they are set."""
    axis = getattr(axes, f"{name}axis")
    limits = span(*axis.get_view_interval())
    own = not getattr(axes, f"get_autoscale{name}_on")() or axis.get_inverted()
    if axes.images:  # an image sets the limits
        left, right, bottom, top = axes.images[0].get_extent()
        own = limits != (span(left, right) if name == "x" else span(bottom, top))
    chosen = not isinstance(axis.get_major_locator(), MaxNLocator)
    ticks = " ".join(words(tick) for tick in axis.get_ticklabels()) if chosen else ""
    found = {
        f'"{words(axis.label)}"': axis.get_label_text(),
        axis.get_scale(): axis.get_scale() != "linear",
        limits: own,
        f"ticks {ticks}": ticks.strip(),
        "no ticks": not len(axis.get_ticklocs()) and not axes.images,
    }
    text = ", ".join(text for text, said in found.items() if said)
    return f"{name} {text}" if text else ""


def colours_text(images):
    """Return the colour maps of images or heatmaps, and limits that are not their values' own."""
    texts = {}
    for image in images:
        values, clim = np.ma.masked_invalid(image.get_array()), image.get_clim()
        own = values.ndim == 2 and not np.allclose(clim, [values.min(), values.max()])
        texts[image.get_cmap().name + alpha_text(image) + f" from {span(*clim)}" * own] = None
    return " and ".join(texts)


def images_text(images):
    """Yield what images are, and their titles."""
    arrays = [np.asarray(image.get_array()) for image in images]
    found, placed = recognised(arrays), []
    (whole,) = recognised([np.concatenate([array.ravel() for array in arrays])])
    together = whole and len(arrays) > 1
    rows = f"all {len(arrays)} of {whole.source}" if together else rows_text(found)
    yield f"images {colours_text(images)}: {rows}"
    unknown = [np.float64(array) for array, entry in zip(arrays, found) if entry is None]
    yield from unknown_text(unknown) if unknown else []
    for image, array in zip(images, arrays):
        left, right, bottom, top = image.get_extent()
        if (right - left, bottom - top) != array.shape[1::-1]:
            placed.append(f"placed from {span(left, right)}, {span(bottom, top)}")
    yield from counted(placed)
    titles = told([words(image.axes.title) for image in images], arrays)
    if any(title.count("label=answer") > 1 for title in titles):
        # "5, read as 5": this one is read right. Which ones are differs from run to run, but not
        # what is said of these.
        kinds = {re.sub(r"[\d.]+(?=%)", "…", t.replace("label=answer", "right")) for t in titles}
        yield from (f"{SOME} {kind}" for kind in sorted(kinds))
    elif any(titles):
        alike = len(set(titles)) == 1
        yield f"titles: {len(titles)} × {titles[0]}" if alike else f"titles: {' | '.join(titles)}"


def unknown_text(images):
    """Yield means of images that are not known, and how they change along rows and columns."""
    alike = len({image.shape for image in images}) == 1
    yield from (f"values: {summary(part)}" for part in ([images] if alike else images))
    steps = [[np.abs(np.diff(image, axis=axis)).mean() for image in images] for axis in (0, 1)]
    yield "values change by {} down, {} across".format(*(number(np.mean(s)) for s in steps))


NUMERIC = r"-?[\d.,]+%?"  # the text of a heatmap's cell


def heatmap_text(mesh):
    """Yield what a heatmap's numbers are, and how it is coloured."""
    colours = np.atleast_2d(np.ma.asarray(mesh.get_array()).filled(0))
    numbers, zeros = np.zeros(colours.shape), 0
    cells = [text for text in mesh.axes.texts if re.fullmatch(NUMERIC, text.get_text())]
    for text in cells:
        column, row = map(int, text.get_position())
        numbers[row, column] = float(re.sub("[%,]", "", text.get_text()))
        zeros += numbers[row, column] == 0
    values = numbers if cells else colours
    (entry,) = recognised([values])
    no_set = entry and entry.label is None  # but numbers that stand alone
    yield f"heatmap {colours_text([mesh])}: {entry.source if no_set else rows_text([entry])}"
    if cells:
        same, diagonal = np.isclose(numbers, colours), np.eye(*colours.shape, dtype=bool)
        coloured = "all" if same.all() else "off the diagonal" if (same | diagonal).all() else "no"
        yield f"numbers that are the colours: {coloured}; zeros: {zeros}"
    if entry is None:
        yield f"values: {values_text(values)}"


def heatmap_title(axes, meshes):
    """Return a title, where two digits that name its greatest number off the diagonal say so."""
    title = words(axes.title)
    values = sum(np.ma.asarray(mesh.get_array()).filled(0) for mesh in meshes)
    if values.shape != (10, 10) or re.sub(DIGIT, "", title) == title:
        return title
    row, column = np.unravel_index(np.argmax(values * (1 - np.eye(10))), values.shape)
    names = {str(row): "row", str(column): "column"}
    return re.sub(DIGIT, lambda digit: names.get(digit[0], "another"), title)


def look_of(artist):
    """Return what an artist looks like, with no word about where it is."""
    kind, rc, width, usual = type(artist).__name__, mpl.rcParams, 0, 0
    if isinstance(artist, Line2D):
        style, marker = artist.get_linestyle(), artist.get_marker()
        look = f"line {style} {marker} {colour_text(artist.get_color())}"
        width, usual = artist.get_linewidth(), rc["lines.linewidth"]
        if style == "None":
            width, usual = artist.get_markersize(), rc["lines.markersize"]
    elif isinstance(artist, Patch) and not isinstance(artist, FancyArrowPatch):
        face = colour_text(artist.get_facecolor()) if artist.get_fill() else "empty"
        look = f"{kind} {face}" + f" hatch {artist.get_hatch()}" * bool(artist.get_hatch())
        if artist.get_edgecolor()[3] and artist.get_linewidth():
            look += f" edge {colour_text(artist.get_edgecolor())}"
            width, usual = artist.get_linewidth(), rc["patch.linewidth"]
    else:
        return f"a {kind}, {UNKNOWN}"
    return look + f" width {number(width)}" * (width != usual) + alpha_text(artist)


def place_of(artist, axes):
    """Return the points that an artist goes through, of a patch its box; and of what they are."""
    path, transform = artist.get_path(), artist.get_transform()
    if isinstance(artist, Patch):
        path = artist.get_patch_transform().transform_path(path)
        transform = artist.get_data_transform()
    frames = {
        " (y: of the axes)": axes.get_xaxis_transform(),
        " (x: of the axes)": axes.get_yaxis_transform(),
        " (of the axes)": axes.transAxes,
    }
    frame = next((name for name, frame in frames.items() if transform == frame), "")
    if not frame:
        path = (transform - axes.transData).transform_path(path)
    is_patch = isinstance(artist, Patch)
    return path.get_extents().get_points() if is_patch else path.vertices, frame


def boxes_text(points, heights=""):
    """Return where boxes stand, from their corners (2 n, 2); heights: what is known of them."""
    low, high = np.reshape(points, (-1, 2, 2)).transpose(1, 0, 2)
    sides = zip(["left", "bottom", "width", "height"], [*low.T, *(high - low).T])
    texts = {name: values_text(np.round(values, 6)) for name, values in sides}
    texts["height"] = heights or texts["height"]
    return "; ".join(f"{name} {text}" for name, text in texts.items())


def bars_text(bars, axes, shown, panel):
    """Return what bars show together, if a network gave their heights, or ""."""
    answers = answers_text([bar.get_height() for bar in bars], shown, panel)
    if not answers:
        return ""
    highest = max(bars, key=lambda bar: bar.get_height())
    looks = Counter(look_of(bar) for bar in bars if bar is not highest)
    others = ", ".join(f"{n} {look}" for look, n in looks.items())
    boxes = boxes_text([place_of(bar, axes)[0] for bar in bars], answers)
    return f"bars together: {boxes}; the highest {look_of(highest)}, {others}"


def text_place(text, axes):
    """Return what a text says, where, and where its arrow leads."""
    place = text.get_position()
    said = f'"{words(text)}" at {points_text(place)}'
    if not hasattr(text, "xy"):
        return said + " (not of the data)" * (text.get_transform() != axes.transData)
    said += f" ({text.anncoords}, {text.xycoords})" * ({text.anncoords, text.xycoords} != {"data"})
    if arrow := text.arrow_patch:
        style, colour = type(arrow.get_arrowstyle()).__name__, colour_text(arrow.get_edgecolor())
        said += f" arrow {style} {colour}{alpha_text(arrow)} {points_text(place)} →"
    return f"{said} {points_text(text.xy)}"


def legend_text(legend):
    """Return a legend's texts, each with what its handle looks like."""
    entries = zip(legend.get_texts(), legend.legend_handles)
    texts = [f'"{words(text)}" {look_of(handle)}' for text, handle in entries]
    return f"legend {words(legend.get_title())}".strip() + " " + ", ".join(texts)


def artists_text(axes, shown, panel):
    """Yield what is drawn in axes, with the places of all that looks the same."""
    bars = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    together = bars_text(bars, axes, shown, panel)
    yield together
    noted = bars if together else []
    groups = {}  # what looks the same
    artists = [*axes.lines, *axes.patches, *axes.collections, *axes.artists, *axes.tables]
    for artist in artists + axes.child_axes:
        is_noted = isinstance(artist, QuadMesh) or artist in noted
        if is_noted or not artist.get_visible():
            continue
        look, label = look_of(artist), artist.get_label()
        if UNKNOWN in look:
            yield look
            continue
        points, frame = place_of(artist, axes)
        look = look if label.startswith("_") or not label else f'"{label}" {look}'
        groups.setdefault((look, frame, type(artist)), []).extend(points)
    for (look, frame, kind), points in groups.items():
        place = boxes_text(points) if kind is Rectangle else points_text(points)
        yield f"{look} {place}{frame}"


def axes_text(axes, shown, panel):
    """Yield what can be seen in a part of a figure, but for images and their titles."""
    meshes = [shape for shape in axes.collections if isinstance(shape, QuadMesh)]
    titles = [words(title) for title in (axes.title, axes._left_title, axes._right_title)]
    titles[0] = "" if axes.images else heatmap_title(axes, meshes) if meshes else titles[0]
    around = [f'title "{title}"' for title in filter(None, titles)]
    if axes.axison:
        around += [axis_text(axes, "x"), axis_text(axes, "y")]
    elif not axes.images:
        around.append(f"no axes, x {span(*axes.get_xlim())}, y {span(*axes.get_ylim())}")
    around += [legend_text(axes.get_legend())] if axes.get_legend() else []
    yield "; ".join(filter(None, around))
    for mesh in meshes:
        yield from heatmap_text(mesh)
    texts = [
        text_place(text, axes)
        for text in axes.texts
        if text.get_visible()
        and (text.get_text().strip() or hasattr(text, "xy"))
        and not (meshes and re.fullmatch(NUMERIC, text.get_text()))  # a heatmap's number
    ]
    yield f"texts {', '.join(texts)}" if texts else ""
    yield from artists_text(axes, shown, panel)


def texts_of(figure):
    """Yield each text of a figure, its box as shares of the picture, and what is behind it.

    The box is (left, right, top, bottom), from the upper left; behind it is what axes draw
    (True), or nothing. Ticks are left out.
    """
    renderer, inches = figure.canvas.get_renderer(), figure.dpi_scale_trans.inverted()
    whole = figure.get_tightbbox(renderer).padded(mpl.rcParams["savefig.pad_inches"])
    axis = [axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]
    ticks = {tick for one in axis for tick in one.get_ticklabels()}
    for text in set(figure.findobj(Text)) - ticks:
        if text.get_visible() and text.get_text().strip():
            pixels = text.get_window_extent(renderer)
            middle = [(pixels.x0 + pixels.x1) / 2, (pixels.y0 + pixels.y1) / 2]
            is_over = any(axes.bbox.contains(*middle) for axes in figure.axes)
            box = pixels.transformed(inches)
            x = (np.array([box.x0, box.x1]) - whole.x0) / whole.width
            y = (whole.y1 - np.array([box.y1, box.y0])) / whole.height
            if 0 <= x[0] < x[1] <= 1 and 0 <= y[0] < y[1] <= 1:
                yield words(text.get_text()), [round(float(s), 5) for s in (*x, *y)], is_over


def figure_text(figure):
    """Return what a figure shows, one line for each kind of thing."""
    parts = [axes for axes in figure.axes if axes.get_visible()]
    images = [image for axes in parts for image in axes.images if image.get_visible()]
    title = "".join(f' "{words(text)}"' for text in figure.texts)
    lines = list(images_text(images)) if images else []
    shown = [np.asarray(image.get_array()) for image in images]
    panels = {axes: panel for panel, axes in enumerate(a for a in parts if a.patches)}
    lines += counted(x for axes in parts for x in axes_text(axes, shown, panels.get(axes)) if x)
    lines += [legend_text(legend) for legend in figure.legends]
    first, *others = lines or ["empty"]
    return [f"figure {figure.bbox.width:.0f}×{figure.bbox.height:.0f}{title}; {first}", *others]
