"""Binds the numbers in the notebook's text to what its cells print, by numbers.txt.

Results are bound: percentages, decimals, numbers with thousands, and points. Sums that the
text writes out are computed. Code and addresses are left out.
"""

import re
from pathlib import Path

from facts import sections, step_of, value_of

NUMBERS = Path(__file__).with_name("numbers.txt")
A_NUMBER = r"(?<![\w.,])[−-]?\d+(?:,\d{3})*(?:\.\d+)?(?![\d,]*\d)"
RESULT = (
    rf"(?:{A_NUMBER}(?=\s?%| points?\b))|(?<![\w.,−-])[−-]?\d+(?:,\d{{3}})+|(?<![\w.])[−-]?\d+\.\d+"
)
NO_TEXT = r"(?s)```.*?```|`[^`]*`|\]\([^)]*\)|<[^>]*>|https?://\S+"
SUM = rf"{A_NUMBER}(?: [×+−/·-] {A_NUMBER})+ = {A_NUMBER}"


def computed(terms):
    """Return the value of numbers with ×, /, + and − between them."""
    code = "".join(terms).translate(str.maketrans("×·−", "**-", ","))
    return eval(code, {"__builtins__": {}})


def pattern(words):
    """Return the regex of words with {} at a number, and … at any others; * is any result."""
    if words == "*":
        return f"({RESULT})"
    parts = re.escape(" ".join(words.split())).replace(r"\{\}", f"({A_NUMBER})").replace("…", ".*?")
    return parts.replace(r"\ ", r"\s+")


def bound(source, printed, shift=0):
    """Return the number that an expression in numbers.txt stands for.

    source: numbers and places, with blanks and ×, /, + or − between them. A place is a cell and
    what it prints, with {} at the number; where it prints that several times, the last counts.
    shift: added to what is printed and rounded, in units of its last place; counts are exact.
    """
    terms = re.split(r" ([×/+−]) ", source)
    for n, term in enumerate(terms):
        if place := re.fullmatch(r"([\w-]+): (.*)", term):
            cell_id, words = place.groups()
            if not (found := re.findall(f"(?s){pattern(words)}", printed[cell_id])):
                raise LookupError(f"{cell_id} does not print {words!r}")
            is_rounded = "." in found[-1] or "{}%" in words
            terms[n] = f"({value_of(found[-1]) + shift * step_of(found[-1]) * is_rounded})"
    return computed(terms)


def holds(claim, printed):
    """Return whether "a < b" is so, where both sides are expressions as in `bound`."""
    smaller, larger = (bound(side, printed) for side in claim.split(" < "))
    return smaller < larger


def mistakes_in(text, entries, printed):
    """Yield what is wrong with the numbers of a text; entries: (words, what they are bound to)."""
    at = set()  # where the numbers stand that are bound
    for line in re.finditer(SUM, text):
        *terms, _, result = re.split(r" ([×+−/·=-]) ", line[0])
        if abs(computed(terms) - value_of(result)) > 0.51 * step_of(result):
            yield f"{line[0]} is wrong"
        at.update(range(*line.span()))
    for words, source in entries:
        matches = [*re.finditer(pattern(words), text)]
        if not matches:
            yield f"has no longer the words {words!r}"
        if " < " in source:
            if not holds(source, printed):
                yield f"{words!r}, but not {source}"
            continue
        for match in matches:
            at.update(range(*match.span(1)))
            if not source.startswith("why: "):
                value = bound(source, printed)
                reach = abs(bound(source, printed, shift=0.5) - value)
                if abs(value - value_of(match[1])) > 0.501 * step_of(match[1]) + reach:
                    yield f"{match[0]!r}, but {source} is {value:.6g}"
    for match in re.finditer(RESULT, text):
        if match.start() not in at:
            around = " ".join(text[max(match.start() - 30, 0) : match.end() + 25].split())
            yield f"{match[0]} is bound to nothing: … {around} …"


def mistakes(texts, printed):
    """Return what is wrong with the numbers of texts, as lines.

    texts: {text id: source}; printed: {cell id: what it prints}.
    """
    table = sections(NUMBERS)
    anywhere = [entry.split(" ← ") for entry in table.pop("anywhere")]
    del table["claims"]
    wrong = [f"[{name}] is no text" for name in table if name not in texts]
    texts = {name: re.sub(NO_TEXT, " ", text) for name, text in texts.items()}
    for name, text in texts.items():
        entries = [entry.split(" ← ") for entry in table.get(name, [])]
        entries += [entry for entry in anywhere if re.search(pattern(entry[0]), text)]
        wrong += [f"[{name}] {mistake}" for mistake in mistakes_in(text, entries, printed)]
    everything = "\n".join(texts.values())
    nowhere = [words for words, _ in anywhere if not re.search(pattern(words), everything)]
    return wrong + [f"[anywhere] {words} is nowhere" for words in nowhere]
