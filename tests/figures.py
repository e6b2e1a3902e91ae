"""What a figure shows, as lines of text, and where its texts stand in its picture.

Noted are titles, axes, legends, images, heatmaps, bars, lines, arrows, areas and texts, and
colours, limits and transparency where they are not what the library would choose.
"""

import re
from collections import Counter

import matplotlib as mpl
import numpy as np
from matplotlib.category import StrCategoryLocator
from matplotlib.collections import Collection, PathCollection, QuadMesh
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.patches import ConnectionPatch, FancyArrowPatch, Patch, Rectangle
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator

from facts import SOME
from known import (
    DIGIT,
    answers_text,
    identities,
    keys_of,
    number,
    recognised,
    rows_text,
    summary,
    told,
    values_text,
)

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
    if alpha is None or np.all(alpha == 1):
        return ""
    return f" alpha {' '.join(map(number, np.unique(alpha)))}"


def points_text(points):
    """Return points (n, 2) as text."""
    points = np.asarray(points, float).reshape(-1, 2)
    if len(points) == 1:
        return f"({number(points[0][0])}, {number(points[0][1])})"
    return f"{len(points)} points, x {values_text(points[:, 0])}; y {values_text(points[:, 1])}"


def limits(axes, name):
    low, high = getattr(axes, f"{name}axis").get_view_interval()
    return f"{number(low)} to {number(high)}"


def axis_text(axes, name):
    """Return an axis' label, scale, direction, limits and ticks, if they are set."""
    axis, scaled = getattr(axes, f"{name}axis"), getattr(axes, f"get_autoscale{name}_on")()
    own = not scaled
    if axes.images:  # an image sets the limits
        *sides, bottom, top = axes.images[0].get_extent()
        ends = sides if name == "x" else (bottom, top)
        own = tuple(map(number, axis.get_view_interval())) != tuple(map(number, ends))
    locator = axis.get_major_locator()
    fixed = isinstance(locator, (FixedLocator, StrCategoryLocator))
    labels = [words(tick) for tick in axis.get_ticklabels()] if fixed else []
    found = {
        f'"{words(axis.label)}"': axis.get_label_text(),
        axis.get_scale(): axis.get_scale() != "linear",
        limits(axes, name): own,
        "turned": not own and not axes.images and axis.get_inverted(),
        f"ticks {' '.join(labels)}": "".join(labels),
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
        limits = f" from {number(clim[0])} to {number(clim[1])}" * own
        texts[image.get_cmap().name + alpha_text(image) + limits] = None
    return " and ".join(texts)


def images_text(images):
    """Yield what images are, and their titles."""
    arrays = [np.asarray(image.get_array()) for image in images]
    found, placed = recognised(arrays), []
    stack = recognised([np.stack(arrays)])[0] if len({a.shape for a in arrays}) == 1 else None
    for image, array in zip(images, arrays):
        left, right, bottom, top = image.get_extent()
        if (right - left, bottom - top) != array.shape[1::-1]:
            ends = map(number, (left, right, bottom, top))
            placed.append("placed from {} to {}, {} to {}".format(*ends))
    unknown = [np.float64(array) for array, entry in zip(arrays, found) if entry is None]
    if stack and len(arrays) > 1:
        yield f"images {colours_text(images)}: all {len(arrays)} of {stack.source}"
    else:
        rows = rows_text(found, different=len(set(keys_of(unknown))))
        yield f"images {colours_text(images)}: {rows}"
        yield from unknown_text(unknown) if unknown else []
    yield from counted(placed)
    titles = told([words(image.axes.title) for image in images], arrays)
    if any(title.count("label=answer") > 1 for title in titles):
        # Which of them are read right differs from run to run, but not what is said of these.
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
    entry = recognised([values])[0]
    is_set = entry is None or entry.label is not None
    yield f"heatmap {colours_text([mesh])}: {rows_text([entry]) if is_set else entry.source}"
    if cells:
        same, diagonal = np.isclose(numbers, colours), np.eye(*colours.shape, dtype=bool)
        coloured = "all" if same.all() else "off the diagonal" if (same | diagonal).all() else "no"
        yield f"numbers that are the colours: {coloured}; zeros: {zeros}"
    if entry is None:
        yield f"rows sum to {' '.join(map(number, values.sum(axis=1)))}"
        yield f"on the diagonal: {number(100 * np.trace(values) / max(values.sum(), 1))}%"


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
    kind = type(artist).__name__
    if isinstance(artist, Line2D):
        look = (
            f"line {artist.get_linestyle()} {artist.get_marker()} {colour_text(artist.get_color())}"
        )
        width, usual = artist.get_linewidth(), mpl.rcParams["lines.linewidth"]
        if artist.get_linestyle() == "None":
            width, usual = artist.get_markersize(), mpl.rcParams["lines.markersize"]
    elif isinstance(artist, Patch):
        face = colour_text(artist.get_facecolor()) if artist.get_fill() else "empty"
        edge, hatch = artist.get_edgecolor(), artist.get_hatch()
        width, usual = artist.get_linewidth(), mpl.rcParams["patch.linewidth"]
        edge = f" edge {colour_text(edge)}" if edge[3] and width else ""
        look = f"{kind} {face}{edge}" + f" hatch {hatch}" * bool(hatch)
        width = usual if not edge else width
    elif isinstance(artist, Collection):
        colours = [*artist.get_facecolor()] or [*artist.get_edgecolor()]
        names = list(dict.fromkeys(map(colour_text, colours)))
        look, width, usual = f"{kind} {' '.join(names[:3])}", 1, 1
    else:
        return f"a {kind}, {UNKNOWN}"
    return look + f" width {number(width)}" * (width != usual) + alpha_text(artist)


def place_of(artist, axes):
    """Return the points that an artist goes through, of a patch its box; and of what they are."""
    patch = isinstance(artist, Patch)
    if isinstance(artist, PathCollection):
        return artist.get_offsets(), ""
    if isinstance(artist, Collection):
        paths = [path.vertices for path in artist.get_paths()]
        return np.concatenate([*paths, np.empty((0, 2))]), ""
    to = artist.get_data_transform() if patch else artist.get_transform()
    path = artist.get_path()
    if patch:
        path = artist.get_patch_transform().transform_path(path)
    for transform, name in [
        (axes.get_xaxis_transform(), " (y: of the axes)"),
        (axes.get_yaxis_transform(), " (x: of the axes)"),
        (axes.transAxes, " (of the axes)"),
    ]:
        if to == transform:
            return path.get_extents().get_points() if patch else path.vertices, name
    path = (to - axes.transData).transform_path(path)
    return path.get_extents().get_points() if patch else path.vertices, ""


def boxes_text(points, shown, turn):
    """Return where boxes stand, from their corners (2 n, 2); sizes that a network gave, say so."""
    low, high = np.reshape(points, (-1, 2, 2)).transpose(1, 0, 2)
    sides = dict(zip(["left", "bottom", "width", "height"], [*low.T, *(high - low).T]))
    texts = {
        name: answers_text(values, shown, turn)
        or answers_text(values / 100, shown, turn)
        or values_text(np.round(values, 6))
        for name, values in sides.items()
    }
    return "; ".join(f"{name} {text}" for name, text in texts.items())


def arrow_text(arrow, ends=()):
    """Return an arrow's look, and where it begins and ends."""
    look = f"arrow {type(arrow.get_arrowstyle()).__name__} {colour_text(arrow.get_edgecolor())}"
    if isinstance(arrow, ConnectionPatch):
        ends = arrow.xy1, arrow.xy2
    elif not ends:
        ends = arrow._posA_posB or arrow.get_path().vertices[[0, -1]]
    return f"{look}{alpha_text(arrow)} {' → '.join(points_text([end]) for end in ends)}"


def text_place(text, axes):
    """Return what a text says, where, and where its arrow leads."""
    place, to = text.get_position(), text.get_transform()
    said = f'"{words(text)}" at {points_text([place])}'
    if not hasattr(text, "xy"):
        of = " (of the axes)" if to == axes.transAxes else " (mixed)"
        return said + of * (to != axes.transData)
    said += "" if text.anncoords == "data" else f" ({text.anncoords})"
    arrow = text.arrow_patch
    return f"{said} {arrow_text(arrow, [place, text.xy]) if arrow else points_text([text.xy])}"


def legend_text(legend):
    """Return a legend's texts, each with what its handle looks like."""
    texts = [words(text) for text in legend.get_texts()]
    looks = [look_of(handle) for handle in legend.legend_handles]
    title = words(legend.get_title().get_text())
    entries = ", ".join(f'"{text}" {look}' for text, look in zip(texts, looks))
    return "legend " + f'"{title}" ' * bool(title) + entries


def axes_text(axes, shown, turn):
    """Yield what can be seen in a part of a figure, but for images and their titles."""
    if bar := getattr(axes, "_colorbar", None):
        label = words(axes.get_ylabel() or axes.get_xlabel())
        low, high = map(number, (bar.vmin, bar.vmax))
        yield f'colour bar {bar.cmap.name} from {low} to {high} "{label}"'
        return
    meshes = [shape for shape in axes.collections if isinstance(shape, QuadMesh)]
    titles = [words(title) for title in (axes.title, axes._left_title, axes._right_title)]
    titles[0] = "" if axes.images else heatmap_title(axes, meshes) if meshes else titles[0]
    around = [f'title "{title}"' for title in filter(None, titles)]
    around += [axis_text(axes, "x"), axis_text(axes, "y")] if axes.axison else []
    if not axes.axison and (ends := [f"{n} {limits(axes, n)}" for n in "xy" if not axes.images]):
        scaled = axes.get_autoscalex_on() and axes.get_autoscaley_on()
        around.append("no axes" + f", {', '.join(ends)}" * (not scaled))
    around += [legend_text(axes.get_legend())] if axes.get_legend() else []
    yield "; ".join(filter(None, around))
    for mesh in meshes:
        yield from heatmap_text(mesh)
    texts = [
        t for t in axes.texts if t.get_visible() and (t.get_text().strip() or hasattr(t, "xy"))
    ]
    cells = [t for t in texts if meshes and re.fullmatch(NUMERIC, t.get_text())]
    said = [text_place(text, axes) for text in texts if text not in cells]
    yield f"texts {', '.join(said)}" if said else ""
    groups = {}  # what looks the same
    artists = [*axes.lines, *axes.patches, *axes.collections, *axes.artists, *axes.tables]
    artists += axes.child_axes
    for artist in artists:
        if not artist.get_visible() or artist in meshes:
            continue
        if isinstance(artist, FancyArrowPatch):
            yield arrow_text(artist)
            continue
        look = look_of(artist)
        if UNKNOWN in look:
            yield look
            continue
        points, of = place_of(artist, axes)
        label = "" if artist.get_label()[:1] in ("", "_") else f'"{artist.get_label()}" '
        groups.setdefault((label + look, of, type(artist)), []).extend(points)
    together = list(bars_text(axes, shown, turn))
    yield from together
    for (look, of, kind), points in groups.items():
        if together and kind is Rectangle:
            continue
        text = boxes_text(points, shown, turn) if kind is Rectangle else points_text(points)
        yield f"{look} {text}{of}".strip()


def bars_text(axes, shown, turn):
    """Yield what bars of several colours show together, if a network gave their heights."""
    bars = [patch for patch in axes.patches if isinstance(patch, Rectangle) and patch.get_visible()]
    if len({look_of(bar) for bar in bars}) > 1:
        text = boxes_text([place_of(bar, axes)[0] for bar in bars], shown, turn)
        if " answers to " in text:
            highest = max(bars, key=lambda bar: bar.get_height())
            looks = Counter(look_of(bar) for bar in bars if bar is not highest)
            others = ", ".join(f"{n} {look}" for look, n in looks.items())
            yield f"bars together: {text}; the highest {look_of(highest)}, {others}"


def texts_of(figure):
    """Yield each text of a figure, its box as shares of the picture, and what is behind it.

    The box is (left, right, top, bottom), from the upper left; behind it is what axes draw,
    True, or nothing. Ticks are left out.
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
    around = [figure.get_suptitle(), figure.get_supxlabel(), figure.get_supylabel()]
    title = "".join(f' "{words(text)}"' for text in around if text)
    lines = list(images_text(images)) if images else []
    shown = identities(np.asarray(image.get_array()) for image in images)
    turns = {axes: turn for turn, axes in enumerate(a for a in parts if a.patches)}
    lines += counted(x for axes in parts for x in axes_text(axes, shown, turns.get(axes)) if x)
    lines += [legend_text(legend) for legend in figure.legends]
    own = {figure._suptitle, figure._supxlabel, figure._supylabel}
    lines += [f'text "{words(text)}" in the figure' for text in figure.texts if text not in own]
    first, *others = lines or ["empty"]
    return [f"figure {figure.bbox.width:.0f}×{figure.bbox.height:.0f}{title}; {first}", *others]
