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
from common import BAND, NUMBER, code_cells, numbers, pattern, picture, read, text_of, within

RARE = 1e-4  # the share of numbers that another run may put outside their bands
SECONDS = r"\b\d+(?=m?s\b)"  # always left out
ISA = "ONEDNN_MAX_CPU_ISA"
SETTINGS = [{}, {"TF_ENABLE_ONEDNN_OPTS": "0"}, {ISA: "SSE41"}, {ISA: "AVX2"}]


def run(path, seed=0):
    """Run the notebook, keep what its cells put out in a file, unless it is there."""
    if path.exists():
        return
    # As many at a time as there are cores, each on one; every fifth has all of them.
    pin = ["taskset", "-c", str(seed % os.cpu_count())] if seed % 5 else []
    settings = SETTINGS[seed % len(SETTINGS)] | {"SEED_SHIFT": str(seed)} if seed else {}
    command = ["-m", "pytest", "-q", common.NOTEBOOK, "--keep", path]
    ended = common.run_python(*command, before=pin, env=settings, timeout=None)
    print(f"{path.name}:", ended.stdout.rpartition("\n")[2] or ended.stdout[-80:], ended.stderr)


def form_of(lines):
    """Return a line of facts.txt for the same new line of several runs, with bands yet empty."""
    found = []
    for words in zip_longest(*map(str.split, lines), fillvalue=""):
        forms = {re.sub(NUMBER, "0", word) for word in words}
        if "" in words:  # in some run, the line has ended
            found = found[:-1]
        if len(forms) > 1:
            found.append("{…}")
        else:
            parts = zip(*(re.split(f"({NUMBER})", word) for word in words))
            found.append("".join(p[0] if len(set(p)) == 1 else "{0 … 0}" for p in parts))
    return " ".join(found)


def band_of(texts, old, after):
    """Return the band in which another run would put a number, or "…" for all there is.

    Where all runs agree, that is the old band, with the number in its middle if it was outside.
    texts: the number, in each run; old: its band in facts.txt; after: what follows it.
    """
    agreed = len(set(texts)) == 1
    if old == "…" or (agreed and within(texts[0], old)):
        return old
    decimals = max(len(text.partition(".")[2]) for text in texts)
    values, n = np.ravel([numbers(text) for text in texts]), len(texts)
    if agreed:
        reach = np.ptp(numbers(old)) / 2
    else:
        spread = np.std(values, ddof=1) * np.sqrt(1 + 1 / n)
        reach = t.ppf(1 - RARE / 2, n - 1) * spread + 10.0**-decimals
    most = 100 if after.startswith("%") else 1 if decimals > 2 else np.inf
    low = max(values.mean() - reach, 0 if min(values) >= 0 else -np.inf)
    high = min(values.mean() + reach, most if max(values) <= most else np.inf)
    band = f"{low:.{decimals}f} … {high:.{decimals}f}"
    return band if can_fail(band) else "…"


def can_fail(band):
    """Return whether a band excludes what a mistake would bring."""
    low, high = numbers(band)
    step = 10.0 ** -len(band.rpartition(".")[2] if "." in band else "")
    return high - low <= 3.1 * step or high - low < 0.95 * (abs(high) + abs(low))


def renewed(lines, old):
    """Return a line of facts.txt from the same line of one run or several.

    Of the old lines, the first that has the form of the new ones is taken out of them: its
    bands are renewed, and what it leaves out stays left out.
    """
    like = (text for text in old if all(re.fullmatch(pattern(text), line) for line in lines))
    text = next(like, form_of(lines))
    if text in old:
        old.remove(text)
    found = zip(*(re.fullmatch(pattern(text), line).groups() for line in lines))
    _, *parts = re.split(BAND, text)
    bands = [f"{{{band}}}" for band in map(band_of, found, parts[::2], parts[1::2])]
    return re.sub(r"\{…\}(?:\W*\{…\})+", "{…}", common.filled(text, bands))


def renew_facts(runs):
    """Write facts.txt anew from runs, as {cell id: {"outputs": list, "facts": text}}."""
    head, *blocks = common.FACTS.read_text(encoding="utf-8").split("\n[")
    comments = dict(re.findall(r"(?m)^(?:> )?(.*)  (# .*)$", "\n".join(blocks)))
    if len(runs) > 1:
        head = re.sub(r"(?<=# Bands: ).*", f"{len(runs)} runs of {date.today()}.", head)
    new = [head.rstrip()]
    for cell_id in code_cells(read()):
        if not runs or not all(cell_id in run for run in runs):
            raise SystemExit(f"The cell {cell_id} did not run to its end: pytest says why.")
        printed = [text_of(run[cell_id]["outputs"]) for run in runs]
        facts, block = [run[cell_id]["facts"] for run in runs], []
        for mark, texts, old in zip(
            ["> ", ""], [printed, facts], map(list, common.read_facts()[cell_id])
        ):
            by_run = [re.sub(SECONDS, "{…}", text).splitlines() for text in texts]
            if len(set(map(len, by_run))) > 1:
                raise SystemExit(f"{cell_id} puts out more lines in one run than in another.")
            for line in (renewed(lines, old) for lines in zip(*by_run)):
                why = "seconds" if "ms/step" in line else "it varies too much"
                comment = "  " + comments.get(line, f"# left out: {why}")
                if re.search(BAND, line) or not mark:
                    block.append(mark + line + comment * ("{…}" in line))
        new += [f"[{cell_id}]", *block] if block else []
    common.FACTS.write_text("\n".join([*new, ""]), encoding="utf-8")


def from_saved():
    """Return what the saved outputs make of images/, README and the notebook, by path, as bytes.

    The notebook shows what it reads at its end as a grey picture at its beginning, and no logs.
    """
    notebook, readme = read(), common.ROOT / "README.md"
    cells = code_cells(notebook)
    for cell in cells.values():
        cell.outputs = [output for output in cell.outputs if not common.is_log(output)]
    images = (common.ROOT / "images").glob("*.png")
    found = {path: picture(cells[path.stem].outputs) for path in images}
    grey = Image.open(BytesIO(picture(cells["sample-predictions"].outputs))).convert("L")
    grey.save(small := BytesIO(), "png", optimize=True)
    text = base64.b64encode(small.getvalue()).decode()
    (teaser,) = (cell for cell in notebook.cells if cell.id == "teaser")
    (old,) = re.findall(r"\(data:image/png;base64,([^)]*)\)", teaser.source)
    teaser.source = teaser.source.replace(old, text)

    def printed(block):
        lines = text_of([o for o in cells[block[1]].outputs if "text" in o])
        lines = re.sub(r"(?m) +$", "", textwrap.dedent(lines).rstrip())
        return f"<!-- {block[1]} -->\n```text\n{lines}\n```"

    blocks = r"(?s)<!-- ([\w-]+) -->\n```text\n.*?\n```"
    found[readme] = re.sub(blocks, printed, readme.read_text(encoding="utf-8")).encode()
    return found | {common.NOTEBOOK: f"{nbformat.writes(notebook)}\n".encode()}


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
    for path, content in from_saved().items():
        path.write_bytes(content)


if __name__ == "__main__":
    main(*sys.argv[1:])
