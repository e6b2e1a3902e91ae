"""Bring what is kept beside the notebook up to date, after a change that is meant.

    python tests/renew.py               run the notebook once: renew the facts that no longer
                                        hold in tests/facts.txt, and keep bands that do
    python tests/renew.py FOLDER [runs] run it so often (10) with other seeds and settings:
                                        measure bands where lines no longer hold, or are gone
    python tests/renew.py --saved       run nothing

All of them tidy the saved notebook (see `tidied`), and take README's pictures and numbers, and
the picture that opens the notebook, from its saved outputs. Runs are kept in FOLDER, and those
that are there are used; `pytest --no-breaks --keep FOLDER/name.json` adds another.
"""

import base64
import json
import os
import re
import sys
import tempfile
import textwrap
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from itertools import count, product, repeat
from pathlib import Path

import nbformat
import numpy as np
from PIL import Image
from scipy.special import expit, logit
from scipy.stats import t

import common
import facts
from common import ROOT, code_cells, picture, read, text_of
from facts import IN_FACTS, NUMBER, SOME, TOKEN, read_facts, step_of, value_of

RARE = 1e-4  # the share of numbers that another run may put outside their bands
ISA = "ONEDNN_MAX_CPU_ISA"
SETTINGS = [{}, {"TF_ENABLE_ONEDNN_OPTS": "0"}, {ISA: "SSE41"}, {ISA: "AVX2"}]
# A band is kept if it has at most 9 units of its last decimal (and a bit, as these are floats), or
# if high - low < 0.95 (high + low): its upper end is less than 39 times its lower one, by choice.
NARROW, WIDE = 9.1, 0.95
DEFINES = r"(?:reached \w+|read right) $"  # what stands before a number that gets a name
# A share that has a name may be printed in other cells as it is, as percentage, or as count.
PRINTED_AS = ["", "1 − ", "100 × ", "100 − 100 × ", "10,000 × ", "10,000 − 10,000 × "]
PRINTED_AS += ["6,000 × ", "6,000 − 6,000 × "]
DIFFERENT = 4  # fewer different values may agree with those of another number by chance
FOLDED = {"cellView": "form", "jupyter": {"source_hidden": True}, "tags": ["hide-input"]}
COLAB = ["id", "colab", "outputId", "executionInfo", "base_uri"]  # what Colab adds to cells
# As VS Code, Jupyter and Colab make them.
RANDOM_ID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{8}|(?=.*\d)(?=.*[A-Z])[\w-]{12}"


def run(path, seed=0):
    """Run the notebook, keep what its cells put out in a file, unless it is there."""
    if path.exists():
        return
    env = SETTINGS[seed % len(SETTINGS)] | {"SEED_SHIFT": str(seed)} if seed else {}
    if seed % 5:  # as many at a time as there are cores, each on one; every fifth on all of them
        env |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    command = ["-m", "pytest", "-q", common.NOTEBOOK, "--no-breaks", "--keep", path]
    ended = common.run_python(*command, env=env, timeout=None)
    if not path.exists():
        raise SystemExit(ended.stdout + ended.stderr)
    print(f"{path.name}:", ended.stdout.strip().splitlines()[-1])


def band_of(texts, is_percentage):
    """Return the band in which another run would put a number, as two numbers as text.

    texts: the number in several runs; they are taken for normally distributed.
    """
    values = np.array([*map(value_of, texts)])
    decimals, n = max(len(text.partition(".")[2]) for text in texts), len(texts)
    step, both = 10.0**-decimals, np.array([-1, 1])
    is_share = is_percentage or (decimals > 2 and min(values) >= 0 and max(values) <= 1)
    # Of three decimals and more are accuracies, and losses below 1, which lean as they do.
    # Shares near 0 or 100% are spread to one side; their log-odds are not. Those of 0 and 100% are
    # infinite, so all are moved by half a step, in a whole that is one step larger, and back.
    whole = (100 if is_percentage else 1) + step
    spread = logit((values + step / 2) / whole) if is_share else values
    reach = np.std(spread, ddof=1) * np.sqrt(1 + 1 / n)
    ends = np.array(t.interval(1 - RARE, n - 1, spread.mean(), reach))
    low, high = (
        whole * expit(ends) - step / 2 if is_share else ends
    ) + both * step  # as they are rounded
    if min(values) >= 0:  # 0 is in the band if a run had it
        low = max(low, step if min(values) > 0 else 0)
    high = min(high, whole - step if is_share else np.inf)  # 100% at most
    return f"{low:.{decimals}f}", f"{high:.{decimals}f}"


def can_fail(low, high):
    """Return whether a band, two numbers as text, is narrow enough to tell a mistake."""
    step, (low, high) = step_of(low), map(value_of, (low, high))
    return high - low <= NARROW * step or high - low < WIDE * (abs(high) + abs(low))


def token_for(texts, before, after, cell_id, ranges):
    """Return what stands in facts.txt for a number that differs: a name, a band, or neither.

    texts: the number in several runs; before, after: what stands around it in the line;
    ranges: the named numbers of each run, as {name: (low, high)}.
    """
    known_names = ranges[0] if len(set(texts)) >= DIFFERENT else ()
    for name, times in product(known_names, PRINTED_AS):
        slot = TOKEN.fullmatch(f"{{{times}{name}}}")
        # Of copies, as `is_within` narrows the ranges that it is given.
        if all(facts.is_within(text, slot, dict(known)) for text, known in zip(texts, ranges)):
            return slot[0]
    low, high = band_of(texts, after.startswith("%"))
    if not can_fail(low, high):
        return "{…}"
    if not re.search(DEFINES, before):
        return f"{{{low} … {high}}}"
    on = re.search(r"predict \[(.+?)\]; (\w+)", before)
    name = f"{on[1]} on {on[2]}" if on else cell_id
    while name in ranges[0]:  # as in all runs
        name += " again"
    for text, known in zip(texts, ranges):
        known[name] = value_of(text) - 0.51e-4, value_of(text) + 0.51e-4
    return f"{{{name} = {low} … {high}}}"


def measured(lines, cell_id, ranges):
    """Return a line of facts.txt for the same line of several runs.

    Numbers that differ get a band or a name; words that differ in more than that are left out.
    """
    found = ""
    for words in zip(*map(str.split, lines), strict=True):
        parts = [re.split(f"({NUMBER})", word) for word in words]  # a text, a number, a text, …
        if len({tuple(part[::2]) for part in parts}) > 1:
            parts = [["{…}"]]
        for n, texts in enumerate(zip(*parts)):
            if len(set(texts)) > 1:
                found += token_for(texts, found, parts[0][n + 1], cell_id, ranges)
            else:
                found += texts[0]
        found += " "
    return found.rstrip()


def with_all_titles(texts, old):
    """Return facts of several runs, each with the kinds of titles of all of them.

    Old kinds that no run has stay, too, unless it has none of them: then the titles are new.
    """
    some = {line for text in texts for line in text.splitlines() if line.startswith(SOME)}
    if some & {*old}:
        some |= {line for line in old if line.startswith(SOME)}
    block = "\n".join(sorted(some))
    return [re.sub(rf"(?m)(^{SOME} .*\n?)+", lambda _: f"{block}\n", text) for text in texts]


def renew_facts(runs):
    """Write facts.txt anew from runs, as {cell id: {"outputs": list, "facts": text}}.

    Lines that hold in all runs stay, with what they leave out; all others are measured.
    """
    head, *_ = facts.FACTS.read_text(encoding="utf-8").split("\n[")
    new, ranges = [head.rstrip()], [{} for _ in runs]

    def lines_of(texts, old, varying):
        """Yield the lines of facts.txt for what a cell puts out in several runs.

        An old line that allows the numbers of all runs stays. The others are measured.
        """
        allowed = [facts.with_tokens(*run, varying) for run in zip(texts, repeat(old), ranges)]
        in_runs = zip(*map(str.splitlines, texts), strict=True)
        for lines, (line, *others) in zip(in_runs, zip(*map(str.splitlines, allowed))):
            if {line} == {line, *others} and "(allowed: " not in line:
                yield line
                continue
            for old_name in re.findall(r"\{([a-z][\w -]*) = ", f"{line} {others}"):
                for known in ranges:
                    known.pop(old_name, None)  # it is measured anew
            yield measured(lines, cell_id, ranges)

    for cell_id in code_cells(read()):
        printed, noted = read_facts()[cell_id]
        texts = with_all_titles([run[cell_id]["facts"] for run in runs], noted)
        try:
            noted = [*lines_of(texts, noted, IN_FACTS)]  # first, as facts define names
            texts = [text_of(run[cell_id]["outputs"]) for run in runs]
            lines = filter(TOKEN.search, lines_of(texts, printed, TOKEN))
            printed = [f"> {line}" for line in lines]
        except ValueError:  # of zip
            raise SystemExit(f"{cell_id} puts out more words in one run than in another.") from None
        new += [f"[{cell_id}]", *printed, *noted] if printed or noted else []
    facts.FACTS.write_text("\n".join([*new, ""]), encoding="utf-8")


def tidied(notebook):
    """Return the notebook without what Jupyter and Colab leave in it, and imports log.

    A cell of a random id is named after its `# @title`, or the heading above it. Cells with a
    `# @title` are folded.
    """
    notebook.nbformat_minor, heading, taken = 5, "cell", set()
    for key in set(notebook.metadata) - {"kernelspec", "language_info", "colab"}:
        del notebook.metadata[key]
    for cell in notebook.cells:
        name, is_code = cell.get("id") or cell.metadata.get("id", ""), cell.cell_type == "code"
        own = {k: v for k, v in cell.metadata.items() if k not in COLAB and v != FOLDED.get(k)}
        titles = re.findall(r"\A# @title (.*)" if is_code else r"(?m)^#+ (.*)", cell.source)
        if is_code:
            cell.outputs = [output for output in cell.outputs if not common.is_log(output)]
            own |= FOLDED if titles else {}
        else:
            heading = [heading, *titles][-1]
        cell.metadata = nbformat.from_dict(own)
        words = re.findall(r"\w+", [heading, *titles][-1].lower(), re.ASCII)
        words = "-".join(words)[:40] or "cell"
        if not name or re.fullmatch(RANDOM_ID, name):
            name = words
        numbered = (f"{words}-{n}" for n in count(2))
        while name in taken:
            name = next(numbered)
        taken.add(name)
        cell.id = name
    return notebook


def from_saved():
    """Return what the saved outputs make of images/, README and the notebook, by path, as bytes.

    The notebook shows what it reads at its end as a grey picture at its beginning.
    """
    notebook, readme = tidied(read()), ROOT / "README.md"
    cells = code_cells(notebook)

    def with_text(match):
        printed = text_of([o for o in cells[match[2]].outputs if "text" in o]).rstrip()
        return match[1] + textwrap.dedent(re.sub(r"(?m) +$", "", printed))

    def with_alt(match):
        return f"![{cells[match[2]].metadata['alt']}{match[1]}"

    text = readme.read_text(encoding="utf-8")
    text = re.sub(r"(?s)(<!-- ([\w-]+) -->\n```text\n).*?(?=\n```)", with_text, text)
    text = re.sub(r"!\[[^\]]*(\]\(images/([\w-]+)\.png\))", with_alt, text)
    grey = Image.open(BytesIO(picture(cells["sample-predictions"].outputs))).convert("L")
    grey.save(small := BytesIO(), "png", optimize=True)
    data = base64.b64encode(small.getvalue()).decode()
    (teaser,) = (cell for cell in notebook.cells if cell.id == "teaser")
    teaser.source = re.sub(r"(?<=\(data:image/png;base64,)[^)]*", data, teaser.source)
    found = {readme: text.encode(), common.NOTEBOOK: f"{nbformat.writes(notebook)}\n".encode()}
    images = (ROOT / "images").glob("*.png")
    return found | {image: picture(cells[image.stem].outputs) for image in images}


def main(folder=None, n_runs=10):
    if folder != "--saved":
        with tempfile.TemporaryDirectory() as temporary:
            kept_in = Path(folder or temporary).resolve()
            kept_in.mkdir(parents=True, exist_ok=True)
            seeds = range(1, int(n_runs) + 1) if folder else [0]
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                list(pool.map(lambda s: run(kept_in / f"run-{s:02}.json", s), seeds))
            texts = [f.read_text(encoding="utf-8") for f in sorted(kept_in.glob("*.json"))]
            runs = [json.loads(text) for text in texts]
            if any(run.keys() != code_cells(read()).keys() for run in runs):
                raise SystemExit(f"The runs in {folder} are of other cells: run them again.")
            renew_facts(runs)
    for path, content in from_saved().items():
        path.write_bytes(content)


if __name__ == "__main__":
    main(*sys.argv[1:])
