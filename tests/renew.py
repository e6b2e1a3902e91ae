"""Bring what is kept beside the notebook up to date, after a change that is meant.

    python tests/renew.py               run the notebook once: renew the facts that no longer
                                        hold in tests/facts.txt, and keep bands that do
    python tests/renew.py FOLDER [runs] run it so often (10) with other seeds and settings:
                                        renew all facts, and all bands from their spread
    python tests/renew.py --saved       run nothing

All of them tidy the saved notebook (see `tidied`), and take README's pictures and numbers, and
the picture that opens the notebook, from its saved outputs. Runs are kept in FOLDER, and those
that are there are used; `pytest --no-breaks --keep FOLDER/name.json` adds another.
"""

import base64
import json
import os
import re
import shutil
import sys
import tempfile
import textwrap
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from io import BytesIO
from itertools import count, product
from pathlib import Path

import nbformat
import numpy as np
from PIL import Image
from scipy.special import expit, logit
from scipy.stats import t

import common
import facts
from common import ROOT, code_cells, picture, read, text_of
from facts import IN_FACTS, SOME, TOKEN, is_within, read_facts, regex_of, step_of, value_of
from known import NUMBER

RARE = 1e-4  # the share of numbers that another run may put outside their bands
SECONDS = r"\b\d+(?=m?s\b)"  # always left out
ISA = "ONEDNN_MAX_CPU_ISA"
SETTINGS = [{}, {"TF_ENABLE_ONEDNN_OPTS": "0"}, {ISA: "SSE41"}, {ISA: "AVX2"}]
# A band excludes mistakes if it has at most three units of its last decimal, or if its upper end
# is less than 39 times its lower one: (39 - 1) / (39 + 1).
NARROW, WIDE = 3.1, 0.95
ROLES = {"label", "answer", "label=answer"}
DEFINES = r"(?:reached \w+|read right) $"  # what stands before a number that gets a name
# A share that has a name may be printed in other cells as it is, as percentage, or as count.
PRINTED_AS = ["", "1 − ", "100 × ", "100 − 100 × ", "10,000 × ", "10,000 − 10,000 × "]
PRINTED_AS += ["6,000 × ", "6,000 − 6,000 × "]
DIFFERENT = 4  # fewer different values may agree with those of another number by chance
FOLDED = {"cellView": "form", "jupyter": {"source_hidden": True}, "tags": ["hide-input"]}
COLAB = ["id", "colab", "outputId", "executionInfo", "base_uri"]  # what Colab adds to cells
RANDOM_ID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{8}|(?=.*\d)(?=.*[A-Z])[\w-]{12}"


def run(path, seed=0):
    """Run the notebook, keep what its cells put out in a file, unless it is there."""
    if path.exists():
        return
    # As many at a time as there are cores, each on one; every fifth has all of them.
    can_pin = seed % 5 and shutil.which("taskset")  # on Linux
    pin = ["taskset", "-c", str(seed % os.cpu_count())] if can_pin else []
    env = SETTINGS[seed % len(SETTINGS)] | {"SEED_SHIFT": str(seed)} if seed else {}
    command = ["-m", "pytest", "-q", common.NOTEBOOK, "--no-breaks", "--keep", path]
    ended = common.run_python(*command, before=pin, env=env, timeout=None)
    if not path.exists():
        raise SystemExit(ended.stdout + ended.stderr)
    print(f"{path.name}:", ended.stdout.strip().splitlines()[-1])


def form_of(lines):
    """Return a line of facts.txt for the same new line of several runs, with bands yet empty."""
    rows = [line.split() for line in lines]
    if len(set(map(len, rows))) > 1:
        return " ".join([*os.path.commonprefix(rows), "{… …}"])
    found = []
    for words in zip(*rows):
        if set(words) <= ROLES:
            found.append(min(words, key=len))
        elif len({re.sub(NUMBER, "0", word) for word in words}) > 1:
            found.append("{…}")
        else:
            parts = zip(*(re.split(f"({NUMBER})", word) for word in words))
            found.append("".join(p[0] if len(set(p)) == 1 else "{0 … 0}" for p in parts))
    return " ".join(found)


def band_of(texts, slot):
    """Return the band in which another run would put a number, as two numbers as text.

    Where all runs agree, it stays, or is moved such that the number is in its middle.
    texts: the number, in each run; slot: where it stands in facts.txt.
    """
    old, values = (slot["low"] or "0", slot["high"] or "0"), np.array([*map(value_of, texts)])
    decimals, n = max(len(text.partition(".")[2]) for text in texts), len(texts)
    step, both, agreed = 10.0**-decimals, np.array([-1, 1]), len(set(texts)) == 1
    if agreed and value_of(old[0]) <= values[0] <= value_of(old[1]):
        return old
    is_percentage = slot.string.startswith("%", slot.end())
    is_share = is_percentage or (decimals > 2 and min(values) >= 0 and max(values) <= 1)
    whole = (100 if is_percentage else 1) + step  # with half a step at both ends
    if agreed:
        low, high = values[0] + both * (value_of(old[1]) - value_of(old[0])) / 2
    else:
        # Shares near their ends are spread to one side; their log-odds are not.
        spread = logit((values + step / 2) / whole) if is_share else values
        reach = t.ppf(1 - RARE / 2, n - 1) * np.std(spread, ddof=1) * np.sqrt(1 + 1 / n)
        ends = spread.mean() + both * reach
        low, high = (whole * expit(ends) - step / 2 if is_share else ends) + both * step
    if min(values) >= 0:  # 0 is in the band if a run had it
        low = max(low, step if min(values) > 0 else 0)
    high = min(high, whole - step if is_share else np.inf)
    return f"{low:.{decimals}f}", f"{high:.{decimals}f}"


def can_fail(low, high):
    """Return whether a band, two numbers as text, excludes what a mistake would bring."""
    step, (low, high) = step_of(low), map(value_of, (low, high))
    return high - low <= NARROW * step or high - low < WIDE * (abs(high) + abs(low))


def name_for(texts, names):
    """Return what in facts.txt stands for a number of a name, as all runs print it, or None."""
    if len(set(texts)) < DIFFERENT:
        return None
    for name, times in product(names, PRINTED_AS):
        slot = TOKEN.fullmatch(f"{{{times}{name}}}")
        found = ({name: (value - 0.51e-4, value + 0.51e-4)} for value in names[name])
        if all(is_within(text, slot, in_run) for text, in_run in zip(texts, found)):
            return slot[0]
    return None


def token_for(texts, slot, cell_id, names):
    """Return what stands in facts.txt in the place of a slot, for its texts in several runs."""
    is_known = len(texts) == 1 and slot["name"] in facts.named_bands()
    if slot.lastgroup in ("any", "decimal", "role") or is_known:
        return slot[0]
    if token := name_for(texts, names):
        return token
    before, name = slot.string[: slot.start()], slot["named"]
    if re.search(DEFINES, before):
        on = re.match(r"predict \[(.+?)\]; (\w+)", before)
        name = name or (f"{on[1]} on {on[2]}" if on else cell_id)
        while name in names:
            name += " again"
    low, high = band_of(texts, slot)
    if not can_fail(low, high):
        return "{…}"
    if name:
        names[name] = [value_of(text) for text in texts]
    return "{" + f"{name} = " * bool(name) + f"{low} … {high}}}"


def renewed(lines, old, varying, cell_id, names):
    """Return a line of facts.txt from the same line of one run or several.

    Of the old lines, the first that has the form of the new ones is taken out of them: its
    bands are renewed, and what it leaves out stays left out.
    """

    def has_form(text):
        """Return whether all lines have the form of a line of facts.txt, and its decimals."""
        matches = [re.fullmatch(regex_of(text, varying), line) for line in lines]
        return all(matches) and all(
            is_within(value, slot, {})
            for match in matches
            for value, slot in zip(match.groups(), varying.finditer(text))
            if slot.lastgroup == "decimal"
        )

    text = next(filter(has_form, old), None)
    if text:
        old.remove(text)
    else:
        text = form_of(lines)
    values = zip(*(re.fullmatch(regex_of(text, varying), line).groups() for line in lines))
    return varying.sub(lambda slot: token_for(next(values), slot, cell_id, names), text)


def with_all_titles(texts):
    """Return facts of several runs, each with all lines that only some of them have."""
    some = {line for text in texts for line in text.splitlines() if line.startswith(SOME)}
    block = "\n".join(sorted(some))
    return [re.sub(rf"(?m)(^{SOME} .*\n?)+", lambda _: f"{block}\n", text) for text in texts]


def renew_facts(runs):
    """Write facts.txt anew from runs, as {cell id: {"outputs": list, "facts": text}}."""
    head, *blocks = facts.FACTS.read_text(encoding="utf-8").split("\n[")
    reasons = dict(re.findall(r"(?m)^(.*)  (# .*)$", "\n".join(blocks)))
    if len(runs) > 1:
        head = re.sub(r"(?<=# Bands: ).*", f"{len(runs)} runs of {date.today()}.", head)
    new, names = [head.rstrip()], {}

    def lines_of(texts, old, varying, mark=""):
        """Return the lines for the texts that the cell puts out in several runs."""
        by_run = [re.sub(SECONDS, "{…}", text).splitlines() for text in texts]
        if len(set(map(len, by_run))) > 1:
            raise SystemExit(f"{cell_id} puts out more lines in one run than in another.")
        for lines in zip(*by_run):
            line = mark + renewed(lines, old, varying, cell_id, names)
            reason = f"  {reasons.get(line, '# left out: it varies too much')}"
            yield line + reason * ("{…" in line)

    for cell_id in code_cells(read()):
        if not all(cell_id in run for run in runs):
            raise SystemExit(f"The runs have no cell {cell_id}: run them again.")
        printed, noted = map(list, read_facts()[cell_id])
        texts = with_all_titles([run[cell_id]["facts"] for run in runs])
        noted = [*lines_of(texts, noted, IN_FACTS)]  # first, as facts define names
        texts = [text_of(run[cell_id]["outputs"]) for run in runs]
        printed = [line for line in lines_of(texts, printed, TOKEN, "> ") if TOKEN.search(line)]
        new += [f"[{cell_id}]", *printed, *noted] if printed or noted else []
    facts.FACTS.write_text("\n".join([*new, ""]), encoding="utf-8")


def tidied(notebook):
    """Return the notebook without what Jupyter and Colab leave in it, and imports log.

    A cell of a random id is named after its `# @title`, or the heading above it; a first line
    `# id: name` names it otherwise. Cells with a `# @title` are folded.
    """
    notebook.nbformat_minor, heading, taken = 5, "cell", set()
    for key in set(notebook.metadata) - {"kernelspec", "language_info", "colab"}:
        del notebook.metadata[key]
    for cell in notebook.cells:
        name = cell.get("id") or cell.metadata.get("id", "")
        headings = re.findall(r"(?m)^#+ (.*)", cell.source)
        if cell.cell_type == "markdown" and headings:
            heading = headings[-1]
        title, named = heading, None
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not common.is_log(output)]
            named = re.match(r"# id: (\S+)\n", cell.source)
            titled = re.match(r"# @title (.*)", cell.source)
            title = titled[1] if titled else heading
            cell.metadata = {k: v for k, v in cell.metadata.items() if v != FOLDED.get(k)}
            cell.metadata |= FOLDED if titled else {}
        own = {key: value for key, value in cell.metadata.items() if key not in COLAB}
        cell.metadata = nbformat.from_dict(own)
        words = "-".join(re.findall(r"\w+", title.lower(), re.ASCII))[:40] or "cell"
        if named:
            name, cell.source = named[1], cell.source[named.end() :]
        elif not name or re.fullmatch(RANDOM_ID, name):
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
            files = sorted(kept_in.glob("*.json"))
            renew_facts([json.loads(f.read_text(encoding="utf-8")) for f in files])
    for path, content in from_saved().items():
        path.write_bytes(content)


if __name__ == "__main__":
    main(*sys.argv[1:])
