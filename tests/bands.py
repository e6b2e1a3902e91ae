"""Measure how the notebook's figures vary, and check the bands in bands.cfg.

    python tests/bands.py FOLDER [runs]

runs the notebook `runs` times (20 if not given), each time with another seed and
with the next of the settings below, and keeps each run in FOLDER. Started again, it
goes on where it stopped; for a new measurement, take a new folder. 20 runs take
50 minutes on two cores. It runs on Linux, on a processor with AVX-512.

Then it prints, for each number that has a band: mean, standard deviation (sd),
smallest and largest value, the band, and how many sd it reaches below and above
the mean; inf where nothing lies beyond. A band is called narrow if it reaches less
than 5 sd to a side, and wide if more than 9. (Shares near 100 % are not normally
distributed, and called wide; bands.cfg says why.) The same follows for the pictures,
whose tolerances are in test_pictures.py. At last it says how often a run would
raise a false alarm if all these were normally distributed.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
from nbval.plugin import get_sanitize_patterns
from refresh import NOTEBOOK, ROOT, printed
from scipy import stats
from test_pictures import OTHER_NETWORK, open_figure, rows, whole

SETTINGS = {
    "as the machine is": {},
    "oneDNN off": {"TF_ENABLE_ONEDNN_OPTS": "0"},
    "SSE4.1": {"ONEDNN_MAX_CPU_ISA": "SSE41"},
    "AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    "AVX-512": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
    "one core": {},
}
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
NARROWEST, WIDEST = 5, 9  # sd
FARTHEST = 3000  # steps of the last digit that are tried on each side
VERSIONS = "import-rest"  # prints numbers that are not measured


def run_notebook(seed, folder):
    """Run a copy of the notebook with another seed, unless it is in the folder."""
    path = folder / f"seed-{seed:02}.ipynb"
    if path.exists():
        return
    setting = list(SETTINGS)[seed % len(SETTINGS)]
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace("SEED = 42", f"SEED = {seed}")
    unfinished = path.with_suffix(".unfinished.ipynb")
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


def sanitizer():
    """Return the function that nbval applies to both sides of a comparison."""
    files = ROOT / "tests" / "sanitize.cfg", ROOT / "tests" / "bands.cfg"
    texts = [file.read_text(encoding="utf-8") for file in files]
    patterns = [pair for text in texts for pair in get_sanitize_patterns(text)]

    def sanitize(text):
        for pattern, replacement in patterns:
            text = re.sub(pattern, replacement, text)
        return text

    return sanitize


def band(text, place, sanitize):
    """Return the lowest and highest value accepted in place of a number in a text."""
    number = place.group()
    decimals = len(number.partition(".")[2])
    step, value = 10.0**-decimals, float(number.replace(",", ""))
    expected = sanitize(text)

    def accepts(candidate):
        candidate = round(candidate, decimals) + 0.0  # not -0.0
        if candidate < 0:
            return False
        other = f"{candidate:{',' * (',' in number)}.{decimals}f}"
        return sanitize(text[: place.start()] + other + text[place.end() :]) == expected

    low = high = value
    while accepts(low - step) and value - low < FARTHEST * step:
        low -= step
    while accepts(high + step) and high - value < FARTHEST * step:
        high += step
    return round(low, decimals), round(high, decimals), step


def numbers_with_bands(reference, runs):
    """Yield (name, values of the runs, low, high, step) for each number with a band.

    Args:
        reference: the notebook as saved.
        runs: the notebook as executed with other seeds.
    """
    sanitize, runs = sanitizer(), [printed(run) for run in runs]
    for cell_id, text in printed(reference).items():
        lines = text.count("\n")
        texts = ["".join(run[cell_id].splitlines(True)[-lines:]) for run in runs]
        found = [NUMBER.findall(other) for other in texts]
        for i, place in enumerate(NUMBER.finditer(text)):
            values = [float(numbers[i].replace(",", "")) for numbers in found]
            low, high, step = band(text, place, sanitize)
            is_digit = step == 1 and max(values) < 10 and high < 10
            is_time = high - low >= FARTHEST * step
            if low == high or is_digit or is_time or cell_id == VERSIONS:
                continue
            rest, (*_, line) = text[place.end() :], text[: place.start()].split("\n")
            if (high, rest[:1]) in [(100, "%"), (1, " ")] or rest[:7] == " of 10.":
                high = np.inf  # more is not possible
            yield f"{cell_id}: {line[-25:]}", values, low or -np.inf, high, step


def pictures_with_tolerances(reference, runs):
    """Yield the same for each figure: how much the runs' pictures differ from it."""
    for cell_id, tolerances in OTHER_NETWORK.items():
        saved = open_figure(reference, cell_id)
        others = [open_figure(run, cell_id).resize(saved.size) for run in runs]
        for measure, tolerance in zip((rows, whole), tolerances):
            values = [measure(saved, other) for other in others]
            name = f"figure {cell_id}, {measure.__name__}"
            yield name, values, -np.inf, tolerance, 0.1


def check(name, values, low, high, step):
    """Print a line about a band; return how likely a value is to be outside."""
    mean, sd = np.mean(values), np.std(values, ddof=1)
    # Rounding hides how much a number varies by less than its last digit.
    ends = mean - low + step / 2, high + step / 2 - mean
    below, above = (end / max(sd, step / 4) for end in ends)
    too_narrow = min(below, above) < NARROWEST
    too_wide = any(WIDEST < end / max(sd, step / 2) < np.inf for end in ends)
    print(
        f"{name:46} {mean:9.5g} {sd:7.2g} {min(values):7.5g} {max(values):7.5g}   "
        f"{low:8.5g} {high:8.5g} {below:5.1f} {above:5.1f}",
        "narrow" if too_narrow else "wide" if too_wide else "",
    )
    return stats.norm.sf(below) + stats.norm.sf(above)


def main(folder, n_runs=20):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(n_runs):
        run_notebook(seed, folder)
    runs = [nbformat.read(path, 4) for path in sorted(folder.glob("seed-??.ipynb"))]
    reference = nbformat.read(NOTEBOOK, as_version=4)

    head = f"{'mean':>9} {'sd':>7} {'least':>7} {'most':>7}   {'band':^17}"
    print(f"{len(runs)} runs\n{'cell: words before':46} {head} below above")
    bands = {
        (tuple(values), low, high): (name, values, low, high, step)
        for name, values, low, high, step in (
            *numbers_with_bands(reference, runs),
            *pictures_with_tolerances(reference, runs),
        )
    }
    outside = [check(*band) for band in bands.values()]
    print(f"At most {10_000 * sum(outside):.2g} of 10,000 runs raise a false alarm.")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
