"""Bring what is kept beside the notebook up to date, after a change that is meant.

    python tests/renew.py               run the notebook once: renew the facts that no longer
                                        hold in tests/facts.txt, and keep bands that do
    python tests/renew.py FOLDER [runs] run it so often (10) with other seeds and settings:
                                        renew all facts, and all bands from their spread
    python tests/renew.py --saved       run nothing

All of them drop what imports log from the saved notebook, and take README's pictures and
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

import common
from common import BAND, NUMBER, code_cells, ends, pattern, picture, read, text_of, within

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
    command = [sys.executable, "-m", "pytest", "-q", common.NOTEBOOK, "--keep", path]
    settings = SETTINGS[seed % len(SETTINGS)] | {"SEED_SHIFT": str(seed)}
    environment = os.environ | (settings if seed else {})
    subprocess.run(
        pin + command, check=False, cwd=common.ROOT, env=environment, stdout=subprocess.DEVNULL
    )
    print(f"{path.name}: done", flush=True)


def form_of(lines):
    """Return a line of facts.txt for the same new line of several runs, with bands yet empty."""
    found = []
    for words in zip_longest(*map(str.split, lines), fillvalue=""):
        parts = [re.split(f"({NUMBER})", word) for word in words]
        if "" in words:  # in some run, the line has ended
            found[-1:] = ["{…}"]
        elif len({tuple(part[::2]) for part in parts}) > 1:
            found.append("{…}")
        else:
            places = (part[0] if len(set(part)) == 1 else "{0 … 0}" for part in zip(*parts))
            found.append("".join(places))
    return " ".join(found)


def band_of(values, old, after):
    """Return the band in which another run would put a number, or "…" for all there is.

    Where all runs agree, that is the old band, with the number in its middle if it was outside.

    Args:
        values: the number as text, in each run.
        old: its band in facts.txt.
        after: what follows it.
    """
    agreed = len(set(values)) == 1
    if old == "…" or (agreed and within(values[0], old)):
        return old
    decimals = max(len(value.partition(".")[2]) for value in values)
    values = np.array([float(value.replace(",", "")) for value in values])
    if agreed:
        reach = -np.subtract(*ends(old)) / 2
    else:
        n = len(values)
        spread = np.std(values, ddof=1) * np.sqrt(1 + 1 / n)
        reach = t.ppf(1 - RARE / 2, n - 1) * spread + 10.0**-decimals
    most = 100 if after.startswith("%") else 1 if decimals > 2 else np.inf
    low = max(values.mean() - reach, 0 if min(values) >= 0 else -np.inf)
    high = min(values.mean() + reach, most if max(values) <= most else np.inf)
    band = f"{low:.{decimals}f} … {high:.{decimals}f}"
    return band if can_fail(band) else "…"


def can_fail(band):
    """Return whether a band excludes what a mistake would bring."""
    low, high = ends(band)
    step = 10.0 ** -len(band.rpartition(".")[2] if "." in band else "")
    return high - low <= 3.1 * step or high - low < 0.95 * (abs(high) + abs(low))


def renewed(lines, old):
    """Return a line of facts.txt from the same line of one run or several.

    Args:
        lines: the line in each run.
        old: lines of the file. The first that has the form of the new ones is taken out of
            them: its bands are renewed, and what it leaves out stays left out.
    """
    like = (text for text in old if all(re.fullmatch(pattern(text), line) for line in lines))
    text = next(like, form_of(lines))
    if text in old:
        old.remove(text)
    parts = re.split(BAND, text)
    found = [re.fullmatch(pattern(text), line).groups() for line in lines]
    parts[1::2] = map(band_of, zip(*found), parts[1::2], parts[2::2])
    line = "".join(f"{{{part}}}" if i % 2 else part for i, part in enumerate(parts))
    return re.sub(r"\{…\}(?:\W*\{…\})+", "{…}", line)


def renew_facts(runs):
    """Write facts.txt anew from runs, as {cell id: {"outputs": list, "facts": text}}."""
    head, *blocks = common.FACTS.read_text(encoding="utf-8").split("\n[")
    comments = dict(re.findall(r"(?m)^(?:> )?(.*)  (# .*)$", "\n".join(blocks)))
    if len(runs) > 1:
        head = re.sub(r"(?<=# Bands: ).*", f"{len(runs)} runs of {date.today()}.", head)
    new = [head.rstrip()]
    for cell_id in code_cells(read()):
        if not all(cell_id in run for run in runs):
            raise SystemExit(f"The cell {cell_id} did not run to its end: pytest says why.")
        printed = [text_of(run[cell_id]["outputs"]) for run in runs]
        facts, heading = [run[cell_id]["facts"] for run in runs], [f"[{cell_id}]"]
        known = map(list, common.read_facts().get(cell_id, ([], [])))
        for mark, texts, old in zip(["> ", ""], [printed, facts], known):
            by_run = [re.sub(SECONDS, "{…}", text).splitlines() for text in texts]
            if len(set(map(len, by_run))) > 1:
                raise SystemExit(f"{cell_id} puts out more lines in one run than in another.")
            for lines in zip(*by_run):
                line = renewed(lines, old)
                why = "seconds" if "ms/step" in line else "it varies too much"
                comment = "  " + comments.get(line, f"# left out: {why}")
                if re.search(BAND, line) or not mark:
                    new += [*heading, mark + line + comment * ("{…}" in line)]
                    heading = []
    common.FACTS.write_text("\n".join([*new, ""]), encoding="utf-8")


def opening(png):
    """Return a grey picture, as PNG bytes, in base64 and a fourth of the size."""
    small = BytesIO()
    Image.open(BytesIO(png)).convert("L").save(small, "png", optimize=True)
    return base64.b64encode(small.getvalue()).decode()


def renew_saved():
    """Drop logs from the saved notebook; renew images/, README and the opening picture."""
    notebook, readme = read(), common.ROOT / "README.md"
    cells = code_cells(notebook)
    for cell in cells.values():
        cell.outputs = [output for output in cell.outputs if not common.is_log(output)]
    for path in (common.ROOT / "images").glob("*.png"):
        path.write_bytes(picture(cells[path.stem].outputs))
    (teaser,) = (cell for cell in notebook.cells if cell.id == "teaser")
    text = opening(picture(cells["sample-predictions"].outputs))
    teaser.source = re.sub(r"base64,[^)]*", f"base64,{text}", teaser.source)
    nbformat.write(notebook, common.NOTEBOOK)
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
