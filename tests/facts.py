"""Compares with facts.txt what cells print and what the recorder noted.

At the top of that file stands what may be in its lines.
"""

import re
from collections import defaultdict
from difflib import SequenceMatcher
from functools import cache
from pathlib import Path

from known import NUMBER

FACTS = Path(__file__).with_name("facts.txt")
PLAIN = r"-?[\d,]*\.?\d+"
TOKEN = re.compile(
    r"(?<!\$)\{(?:(?P<any>…(?: …)?)"
    rf"|(?:(?P<named>[a-z][\w -]*) = )?(?P<low>{PLAIN}) … (?P<high>{PLAIN})"
    rf"|(?:(?P<sum>{PLAIN}) − )?(?:(?P<factor>{PLAIN}) × )?(?P<name>[a-z][\w -]*))\}}"
)
SOME = "some titles:"  # begins a fact that some runs have
LEFT_OUT = {"…": r"(\S+?)", "… …": r"(\S.*?)"}
# A decimal of a fact, which differs a little on another processor.
DECIMAL = r"(?<![\w.,#…{])-?\d[\d,]*\.\d{3,}(?![\w.]|\}| …)"


def value_of(text):
    return float(text.replace(",", ""))


def step_of(text):
    """Return the last place of a number as text: 0.01 of "0.97"."""
    return 10.0 ** -len(text.partition(".")[2])


def sections(path):
    """Return the lines of a text file below each of its [headings], without comments."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        line, *_ = re.split(r"^#|  # ", line)
        if heading := re.fullmatch(r"\[(.+)\]", line):
            lines = found.setdefault(heading[1], [])
        elif line:
            lines.append(line)
    return found


@cache
def read_facts():
    """Return facts.txt as {cell id: (lines that the cell prints, facts)}; of others, none."""
    found = defaultdict(lambda: ([], []))
    for cell_id, lines in sections(FACTS).items():
        printed, facts = found[cell_id]
        for line in lines:
            if line.startswith("> "):
                printed.append(line.removeprefix("> "))
            else:
                facts.append(line)
    return found


@cache
def named_bands():
    """Return the bands of numbers that have a name, as {name: (low, high)}."""
    lines = (line for parts in read_facts().values() for lines in parts for line in lines)
    found = [token for line in lines for token in TOKEN.finditer(line) if token["named"]]
    return {t["named"]: (value_of(t["low"]), value_of(t["high"])) for t in found}


def slots(line, is_fact=False):
    """Return the parts of a line of facts.txt that vary, as matches, and the regex of the line."""
    varying = f"{TOKEN.pattern}|(?P<decimal>{DECIMAL})" if is_fact else TOKEN.pattern
    matches, regex, end = list(re.finditer(varying, line)), "", 0
    matches = [m for m in matches if not m["name"] or m["name"] in named_bands()]
    for match in [*matches, None]:
        words = re.escape(line[end : match.start() if match else None])
        # What is read right by all that is shown can't be told from its label.
        words = re.sub(r"\b(label|answer)\b", "(?:label=answer|\\1)", words)
        regex += re.sub(r"(?:\\ )+", " +", words)
        if match:
            regex += LEFT_OUT.get(match["any"], f"({NUMBER})")
            end = match.end()
    return matches, rf"(?m)^ *{regex} *$"


def is_within(text, slot, found):
    """Return whether a number as text may stand in a slot; note the values of named numbers.

    found: {name: (low, high)}, between which the number lies, as it was rounded so far.
    """
    groups = slot.groupdict()
    if groups["any"]:
        return True
    value, step = value_of(text), step_of(text)
    if decimal := groups.get("decimal"):  # has four digits, at most four of them decimals
        last = max(1e-4, 10.0 ** (int(f"{value_of(decimal):e}".split("e")[1]) - 3))
        return abs(value - value_of(decimal)) < 1.5 * last
    if groups["low"] and not value_of(groups["low"]) <= value <= value_of(groups["high"]):
        return False
    if not (name := groups["named"] or groups["name"]):
        return True
    summand, factor = value_of(groups["sum"] or "0"), value_of(groups["factor"] or "1")
    ends = [value - 0.51 * step, value + 0.51 * step]
    if groups["factor"] or groups["sum"]:
        ends = [(summand - end if groups["sum"] else end) / factor for end in ends]
    low, high = min(ends), max(ends)
    known_low, known_high = found.get(name, named_bands()[name])
    if low > known_high or high < known_low:
        return False
    found[name] = max(low, known_low), min(high, known_high)
    return True


def with_tokens(text, lines, found, is_fact=False):
    """Return a text with what varies by facts.txt in the place of its numbers, to be compared.

    A number that may not stand there stays, followed by what may. Lines are looked for in
    their order.
    """
    done = ""
    for line in lines:
        matches, regex = slots(line, is_fact)
        if not matches and "label" not in line and "answer" not in line:
            continue
        if not (match := re.search(regex, text)):
            continue
        shown, end = "", 0
        for slot, value in zip(matches, match.groups()):
            good = is_within(value, slot, found)
            shown += line[end : slot.start()]
            shown += slot[0] if good else f"{value} (allowed: {slot[0]})"
            end = slot.end()
        done += text[: match.start()] + shown + line[end:]
        text = text[match.end() :]
    return done + text


def differences(wanted, found):
    """Return lines that differ between two texts, "−" before what is wanted, "+" before the other."""
    old, new = wanted.splitlines(), found.splitlines()
    lines = []
    for kind, start, stop, first, last in SequenceMatcher(None, old, new, False).get_opcodes():
        if kind != "equal":
            lines += [f"− {line}" for line in old[start:stop]]
            lines += [f"+ {line}" for line in new[first:last]]
    return lines


def compare(cell_id, facts, printed, saved, found):
    """Return the lines that differ: facts from facts.txt, what is printed from what is saved.

    facts, printed: what a cell puts out now; saved: what it printed then; found: the values
    of named numbers in this run so far, which must agree.
    """
    print_lines, fact_lines = read_facts()[cell_id]
    noted = facts.splitlines()
    if not {*fact_lines}.isdisjoint(line for line in noted if line.startswith(SOME)):
        fact_lines = [line for line in fact_lines if not line.startswith(SOME) or line in noted]
    now = found.copy()  # first the facts, which define names
    facts = with_tokens(facts, fact_lines, now, is_fact=True)
    new = with_tokens(printed, print_lines, now)
    old = with_tokens(saved, print_lines, {})
    found.update(now)
    in_facts = differences("\n".join(fact_lines), facts)
    in_prints = differences(old, new)
    # If a saved number may not stand there, too, both are the same.
    in_prints += [f"+ {line}" for line in new.splitlines() if "(allowed: " in line] * (
        not in_prints
    )
    return in_facts, in_prints
