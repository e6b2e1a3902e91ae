"""Measure how far the notebook's outputs vary, and renew the limits in tests/bands.txt.

    python tools/bands.py FOLDER [runs]

runs the notebook `runs` times (10 if not given), each time with another seed for
training and with the next of the settings below, on one core, as many at a time as there
are cores. It keeps each run in FOLDER, and goes on there if it is started again; for a
new measurement, take a new folder. Then it renews the limits, and prints the lines that
vary and have no band yet: add them to the file, with `{0 … 0}` in place of each number
that varies, and start it again. It needs Linux, and a processor with AVX-512.
"""

import os
import re
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import nbformat
import numpy as np
from common import BANDS, NOTEBOOK, STARTUP, code_cells, pattern, read, sanitized, texts

SPREAD = 9  # standard deviations that a band reaches
SETTINGS = [
    {},
    {"TF_ENABLE_ONEDNN_OPTS": "0"},
    {"ONEDNN_MAX_CPU_ISA": "SSE41"},
    {"ONEDNN_MAX_CPU_ISA": "AVX2"},
]


def run_notebook(seed, folder):
    """Run a copy of the notebook with another seed, unless it is in the folder."""
    path = folder / f"seed-{seed:02}.ipynb"
    if path.exists():
        return
    unfinished = path.with_suffix(".unfinished.ipynb")
    notebook = read()
    for cell_id in ("build-model", "build-convolutional"):
        cell = code_cells(notebook)[cell_id]
        cell.source = cell.source.replace("_seed(SEED)", f"_seed({seed})")
        assert f"_seed({seed})" in cell.source
    cell = code_cells(notebook)["fit"]
    cell.source = f"keras.utils.set_random_seed({seed})\n{cell.source}"
    nbformat.write(notebook, unfinished)
    one_core = ["taskset", "-c", str(seed % os.cpu_count())]
    execute = [sys.executable, "-m", "jupyter", "execute", "--inplace", unfinished]
    subprocess.run(
        one_core + execute,
        env=os.environ | STARTUP | SETTINGS[seed % len(SETTINGS)],
        check=True,
    )
    unfinished.rename(path)
    print(f"Seed {seed}: done.", flush=True)


def limits(values, old, after):
    """Return the band of a number from its values in all runs, and a comment on it.

    Args:
        values: the number as text, in each run.
        old: its limits up to now, as text, with as many decimals as it can have.
        after: what follows it in the line.
    """
    decimals = max(len(n.partition(".")[2]) for n in [*values, *old.split()])
    values = [float(value.replace(",", "")) for value in values]
    mean, sd = np.mean(values), np.std(values, ddof=1)
    reach = SPREAD * sd + 10.0**-decimals
    share = 1 if decimals and 0 <= min(values) <= max(values) <= 1 else np.inf
    low, high = np.clip(
        [mean - reach, mean + reach],
        0 if min(values) >= 0 else -np.inf,
        100 if after.startswith("%") else share,
    )
    band = f"{{{low:.{decimals}f} … {high:.{decimals}f}}}"
    return band, f"{mean:.4g} (sd {sd:.2g})"


def renewed(line, printed, nth):
    """Return a line of bands.txt with limits from what a cell printed in all runs.

    nth: for which match in the texts it stands, from 0 on; see `compared` in common.py.
    """
    found = [[*re.finditer(pattern(line), text)] for text in printed]
    if min(map(len, found)) <= nth:
        raise LookupError(f"Not all runs print a line of this form, change it: {line}")
    columns, comments = zip(*(matches[nth].groups() for matches in found)), []

    def replace(place):
        values = next(columns)
        if " … " not in place[1]:
            return place[0]
        text, comment = limits(values, place[1], line[place.end() :])
        comments.append(comment)
        return text

    line = re.sub(r"\{(.*?)\}", replace, line)
    return f"{line}  # {', '.join(comments)}" if comments else line


def main(folder, n_runs=10):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(partial(run_notebook, folder=folder), range(n_runs)))
    runs = [
        texts(read(path)) for path in [NOTEBOOK, *sorted(folder.glob("seed-??.ipynb"))]
    ]
    lines, cell_id = BANDS.read_text(encoding="utf-8").splitlines(), None
    for i, line in enumerate(lines):
        if heading := re.fullmatch(r"\[([\w-]+)\]", line):
            cell_id, seen = heading[1], Counter()
        elif cell_id and line and not line.startswith("#"):
            line, *_ = line.split("  #")
            form = pattern(line)
            lines[i] = renewed(line, [run[cell_id] for run in runs], seen[form])
            seen[form] += 1
    BANDS.write_text("\n".join([*lines, ""]), encoding="utf-8")
    for cell_id in runs[0]:
        found = [sanitized(run[cell_id], cell_id, same_machine=False) for run in runs]
        for same in zip(*(text.splitlines() for text in found)):
            if len(set(same)) > 1:
                print(f"[{cell_id}]\n{same[0]}")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
