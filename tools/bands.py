"""Measure how far the notebook's outputs vary, and write tests/bands.txt.

    python tools/bands.py FOLDER [runs]

runs the notebook `runs` times (10 if not given), each time with another seed for all
training and with the next of the settings below, on one core, as many at a time as there
are cores. It keeps each run in FOLDER, and writes bands.txt from their spread. What is
`{*}` in bands.txt stays so; other limits that were changed by hand do not. Started again,
it goes on where it stopped. For a new measurement, take a new folder. It needs Linux, and
a processor with AVX-512.
"""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import nbformat
import numpy as np
from common import BANDS, NUMBER, STARTUP, code_cells, pattern, read, sanitized, texts

SPREAD = 9  # standard deviations that a band reaches; 7 when ten runs are made
MANY = 12  # numbers that vary in one line: nobody could read their bands
SETTINGS = [
    {},
    {"TF_ENABLE_ONEDNN_OPTS": "0"},
    {"ONEDNN_MAX_CPU_ISA": "SSE41"},
    {"ONEDNN_MAX_CPU_ISA": "AVX2"},
]
HEAD = f"""\
# How far the notebook's outputs may be from the saved ones. Below the id of a cell stand
# lines that it prints, and that its figure draws (see tools/words.py).
#
#     {{0.96 … 0.98}}  any number from 0.96 to 0.98, on a machine that computes a little
#                    differently from the one that saved the outputs
#     {{…}}            any text, on such a machine
#     {{*}}            any text, on every machine, such as the seconds that it takes
#
# All else is compared to the letter. Change a limit here, and nothing else. Behind a line
# stand the mean and the standard deviation (sd) that its bands come from. They reach
# {SPREAD} sd and one step of the last digit. `python tools/bands.py FOLDER` measures them anew.
"""


def run_notebook(seed, folder):
    """Run a copy of the notebook with another seed, unless it is in the folder."""
    path = folder / f"seed-{seed:02}.ipynb"
    if path.exists():
        return
    unfinished = path.with_suffix(".unfinished.ipynb")
    notebook = read()
    for cell_id, cell in code_cells(notebook).items():
        if cell_id in ("build-model", "build-convolutional"):
            cell.source = cell.source.replace("(SEED)", f"({seed})")
        if cell_id == "fit":
            cell.source = f"keras.utils.set_random_seed({seed})\n{cell.source}"
    nbformat.write(notebook, unfinished)
    one_core = ["taskset", "-c", str(seed % os.cpu_count())]
    subprocess.run(
        [
            *one_core,
            sys.executable,
            "-m",
            "jupyter",
            "execute",
            "--inplace",
            unfinished,
        ],
        env=os.environ | STARTUP | SETTINGS[seed % len(SETTINGS)],
        check=True,
        stderr=subprocess.PIPE,
    )
    unfinished.rename(path)
    print(f"Seed {seed}: done.", flush=True)


def band(values, after):
    """Return the band of a number from its values in all runs, and a comment on it.

    Args:
        values: the number as text, in each run.
        after: what follows it in the line.
    """
    full = values[0] == "100" and after.startswith("%")  # it may be a little less
    if len(set(values)) == 1 and not full:
        return values[0], None
    decimals = max(len(value.partition(".")[2]) for value in values)
    values = [float(value.replace(",", "")) for value in values]
    mean, sd = np.mean(values), np.std(values, ddof=1)
    reach = SPREAD * sd + 10.0**-decimals
    low = max(mean - reach, 0 if min(values) >= 0 else -np.inf)
    most = (
        100 if after.startswith("%") else 1 if decimals and max(values) <= 1 else np.inf
    )
    high = min(mean + reach, most)
    text = f"{{{low:.{decimals}f} … {high:.{decimals}f}}}"
    return text, f"{mean:.4g} (sd {sd:.2g})"


def banded(lines):
    """Return a line of bands.txt from the same line of all runs; None if needless."""
    if len(set(lines)) == 1:
        return lines[0].strip() if "{*}" in lines[0] else None
    lines = [" ".join(line.split()) for line in lines]
    columns = list(zip(*(re.findall(NUMBER, line) for line in lines)))
    vary = sum(len(set(column)) > 1 for column in columns)
    if len({re.sub(NUMBER, "#", line) for line in lines}) > 1 or vary > MANY:
        start = re.sub(r"[\w.,+/-]*$", "", os.path.commonprefix(lines))
        end = os.path.commonprefix([line[: len(start) - 1 : -1] for line in lines])
        return start + "{…}" + re.sub(r"^[\w.,%+/-]*", "", end[::-1])
    columns, comments = iter(columns), []

    def replace(place):
        text, comment = band(next(columns), place.string[place.end() :])
        comments.extend(filter(None, [comment]))
        return text

    text = re.sub(NUMBER, replace, lines[0])
    return f"{text}  # {', '.join(comments)}"


def with_constant_lines(lines, texts):
    """Return lines of bands.txt, with those that others would stand for in their place.

    The first line of a form is for the first such line that is printed, so lines that
    came out the same in all runs must be there too if others of their form did not.
    """
    forms = [line.split("  #")[0] for line in lines if line]
    for i, text in enumerate(texts):
        for form in [] if lines[i] else forms:
            if match := re.search(pattern(form), text):
                lines[i] = re.sub(r"\{.*?\}", "{}", form).format(
                    *(f"{{{value} … {value}}}" for value in match.groups())
                )
                break
    return lines


def measure(runs):
    """Return the text of bands.txt, measured from the saved outputs and other runs."""
    text = f"{HEAD}# Measured on {len(runs)} runs with other seeds, and the saved outputs.\n"
    outputs = [texts(notebook) for notebook in [read(), *runs]]
    for cell_id in outputs[0]:
        found = [
            sanitized(output[cell_id], cell_id, same_machine=True).splitlines()
            for output in outputs
        ]
        lines = [banded(lines) for lines in zip(*found, strict=True)]
        lines = with_constant_lines(lines, found[0])
        if any(lines):
            text += "\n".join(["", f"[{cell_id}]", *filter(None, lines), ""])
    return text


def main(folder, n_runs=10):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(partial(run_notebook, folder=folder), range(n_runs)))
    paths = sorted(folder.glob("seed-??.ipynb"))
    BANDS.write_text(measure([read(path) for path in paths]), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
