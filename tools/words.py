"""Make figures say what they draw; run in the kernel before the notebook.

Jupyter keeps the words as the plain text of a figure, beside its picture. So nbval
compares them as it compares what cells print, on every machine. PYTHONSTARTUP (STARTUP in
common.py) runs startup.py, which imports this, in each kernel of pytest and of the tools.
"""

import numpy as np
from matplotlib.category import StrCategoryLocator
from matplotlib.figure import Figure
from matplotlib.lines import AxLine
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator


def number(value):
    """Write a number with four digits, at most four of them decimals."""
    return np.format_float_positional(round(float(f"{value:.4g}"), 4) + 0.0, trim="-")


def tick_labels(axis):
    """Return the labels of ticks that stand where the notebook or its data put them."""
    if isinstance(axis.get_major_locator(), (FixedLocator, StrCategoryLocator)):
        return ", ".join(label.get_text() for label in axis.get_ticklabels())
    return ""


def point_words(points):
    """Return points (n, 2) as words; of many, how many, their ends and mean."""
    points = np.asarray(points, float)
    places = [f"({number(x)}, {number(y)})" for x, y in points]
    if len(points) > 8:
        mean = number(np.nanmean(points[:, 1]))
        ends = f"{places[0]} to {places[-1]}, mean {mean}"
        places = [f"{len(points)} points from {ends}"]
    return ", ".join(places)


def line_words(line):
    """Return a line's label, marker and points."""
    label = "" if line.get_label().startswith("_") else f"{line.get_label()}, "
    if isinstance(line, AxLine):
        return f"{label}slope {number(line.get_slope())}"
    return f"{label}marker {line.get_marker()}, {point_words(line.get_xydata())}"


def shape_words(shape):
    """Return the points of a scatter plot, or the corners of areas and lines."""
    corners = np.concatenate([path.vertices for path in shape.get_paths()])
    points = shape.get_offsets()
    return point_words(points if len(points) > 1 else corners)


def bar_words(bars):
    """Return the lengths of bars, and the first and last place where one stands."""
    sides = np.array([(bar.get_width(), bar.get_height()) for bar in bars])
    upright = int(np.ptp(sides[:, 0]) < 1e-9)  # all are as wide, or all as high
    middles = [bar.get_center()[1 - upright] for bar in bars]
    ends = f"from {number(min(middles))} to {number(max(middles))}"
    return ", ".join(map(number, sides[:, upright])), ends


def text_words(text):
    """Return a text, and the point that it belongs to or stands at."""
    place = getattr(text, "xy", text.get_position())
    return f"{text.get_text().strip()} at ({', '.join(map(number, place))})"


def axis_words(axes, name):
    """Return an axis' label, scale and direction, and its limits if they are set."""
    axis = axes.xaxis if name == "x" else axes.yaxis
    kept = getattr(axes, f"get_autoscale{name}_on")()
    low, high = map(number, axis.get_view_interval())
    found = {
        axis.get_label_text(): True,
        axis.get_scale(): axis.get_scale() != "linear",
        f"{low} to {high}": not kept,
        "turned": kept and axis.get_inverted(),
    }
    return ", ".join(text for text, said in found.items() if said and text)


def image_words(values):
    """Return the mean of an image, and the row and column of its centre of mass."""
    values = np.ma.asarray(values, float)
    weights = np.abs(values if values.ndim == 2 else values.mean(axis=2))
    rows, columns = np.indices(weights.shape)
    middle = [np.sum(n * weights) / max(weights.sum(), 1e-9) for n in (rows, columns)]
    return f"{number(values.mean())} at {number(middle[0])}, {number(middle[1])}"


def words_of(axes):
    """Yield (kind, words) of what can be seen in a part of a figure."""
    yield "title", axes.get_title()
    if not axes.images:
        yield "x", axis_words(axes, "x")
        yield "y", axis_words(axes, "y")
        yield "x ticks", tick_labels(axes.xaxis)
        yield "y ticks", tick_labels(axes.yaxis)
    elif axes.get_xlabel() or axes.get_ylabel():
        yield "labels", f"{axes.get_xlabel()}, {axes.get_ylabel()}"
    if axes.get_legend():
        yield "legend", ", ".join(t.get_text() for t in axes.get_legend().get_texts())
    yield "texts", ", ".join(map(text_words, axes.texts))
    for line in axes.lines:
        yield "line", line_words(line)
    bars = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    if bars:
        yield from zip(("bars", "bars stand"), bar_words(bars))
    for image in [*axes.images, *axes.collections]:
        if np.ndim(image.get_array()) < 2:
            yield "shape", shape_words(image)
        else:
            yield "image", image_words(image.get_array())
            low, high = image.get_clim()
            limits = f" from {number(low)} to {number(high)}" * (low == -high)
            yield "colours", image.get_cmap().name + limits


def words(figure):
    """Return what a figure draws, one line for each kind of thing."""
    found = {"size": [f"{figure.bbox.width:.0f}×{figure.bbox.height:.0f}"]}
    found["title of all"] = [figure.get_suptitle()]
    for axes in figure.axes:
        for kind, text in words_of(axes) if axes.get_visible() else []:
            found.setdefault(kind, []).append(text)
    images = [np.float64(i.get_array()) for axes in figure.axes for i in axes.images]
    if images:  # in one picture after another it differs how rough each is, in all less
        rough = np.mean([np.abs(np.diff(image, axis=0)).mean() for image in images])
        found["images"] = [f"{len(images)}, rows differ by {number(rough)}"]
    found["colours"] = sorted(set(found.get("colours", [])))
    lines = []
    for kind, texts in found.items():
        texts = list(filter(None, texts))
        if kind != "line":
            texts = [" | ".join(texts)] if texts else []
        lines += [f"{kind}: {text}" for text in texts]
    return "\n".join(lines)


Figure.__repr__ = words
