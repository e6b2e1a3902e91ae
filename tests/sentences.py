"""Binds the numbers in the notebook's text to what its cells print, by numbers.txt.

Results are bound: percentages, decimals, numbers with thousands, and points. Code and addresses
are left out.
"""

import re

from facts import step_of, value_of

A_NUMBER = r"(?<![\w.,])[−-]?\d+(?:,\d{3})*(?:\.\d+)?(?![\d,]*\d)"
# 97.6% or 17 points; 101,770, but no part of 5−101,770; 0.20.
RESULT = (
    rf"(?:{A_NUMBER}(?=\s?%| points?\b))|(?<![\w.,−-])[−-]?\d+(?:,\d{{3}})+|(?<![\w.])[−-]?\d+\.\d+"
)
NO_TEXT = r"(?s)```.*?```|`[^`]*`|\]\([^)]*\)|<[^>]*>|https?://\S+"


def pattern(words):
    """Return the regex of words with {} at a number, and … at any others; * is any result."""
    if words == "*":
        return f"({RESULT})"
    parts = re.escape(" ".join(words.split())).replace(r"\{\}", f"({A_NUMBER})").replace("…", ".*?")
    return parts.replace(r"\ ", r"\s+")


def bound(source, printed):
    """Return the number that an expression in numbers.txt stands for.

    source: numbers and places, with blanks and ×, /, + or − between them. A place is a cell and
    what it prints, with {} at the number; where it prints that several times, the last counts.
    """
    terms = re.split(r" ([×/+−]) ", source)
    for n, term in enumerate(terms):
        if place := re.fullmatch(r"([\w-]+): (.*)", term):
            cell_id, words = place.groups()
            if not (found := re.findall(f"(?s){pattern(words)}", printed[cell_id])):
                raise LookupError(f"{cell_id} does not print {words!r}")
            terms[n] = f"({found[-1]})"
    code = "".join(terms).translate(str.maketrans("×−", "*-", ","))
    return eval(code, {"__builtins__": {}})


def holds(claim, printed):
    """Return whether "a < b" is so, where both sides are expressions as in `bound`."""
    sides = claim.removeprefix("always: ").split(" < ")
    smaller, larger = (bound(side, printed) for side in sides)
    return smaller < larger


def mistakes(text, entries, printed):
    """Yield what is wrong with the numbers of a text.

    entries: "words ← what they are bound to"; printed: {cell id: what it prints}.
    """
    text, at = re.sub(NO_TEXT, " ", text), set()  # where the numbers stand that are bound
    for words, source in (entry.split(" ← ") for entry in entries):
        matches = [*re.finditer(pattern(words), text)]
        if not matches:
            yield f"has no longer the words {words!r}"
        if " < " in source:
            if not holds(source, printed):
                yield f"{words!r}, but not {source}"
            continue
        for match in matches:
            at.update(range(*match.span(1)))
            if source.startswith("why: "):
                continue
            value = bound(source, printed)
            if abs(value - value_of(match[1])) > 0.51 * step_of(match[1]):
                yield f"{match[0]!r}, but {source} is {value:.6g}"
    for match in re.finditer(RESULT, text):
        if match.start() not in at:
            around = " ".join(text[max(match.start() - 30, 0) : match.end() + 25].split())
            yield f"{match[0]} is bound to nothing: … {around} …"
