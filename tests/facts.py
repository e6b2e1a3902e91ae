"""Compares with facts.txt what cells print and what the recorder noted.

At the top of that file stands what may be in its lines.
"""

import re
from collections import defaultdict
from difflib import unified_diff
from pathlib import Path

FACTS = Path(__file__).with_name("facts.txt")
NUMBER = r"(?<![\w.#])-?\d+(?:,\d{3})*(?:\.\d+)?"
PLAIN = r"-?[\d,]*\.?\d+"
NAME = r"[a-z][\w -]*"
# {…}; {0.96 … 0.98} or {fit = 0.96 … 0.98}; {fit} or {6,000 − 6,000 × fit}. What begins
# with $ is a piece of JavaScript.
TOKEN = re.compile(
    r"(?<!\$)\{(?:(?P<any>…)"
    rf"|(?:(?P<defines>{NAME}) = )?(?P<low>{PLAIN}) … (?P<high>{PLAIN})"
    rf"|(?:(?P<minuend>{PLAIN}) − )?(?:(?P<factor>{PLAIN}) × )?(?P<refers>{NAME}))\}}"
)
# In facts, decimals differ a little on another processor, too.
IN_FACTS = re.compile(rf"{TOKEN.pattern}|(?P<decimal>(?<![\w.,#])-?\d[\d,]*\.\d{{3,}}(?![\w.]))")
SOME = "some titles:"  # begins a fact that some runs have


def value_of(text):
    return float(text.replace(",", "").replace("−", "-"))


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


def read_facts():
    """Return facts.txt as {cell id: (lines that the cell prints, facts)}; of others, none."""
    found = defaultdict(lambda: ([], []))
    for cell_id, lines in sections(FACTS).items():
        printed = [line for line in lines if line.startswith("> ")]
        facts = [line for line in lines if line not in printed]
        found[cell_id] = [line.removeprefix("> ") for line in printed], facts
    return found


def named_bands():
    """Return the bands of numbers that have a name, as {name: (low, high)}."""
    lines = (line for parts in read_facts().values() for lines in parts for line in lines)
    found = [token for line in lines for token in TOKEN.finditer(line) if token["defines"]]
    return {t["defines"]: (value_of(t["low"]), value_of(t["high"])) for t in found}


def regex_of(line, varying):
    """Return the regex of a line of facts.txt, with a group for each match of `varying`."""
    regex, end = "", 0
    for slot in varying.finditer(line):
        group = r"\S+?" if slot["any"] else NUMBER
        regex += f"{re.escape(line[end : slot.start()])}({group})"
        end = slot.end()
    regex = re.sub(r"(?:\\ )+", " +", regex + re.escape(line[end:]))
    return rf"(?m)^ *{regex} *$"


def is_within(text, slot, ranges):
    """Return whether a number as text may stand in a slot, a match of TOKEN or IN_FACTS.

    ranges: {name: (low, high)}, between which a named number lies. Each print of it, as it is
    rounded, narrows that down; where nothing is left, two prints are not of one number.
    """
    if slot["any"]:
        return True
    value, step = value_of(text), step_of(text)
    if slot.lastgroup == "decimal":  # has four digits, at most four of them decimals
        wanted = value_of(slot[0])
        exponent = int(f"{wanted:e}".split("e")[1])
        return abs(value - wanted) < 1.5 * max(1e-4, 10.0 ** (exponent - 3))
    if slot["low"] and not value_of(slot["low"]) <= value <= value_of(slot["high"]):
        return False
    if not (name := slot["defines"] or slot["refers"]):
        return True
    ends = [value - 0.51 * step, value + 0.51 * step]
    if slot["minuend"]:
        ends = [value_of(slot["minuend"]) - end for end in ends]
    low, high = sorted(end / value_of(slot["factor"] or "1") for end in ends)
    known = ranges.get(name) or named_bands().get(name)
    if not known or low > known[1] or high < known[0]:  # not known if its line was deleted
        return False
    ranges[name] = max(low, known[0]), min(high, known[1])
    return True


def with_tokens(text, lines, ranges, varying=TOKEN):
    """Return a text with the tokens of facts.txt in the place of the numbers that they allow.

    "97.6% right" becomes "{96.6 … 98.4}% right", so that a plain comparison finds what else
    differs. A number that is not allowed stays, followed by what is; ranges: None if all are.
    Lines are looked for in their order; one that is not there is left to the comparison, too.
    """

    def checked(slot):
        value = next(values)
        is_allowed = ranges is None or is_within(value, slot, ranges)
        return slot[0] if is_allowed else f"{value} (allowed: {slot[0]})"

    done = ""
    for line in filter(varying.search, lines):
        if match := re.search(regex_of(line, varying), text):
            values = iter(match.groups())
            done += text[: match.start()] + varying.sub(checked, line)
            text = text[match.end() :]
    return done + text


def differences(wanted, found):
    """Return lines that differ between two texts: "-" is wanted, "+" is found."""
    lines = unified_diff(wanted.splitlines(), found.splitlines(), n=0, lineterm="")
    return [f"{line[0]} {line[1:]}" for line in lines if line[0] in "-+"][2:]  # without its head


def compare(cell_id, facts, printed, saved, ranges):
    """Return the lines that differ: facts from facts.txt, what is printed from what is saved.

    facts, printed: what a cell puts out now; saved: what it printed then; ranges: of named
    numbers in this run so far, which must agree.
    """
    print_lines, fact_lines = read_facts()[cell_id]
    some = [line for line in fact_lines if line.startswith(SOME)]
    absent = {*some} - {*facts.splitlines()}
    if len(absent) < len(some):  # if all of them are absent, they are missed
        fact_lines = [line for line in fact_lines if line not in absent]
    # First the facts, as they have the most decimals of named numbers, to which prints are held.
    facts = with_tokens(facts, fact_lines, ranges, IN_FACTS)
    new, old = (with_tokens(text, print_lines, r) for text, r in [(printed, ranges), (saved, None)])
    return differences("\n".join(fact_lines), facts), differences(old, new)
