"""Bring what is kept beside the notebook up to date, after a change that is meant.

    python tests/renew.py               run the notebook once: renew the facts that no longer
                                        hold in tests/facts.txt, and keep bands that do
    python tests/renew.py FOLDER [runs] run it so often (10) with other seeds and settings:
                                        renew all facts, and all bands from their spread
    python tests/renew.py --saved       run nothing

All of them drop TensorFlow's logs from the saved notebook, and take README's pictures and
numbers, and the picture that opens the notebook, from its saved outputs. Runs are kept in
FOLDER, and those that are there are used; `pytest --keep FOLDER/name.json` adds another.
"""

import base64
import json
import os
import re
import subprocess
import sys
import tempfile
import textwrap
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from io import BytesIO
from itertools import zip_longest
from pathlib import Path

import nbformat
import numpy as np
from PIL import Image
from scipy.stats import t

from common import (
    BAND,
    FACTS,
    NOTEBOOK,
    NUMBER,
    ROOT,
    code_cells,
    is_log,
    pattern,
    picture,
    picture_facts,
    read,
    read_facts,
    text_of,
    within,
)

RARE = 1e-4  # the share of numbers that another run may put outside their bands
SECONDS = r"\b\d+(?=m?s\b)"  # always left out
SETTINGS = [
    {},
    {"TF_ENABLE_ONEDNN_OPTS": "0"},
    {"ONEDNN_MAX_CPU_ISA": "SSE41"},
    {"ONEDNN_MAX_CPU_ISA": "AVX2"},
]


def run(path, seed=0):
    """Run the notebook, keep what its cells put out in a file, unless it is there."""
    if path.exists():
        return
    # Two at a time, each on one core; every fifth has all of them.
    pin = ["taskset", "-c", str(seed % os.cpu_count())] if seed % 5 else []
    command = [sys.executable, "-m", "pytest", "-q", NOTEBOOK, "--keep", path]
    settings = SETTINGS[seed % len(SETTINGS)] | {"SEED_SHIFT": str(seed)}
    environment = os.environ | (settings if seed else {})
    subprocess.run(pin + command, check=False, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    print(f"{path.name}: done", flush=True)


def band_of(values, after):
    """Return the band in which another run would put a number, or "…" for all there is.

    Args:
        values: the number as text, in each run.
        after: what follows it.
    """
    decimals = max(len(value.partition(".")[2]) for value in values)
    values = np.array([float(value.replace(",", "")) for value in values])
    n, step = len(values), 10.0**-decimals
    spread = np.std(values, ddof=1) * np.sqrt(1 + 1 / n)
    reach = t.ppf(1 - RARE / 2, n - 1) * spread + step
    most = 100 if after.startswith("%") else 1 if decimals > 2 else np.inf
    low = max(values.mean() - reach, 0 if min(values) >= 0 else -np.inf)
    high = min(values.mean() + reach, most if max(values) <= most else np.inf)
    band = f"{low:.{decimals}f} … {high:.{decimals}f}"
    return band if can_fail(band) else "…"


def can_fail(band):
    """Return whether a band excludes what a mistake would bring."""
    low, high = (float(end.replace(",", "")) for end in band.split(" … "))
    step = 10.0 ** -len(band.rpartition(".")[2] if "." in band else "")
    return high - low <= 3.1 * step or high - low < 0.95 * (abs(high) + abs(low))


def banded(lines, old):
    """Return a line of facts.txt from the same line of several runs.

    Args:
        lines: the line in each run.
        old: lines of the file, without comments. What they leave out stays left out.
    """
    if lines[0].startswith("saved picture"):
        numbers = zip(*(re.findall(NUMBER, line) for line in lines))
        # Other versions of Matplotlib draw unchanged figures up to so differently.
        most = [max(*map(float, v), least) * 1.5 for v, least in zip(numbers, (0.034, 0.28))]
        ends = [f"{{0 … {end:.3f}}}" if end < 0.5 else "{…}" for end in most]
        return "saved picture: differs by {}, at most {}".format(*ends)
    for text in old:
        matches = [re.fullmatch(pattern(text), line) for line in lines]
        if re.search(BAND, text) and all(matches):
            if len(set(lines)) == 1 and fits(text, matches[0]):
                return text
            lines = [masked(text, match) for match in matches]
            break
    if len(set(lines)) == 1:
        return lines[0]
    found = []
    for words in zip_longest(*(line.split() for line in lines), fillvalue=""):
        between = [tuple(re.split(NUMBER, word)) for word in words]
        if len(set(words)) == 1 or len(set(between)) > 1:
            found.append(words[0] if len(set(words)) == 1 else "{…}")
            continue
        numbers = zip(*(re.findall(NUMBER, word) for word in words))
        text = between[0][0]
        for values, after in zip(numbers, between[0][1:]):
            varies = len(set(values)) > 1
            text += f"{{{band_of(values, after)}}}" if varies else values[0]
            text += after
        found.append(text)
    return re.sub(r"\{…\}(?:\W*\{…\})+", "{…}", " ".join(found))


def fits(text, match):
    """Return whether all numbers of a match of a line's pattern lie in its bands."""
    return all(map(within, match.groups(), re.findall(BAND, text)))


def masked(text, match):
    """Return what a line's pattern has matched, with `{…}` where that line has it."""
    line = match.string
    for i, band in reversed([*enumerate(re.findall(BAND, text), 1)]):
        if band == "…":
            line = line[: match.start(i)] + "{…}" + line[match.end(i) :]
    return line


def kept(line, old):
    """Return the first old line of this form, its bands moved if need be, or the new line."""
    for text in old:
        if match := re.fullmatch(pattern(text), line):
            old.remove(text)
            bands = iter(map(moved_to, match.groups(), re.findall(BAND, text)))
            return re.sub(BAND, lambda _, bands=bands: f"{{{next(bands)}}}", text)
    return banded([line], [])


def moved_to(value, band):
    """Return a band moved, if need be, so that a value is its middle."""
    if within(value, band):
        return band
    low, high = (float(end.replace(",", "")) for end in band.split(" … "))
    middle, decimals = float(value.replace(",", "")), len(value.partition(".")[2])
    low, high = middle - (high - low) / 2, middle + (high - low) / 2
    low = low if middle < 0 else max(low, 0)
    return f"{low:.{decimals}f} … {high:.{decimals}f}"


def renew_facts(runs):
    """Write facts.txt anew from runs, as {cell id: {"outputs": list, "facts": text}}."""
    head, *blocks = FACTS.read_text(encoding="utf-8").split("\n[")
    comments = dict(re.findall(r"(?m)^(?:> )?(.*)  (# .*)$", "\n".join(blocks)))
    if len(runs) > 1:
        head = re.sub(r"(?<=# Bands: ).*", f"{len(runs)} runs of {date.today()}.", head)
    lines = [head.rstrip()]
    cells = code_cells(read())
    for cell_id in cells:
        if not all(cell_id in run for run in runs):
            raise SystemExit(f"The cell {cell_id} did not run to its end: pytest says why.")
        found, block = [run[cell_id] for run in runs], []
        drawn = [picture_facts(cells[cell_id].outputs, f["outputs"]) for f in found]
        facts = ["\n".join([f["facts"], *d]).strip() for f, d in zip(found, drawn)]
        texts = [text_of(f["outputs"]) for f in found], facts
        known = read_facts().get(cell_id, ([], []))
        for mark, kind, old in zip(["> ", ""], texts, known):
            by_run = [re.sub(SECONDS, "{…}", text).splitlines() for text in kind]
            if len(set(map(len, by_run))) > 1:
                raise SystemExit(f"{cell_id} puts out more lines in one run than in another.")
            free = list(old)
            for same in zip(*by_run):
                line = banded(same, free) if len(runs) > 1 else kept(same[0], free)
                if len(runs) > 1 and line in free:
                    free.remove(line)
                if re.search(BAND, line) or not mark:
                    why = "seconds" if "ms/step" in line else "it varies too much"
                    comment = comments.get(line, f"# left out: {why}")
                    block.append(mark + line + f"  {comment}" * ("{…}" in line))
        lines += [f"[{cell_id}]", *block] if block else []
    FACTS.write_text("\n".join([*lines, ""]), encoding="utf-8")


def opening(png):
    """Return a grey picture, as PNG bytes, in base64 and a fourth of the size."""
    small = BytesIO()
    Image.open(BytesIO(png)).convert("L").save(small, "png", optimize=True)
    return base64.b64encode(small.getvalue()).decode()


def renew_saved():
    """Drop logs from the saved notebook; renew images/, README and the opening picture."""
    notebook, readme = read(), ROOT / "README.md"
    cells = code_cells(notebook)
    for cell in cells.values():
        cell.outputs = [output for output in cell.outputs if not is_log(output)]
    for path in (ROOT / "images").glob("*.png"):
        path.write_bytes(picture(cells[path.stem].outputs))
    (teaser,) = (cell for cell in notebook.cells if cell.id == "teaser")
    text = opening(picture(cells["sample-predictions"].outputs))
    teaser.source = re.sub(r"base64,[^)]*", f"base64,{text}", teaser.source)
    nbformat.write(notebook, NOTEBOOK)
    text = with_results(readme.read_text(encoding="utf-8"), cells)
    readme.write_text(text, encoding="utf-8")


def with_results(readme, cells):
    """Return the text of README.md with what cells print in its blocks named after them."""

    def block(match):
        lines = textwrap.dedent(text_of([o for o in cells[match[1]].outputs if "text" in o]))
        lines = re.sub(r"(?m) +$", "", lines.rstrip())
        return f"<!-- {match[1]} -->\n```text\n{lines}\n```"

    return re.sub(r"(?s)<!-- ([\w-]+) -->\n```text\n.*?\n```", block, readme)


def main(folder=None, n_runs=10):
    if folder != "--saved":
        with tempfile.TemporaryDirectory() as temporary:
            kept_in = Path(folder or temporary).resolve()
            kept_in.mkdir(parents=True, exist_ok=True)
            seeds = range(1, int(n_runs) + 1) if folder else [0]
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                list(pool.map(lambda s: run(kept_in / f"run-{s:02}.json", s), seeds))
            files = sorted(kept_in.glob("*.json"))
            renew_facts([json.loads(f.read_text(encoding="utf-8")) for f in files])
    renew_saved()


if __name__ == "__main__":
    main(*sys.argv[1:])
