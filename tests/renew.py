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
import sys
import tempfile
import textwrap
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from io import BytesIO
from pathlib import Path

import nbformat
import numpy as np
from PIL import Image
from scipy.stats import t

import common
import facts
from common import code_cells, picture, read, text_of
from facts import SOME, TOKEN, is_within, read_facts, slots, step_of, value_of
from known import NUMBER

RARE = 1e-4  # the share of numbers that another run may put outside their bands
SECONDS = r"\b\d+(?=m?s\b)"  # always left out
ISA = "ONEDNN_MAX_CPU_ISA"
SETTINGS = [{}, {"TF_ENABLE_ONEDNN_OPTS": "0"}, {ISA: "SSE41"}, {ISA: "AVX2"}]
NARROW = 3.1  # a band of so many of its last decimals excludes mistakes, wherever it lies
WIDE = 0.95  # a band from 1 to 39, as share of the sum of its ends: hardly anything is outside
ROLES = {"label", "answer", "label=answer"}
DEFINES = r"(?:reached \w+|read right) $"  # what stands before a number that gets a name
# A number of several cells may be printed as share, percentage, or count: (summand, factor).
PRINTED_AS = [(s, f) for f in (1, 100, 10_000, 6_000) for s in (0, f)]
SAME_BY_CHANCE = 4  # of so many different values in several runs, all agree if it is one number
FOLDED = {"cellView": "form", "jupyter": {"source_hidden": True}, "tags": ["hide-input"]}
COLAB = ["id", "colab", "outputId", "executionInfo", "base_uri"]  # what Colab adds to cells
RANDOM_ID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{8}|(?=.*\d)(?=.*[A-Z])[\w-]{12}"


def run(path, seed=0):
    """Run the notebook, keep what its cells put out in a file, unless it is there."""
    if path.exists():
        return
    # As many at a time as there are cores, each on one; every fifth has all of them.
    pin = ["taskset", "-c", str(seed % os.cpu_count())] if seed % 5 else []
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
        same = os.path.commonprefix(rows)
        return " ".join([*same, "{… …}"])
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


def band_of(texts, old, after):
    """Return the band in which another run would put a number, or None if the old one holds.

    Where all runs agree, it is as wide as the old one, with the number in its middle.
    texts: the number, in each run; old: its (low, high) in facts.txt; after: what follows it.
    """
    agreed = len(set(texts)) == 1
    if agreed and old[0] <= value_of(texts[0]) <= old[1]:
        return None
    decimals = max(len(text.partition(".")[2]) for text in texts)
    values, n = np.array([value_of(text) for text in texts]), len(texts)
    if agreed:
        reach = np.ptp(old) / 2
    else:
        spread = np.std(values, ddof=1) * np.sqrt(1 + 1 / n)
        reach = t.ppf(1 - RARE / 2, n - 1) * spread + 10.0**-decimals
    most = 100 if after.startswith("%") else 1 if decimals > 2 else np.inf
    low = max(values.mean() - reach, 0 if min(values) >= 0 else -np.inf)
    high = min(values.mean() + reach, most if max(values) <= most else np.inf)
    return f"{low:.{decimals}f}", f"{high:.{decimals}f}"


def can_fail(low, high):
    """Return whether a band, two numbers as text, excludes what a mistake would bring."""
    step, (low, high) = step_of(low), map(value_of, (low, high))
    return high - low <= NARROW * step or high - low < WIDE * (abs(high) + abs(low))


def name_for(texts, names):
    """Return what in facts.txt stands for a number of a name, as all runs print it, or None."""
    values, step = np.array([value_of(text) for text in texts]), step_of(texts[0])
    for name, named in names.items() if len(set(texts)) >= SAME_BY_CHANCE else ():
        for summand, factor in PRINTED_AS:
            wanted = summand - factor * named if summand else factor * named
            if np.all(np.abs(values - wanted) <= 0.51 * step + factor * 0.51e-4):
                times = f"{factor:,} × " if factor > 1 else ""
                return "{" + f"{summand:,} − " * bool(summand) + times + name + "}"
    return None


def token_for(texts, old, line, cell_id, names):
    """Return what stands in facts.txt for the texts of several runs, at an old token."""
    before, after, groups = line[: old.start()], line[old.end() :], old.groupdict()
    if groups["any"]:
        return old[0]
    if groups["name"] and len(texts) == 1:
        return old[0]
    if len(set(texts)) > 1 and (token := name_for(texts, names)):
        return token
    name = groups["named"]
    if re.search(DEFINES, before):
        on = re.search(r"^predict \[(.+?)\]; (\w+)", line)
        name = name or (f"{on[1]} on {on[2]}" if on else cell_id).replace(",", "")
        while name in names:
            name += " again"
        names[name] = np.array([value_of(text) for text in texts])
    band = band_of(texts, [value_of(groups[e] or "0") for e in ("low", "high")], after)
    low, high = band or (groups["low"], groups["high"])
    if not can_fail(low, high):
        return "{…}"
    return "{" + f"{name} = " * bool(name) + f"{low} … {high}}}"


def renewed(lines, old, is_fact, cell_id, names):
    """Return a line of facts.txt from the same line of one run or several.

    Of the old lines, the first that has the form of the new ones is taken out of them: its
    bands are renewed, and what it leaves out stays left out.
    """

    def is_like(text):
        varying, regex = slots(text, is_fact)
        matches = [re.fullmatch(regex, line) for line in lines]
        decimals = [n for n, slot in enumerate(varying, 1) if slot.groupdict().get("decimal")]
        return all(
            m and all(is_within(m[n], varying[n - 1], {}) for n in decimals) for m in matches
        )

    text = next(filter(is_like, old), None)
    if text:
        old.remove(text)
    else:
        text = form_of(lines)
    varying, regex = slots(text, is_fact)
    values = list(zip(*(re.fullmatch(regex, line).groups() for line in lines)))
    new, end = "", 0
    for slot, texts in zip(varying, values):
        token = slot[0] if slot.groupdict().get("decimal") else None
        new += text[end : slot.start()] + (token or token_for(texts, slot, text, cell_id, names))
        end = slot.end()
    return new + text[end:]


def with_all_titles(texts):
    """Return facts of several runs, each with all lines that only some of them have."""
    some = sorted({line for text in texts for line in text.splitlines() if line.startswith(SOME)})
    block = "\n".join(some)
    return [re.sub(rf"(?m)(^{SOME} .*\n?)+", lambda _: f"{block}\n", text) for text in texts]


def renew_facts(runs):
    """Write facts.txt anew from runs, as {cell id: {"outputs": list, "facts": text}}."""
    head, *blocks = facts.FACTS.read_text(encoding="utf-8").split("\n[")
    comments = dict(re.findall(r"(?m)^(?:> )?(.*)  (# .*)$", "\n".join(blocks)))
    if len(runs) > 1:
        head = re.sub(r"(?<=# Bands: ).*", f"{len(runs)} runs of {date.today()}.", head)
    new, names = [head.rstrip()], {}
    for cell_id in code_cells(read()):
        if not all(cell_id in run for run in runs):
            raise SystemExit(f"The runs have no cell {cell_id}: run them again.")
        texts = {
            "": with_all_titles([run[cell_id]["facts"] for run in runs]),
            "> ": [text_of(run[cell_id]["outputs"]) for run in runs],
        }
        old, block = dict(zip(["> ", ""], map(list, read_facts()[cell_id]))), {}
        for mark, by_run in texts.items():  # facts first, which define names
            by_run = [re.sub(SECONDS, "{…}", text).splitlines() for text in by_run]
            if len(set(map(len, by_run))) > 1:
                raise SystemExit(f"{cell_id} puts out more lines in one run than in another.")
            for lines in zip(*by_run):
                line = renewed(lines, old[mark], not mark, cell_id, names)
                why = "seconds" if "ms/step" in line else "it varies too much"
                comment = "  " + comments.get(line, f"# left out: {why}")
                tokens = [t["name"] or "" for t in TOKEN.finditer(line)]  # or pieces of a script
                varies = not {*names, ""}.isdisjoint(tokens)
                if not mark or varies or line != " ".join(lines[0].split()):
                    block.setdefault(mark, []).append(mark + line + comment * ("{…" in line))
        lines = [line for mark in ("> ", "") for line in block.get(mark, [])]
        new += [f"[{cell_id}]", *lines] if lines else []
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
        saved_id = cell.get("id") or cell.metadata.get("id", "")
        headings = re.findall(r"(?m)^#+ (.*)", cell.source)
        title = headings[-1] if headings and cell.cell_type == "markdown" else heading
        heading = title
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not common.is_log(output)]
            title = (re.findall(r"^# @title (.*)", cell.source) or [title])[0]
            kept = {
                key: value
                for key, value in cell.metadata.items()
                if key not in COLAB and value != FOLDED.get(key)
            }
            folded = FOLDED if cell.source.startswith("# @title ") else {}
            cell.metadata = nbformat.from_dict(kept | folded)
        named = re.match(r"# id: (\S+)\n", cell.source) if cell.cell_type == "code" else None
        if named:
            cell.source = cell.source[named.end() :]
        words = "-".join(re.findall(r"\w+", title.lower()))[:40]
        is_random = not saved_id or re.fullmatch(RANDOM_ID, saved_id)
        name = named[1] if named else words if is_random else saved_id
        n = 1
        while name in taken:
            n += 1
            name = f"{words}-{n}"
        taken.add(name)
        cell.id = name
    return notebook


def printed(cell):
    """Return what a cell prints, as README shows it: without the seconds of a table."""
    lines = text_of([o for o in cell.outputs if "text" in o]).rstrip().splitlines()
    if seconds := re.search(r" +seconds\b", lines[0]):
        lines = [line[: seconds.start()] + line[seconds.end() :] for line in lines]
    return textwrap.dedent("\n".join(line.rstrip() for line in lines))


def from_saved():
    """Return what the saved outputs make of images/, README and the notebook, by path, as bytes.

    The notebook shows what it reads at its end as a grey picture at its beginning.
    """
    notebook = tidied(read())
    cells, path = code_cells(notebook), common.ROOT / "README.md"
    images = (common.ROOT / "images").glob("*.png")
    found = {image: picture(cells[image.stem].outputs) for image in images}
    grey = Image.open(BytesIO(picture(cells["sample-predictions"].outputs))).convert("L")
    grey.save(small := BytesIO(), "png", optimize=True)
    text = base64.b64encode(small.getvalue()).decode()
    (teaser,) = (cell for cell in notebook.cells if cell.id == "teaser")
    start = r"(?<=\(data:image/png;base64,)[^)]*"
    teaser.source = re.sub(start, text, teaser.source)
    blocks = r"(?s)<!-- ([\w-]+) -->\n```text\n.*?\n```"
    readme = re.sub(
        blocks,
        lambda block: f"<!-- {block[1]} -->\n```text\n{printed(cells[block[1]])}\n```",
        path.read_text(encoding="utf-8"),
    )
    pictures = r"!\[[^\]]*\]\(images/([\w-]+)\.png\)"
    readme = re.sub(
        pictures, lambda p: f"![{cells[p[1]].metadata['alt']}](images/{p[1]}.png)", readme
    )
    text = f"{nbformat.writes(notebook)}\n"
    return found | {path: readme.encode(), common.NOTEBOOK: text.encode()}


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
