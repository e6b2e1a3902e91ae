"""The bands of bands.txt: read them, apply them, and measure them anew.

    python tests/bands.py FOLDER [runs]

runs the notebook `runs` times (10 if not given), each time with another seed for all
training and with the next of the settings below, keeps each run in FOLDER, and writes
bands.txt from their spread. Started again, it goes on where it stopped; for a new
measurement, take a new folder. It runs on Linux, on a processor with AVX-512.

A band reaches SPREAD standard deviations (sd) to either side of the mean, and at least
one step of the last digit beyond the outermost run. Other seeds vary more than other
processors do, so this is wide for what it allows for.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
from nbval.plugin import get_sanitize_patterns
from PIL import Image
from refresh import NOTEBOOK, ROOT, figures, printed

BANDS = ROOT / "tests" / "bands.txt"
SANITIZE = ROOT / "tests" / "sanitize.cfg"
SPREAD = 9
SETTINGS = {
    "as the machine is": {},
    "oneDNN off": {"TF_ENABLE_ONEDNN_OPTS": "0"},
    "SSE4.1": {"ONEDNN_MAX_CPU_ISA": "SSE41"},
    "AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    "one core": {},
}
NUMBER = r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?"
HEAD = """\
# How far the notebook's numbers and pictures may be from the saved ones, on machines
# that compute a little differently from the one that saved them (see conftest.py).
#
# Below the id of a cell stand lines that it prints. {0.96 … 0.98} accepts any number
# from 0.96 to 0.98, {*} any text. Everything else is compared to the letter. Change a
# limit here, and nothing else. The comment above a line gives, for each band, the mean
# and the standard deviation of the runs that it comes from; `python tests/bands.py
# FOLDER` writes the file anew.
"""


def read_bands():
    """Return the lines of bands.txt as {cell id: [template, ...]}."""
    bands = {}
    for line in BANDS.read_text(encoding="utf-8").splitlines():
        line = line.strip()
        if heading := re.fullmatch(r"\[([\w -]+)\]", line):
            lines = bands.setdefault(heading[1], [])
        elif line and not line.startswith("#"):
            lines.append(line)
    return bands


def limits(template):
    """Return the limits in a template, as [(low, high), ...]; None for any text."""
    found = re.findall(r"\{(.*?)\}", template)
    ends = [None if band == "*" else band.split(" … ") for band in found]
    return [
        ends and tuple(float(end.replace(",", "")) for end in ends) for ends in ends
    ]


def pattern(template):
    """Return the regex that finds a line of the form of a template."""
    text = re.escape(" ".join(template.split())).replace(r"\ ", " +")
    text = text.replace(r"\{\*\}", "(.*)")
    text = re.sub(r"\\\{.*?….*?\\\}", lambda _: f"({NUMBER})", text)
    return rf"(?m)^ *{text} *$"


def accept(template, match):
    """Return a template if a line is within its bands.

    If not, return the line, with what was allowed after each number that is outside,
    for pytest to show.
    """
    line, end, outside = "", match.start(), False
    for i, band in enumerate(limits(template), 1):
        line += match.string[end : match.end(i)]
        end = match.end(i)
        if band and not band[0] <= float(match[i].replace(",", "")) <= band[1]:
            line += f" <- outside {band[0]:g} … {band[1]:g}"
            outside = True
    return line + match.string[end : match.end()] if outside else template


def rules(cell_id, same):
    """Return what nbval replaces in the outputs of a cell, as {regex: replacement}.

    Where lines have the same form, the first is for the first template, and so on.

    Args:
        cell_id: the id of the cell.
        same: whether this machine computes as the one that saved the outputs.
    """
    patterns = dict(get_sanitize_patterns(SANITIZE.read_text(encoding="utf-8")))
    if not same:  # the trained network in the drawing pad, which test_pad.py checks
        patterns[r'atob\("[A-Za-z0-9+/]{100000,}=*"\)'] = "atob(WEIGHTS)"
    forms = {}
    for template in [] if same else read_bands().get(cell_id, []):
        forms.setdefault(pattern(template), []).append(template)

    def chosen(form, templates):
        def replace(match):
            before = len(re.findall(form, match.string[: match.start()]))
            if before >= len(templates):
                return match[0]
            return accept(templates[before], match)

        return replace

    return patterns | {form: chosen(form, forms[form]) for form in forms}


def run_notebook(seed, folder):
    """Run a copy of the notebook with another seed, unless it is in the folder."""
    path = folder / f"seed-{seed:02}.ipynb"
    unfinished = path.with_suffix(".unfinished.ipynb")
    if path.exists() or unfinished.exists():
        return
    setting = list(SETTINGS)[seed % len(SETTINGS)]
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        if cell.id in ("build-model", "build-convolutional"):
            cell.source = cell.source.replace("(SEED)", f"({seed})")
        if cell.id == "fit":
            cell.source = f"keras.utils.set_random_seed({seed})\n{cell.source}"
    nbformat.write(notebook, unfinished)
    one_core = ["taskset", "-c", str(seed % os.cpu_count())]
    execute = [sys.executable, "-m", "jupyter", "execute", "--inplace", unfinished]
    subprocess.run(
        one_core + execute if setting == "one core" else execute,
        env=os.environ | SETTINGS[setting],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    unfinished.rename(path)
    print(f"Seed {seed}, {setting}: done.", flush=True)


def band(number, values, after, sd):
    """Return the template of a number from its values in the runs, and its spread."""
    decimals = len(number.partition(".")[2])
    step, mean = 10.0**-decimals, np.mean(values)
    low = min(mean - SPREAD * sd, *values) - step
    high = max(mean + SPREAD * sd, *values) + step
    if decimals == 0 and max(values) < 10 and min(values) >= 0:
        low, high = 0, 9  # a digit
    if min(values) >= 0:
        low = max(low, 0)
    if after.startswith("%"):
        high = min(high, 100)
    elif max(values) <= 1:
        high = min(high, 1)
    low, high = (f"{end + 0.0:.{decimals}f}" for end in (low, high))
    return f"{{{low} … {high}}}", f"{mean:.4g} (sd {sd:.2g})"


def spreads_of(numbers, columns):
    """Return the standard deviation of each number of a line, None if it can't vary.

    A number that came out the same in all runs may vary too, if others in the line
    do: whole numbers if most others do, then as much as these; others by the rounding.
    """
    sds = [np.std(c, ddof=1) if len(set(c)) > 1 else 0 for c in columns]
    whole = ["." not in number for number in numbers]
    if not any(sds):
        return [None] * len(sds)
    most = np.mean([sd > 0 for sd in sds]) > 0.5
    usual = [
        np.median([s for s, w in zip(sds, whole) if s and w == kind] or [0])
        for kind in (0, 1)
    ]
    rounding = [10.0 ** -len(number.partition(".")[2]) / SPREAD for number in numbers]
    return [
        sd or (usual[is_whole] if most else None if is_whole else least) or None
        for sd, is_whole, least in zip(sds, whole, rounding)
    ]


def form(line):
    """Return a line without its numbers and its spaces."""
    return " ".join(re.sub(NUMBER, "#", line).split())


def templates(outputs):
    """Yield (template, comment) for each line of a cell that varies between runs.

    Args:
        outputs: what the cell printed, when the notebook was saved and in the runs.
    """
    rows = list(zip(*(text.splitlines() for text in outputs), strict=True))
    varying = {form(lines[0]) for lines in rows if len(set(lines)) > 1}
    for lines in rows:
        words = {form(line) for line in lines}
        if len(words) > 1:
            yield "{*}", f"{len(words)} different lines, such as: {lines[0].strip()}"
            continue
        found = list(re.finditer(NUMBER, lines[0]))
        columns = [
            [float(number.replace(",", "")) for number in column]
            for column in zip(*(re.findall(NUMBER, line) for line in lines))
        ]
        template, end, comments = "", 0, []
        sds = spreads_of([place[0] for place in found], columns)
        if not any(sds) and form(lines[0]) in varying:
            sds = [0] * len(sds)  # so that each line of this form has its template
        for place, values, sd in zip(found, columns, sds):
            text = place[0]
            if sd is not None:
                text, comment = band(text, values, lines[0][place.end() :], sd)
                comments.append(comment)
            template += lines[0][end : place.start()] + text
            end = place.end()
        if comments:
            yield " ".join((template + lines[0][end:]).split()), ", ".join(comments)


def sanitized(text, cell_id=None, *, same=True):
    """Return a text as nbval compares it."""
    for regex, replacement in rules(cell_id, same).items():
        text = re.sub(regex, replacement, text)
    return text


def measure(runs):
    """Return the text of bands.txt, measured from runs with other seeds."""
    from test_pictures import SAME, open_figure, rows, whole, worst_block

    reference = nbformat.read(NOTEBOOK, as_version=4)
    others, text = [printed(run) for run in runs], HEAD
    text += f"# {len(runs)} runs; bands reach {SPREAD} sd.\n"
    for cell_id, saved in printed(reference).items():
        outputs = [saved, *(other[cell_id] for other in others)]
        found = list(templates([sanitized(output) for output in outputs]))
        if found:
            text += f"\n[{cell_id}]\n"
            text += "".join(f"# {comment}\n{line}\n" for line, comment in found)
    for cell_id in figures(reference):
        saved = open_figure(reference, cell_id)
        new = [open_figure(run, cell_id).resize(saved.size) for run in runs]
        if max(worst_block(saved, picture) for picture in new) <= SAME:
            continue
        text += f"\n[picture {cell_id}]\n"
        for name, measured in (("rows", rows), ("whole", whole)):
            values = [measured(saved, picture) for picture in new]
            sd = np.std(values, ddof=1)
            # An empty picture must be noticed.
            most = 0.92 * measured(saved, Image.new("RGB", saved.size, "white"))
            high = min(max(np.mean(values) + SPREAD * sd, *values) + 0.1, most)
            text += (
                f"# {np.mean(values):.3g} (sd {sd:.2g})\n{name} {{0 … {high:.1f}}}\n"
            )
    return text


def main(folder, n_runs=10):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(n_runs):
        run_notebook(seed, folder)
    paths = [path for path in sorted(folder.glob("seed-??.ipynb"))]
    BANDS.write_text(measure([nbformat.read(path, 4) for path in paths]), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
