"""Measure how the notebook's figures vary, and check the bands in sanitize.cfg.

    python tests/bands.py FOLDER [runs]

runs the notebook `runs` times (24 if not given), each time with another seed and
with the next of the settings below, and keeps each run in FOLDER. Started again, it
goes on where it stopped; for a new measurement, take a new folder. 24 runs take
about an hour on two cores. It runs on Linux, on a processor with AVX-512.

Then it prints, for each number that has a band: mean, standard deviation (sd),
smallest and largest value, the band, and how many sd it reaches below and above
the mean. It complains of bands that reach less than 5 sd or more than 9 sd, and
says how often a run would raise a false alarm if the numbers were normally
distributed. At last it prints how much each picture differs from the saved one,
beside its tolerance.
"""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import numpy as np
from nbval.plugin import get_sanitize_patterns
from refresh import NOTEBOOK, ROOT, printed
from scipy import stats

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
    text = (ROOT / "tests" / "sanitize.cfg").read_text(encoding="utf-8")
    patterns = get_sanitize_patterns(text)

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
        if candidate < 0:
            return False
        other = f"{candidate:{',' * (',' in number)}.{decimals}f}"
        return sanitize(text[: place.start()] + other + text[place.end() :]) == expected

    low = high = value
    while accepts(low - step) and value - low < 3000 * step:
        low -= step
    while accepts(high + step) and high - value < 3000 * step:
        high += step
    return low, high, step


def measure(reference, runs):
    """Yield (cell id, words before the number, values, low, high, step) per band."""
    sanitize = sanitizer()
    for cell_id, text in printed(reference).items():
        lines = text.count("\n")
        texts = ["".join(run[cell_id].splitlines(True)[-lines:]) for run in runs]
        numbers = [NUMBER.findall(other) for other in texts]
        numbers = [n for n in numbers if len(n) == len(NUMBER.findall(text))]
        for i, place in enumerate(NUMBER.finditer(text)):
            values = [float(found[i].replace(",", "")) for found in numbers]
            low, high, step = band(text, place, sanitize)
            is_label = step == 1 and max(values) < 10 and high < 10
            is_time = high - low >= 3000 * step
            if low < high and not is_label and not is_time:
                rest = text[place.end() :]
                if (high, rest[:1]) in [(100, "%"), (1, " ")] or rest.startswith(
                    f" of {high:.0f}."
                ):
                    high = np.inf  # more is not possible
                line = text[: place.start()].splitlines()[-1:]
                yield cell_id, "".join(line)[-28:], np.array(values), low, high, step


def main(folder, n_runs=24):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda seed: run_notebook(seed, folder), range(n_runs)))
    notebooks = [nbformat.read(p, 4) for p in sorted(folder.glob("seed-??.ipynb"))]
    reference = nbformat.read(NOTEBOOK, as_version=4)

    head = f"{'mean':>9} {'sd':>7} {'least':>7} {'most':>7}   {'band':^17}"
    print(f"{'cell':22} {'number after':28} {head} below above")
    false_alarms = 0
    for cell_id, words, values, low, high, step in measure(
        reference, [printed(notebook) for notebook in notebooks]
    ):
        # Rounding hides how much a number varies by less than its last digit.
        mean, sd = values.mean(), max(values.std(ddof=1), step / 4)
        below, above = (mean - low + step / 2) / sd, (high + step / 2 - mean) / sd
        false_alarms += stats.norm.sf(below) + stats.norm.sf(above)
        remark = (
            " !" if min(below, above) < NARROWEST or max(below, above) > WIDEST else ""
        )
        print(
            f"{cell_id:22} {words:28} {mean:9.5g} {sd:7.2g} {values.min():7.5g} "
            f"{values.max():7.5g}   {low:8.5g} {high:8.5g} {below:5.1f} {above:5.1f}{remark}"
        )
    print(f"At most {10_000 * false_alarms:.2g} of 10,000 runs raise a false alarm.")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
