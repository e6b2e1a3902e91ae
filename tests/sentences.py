"""Binds the numbers in the notebook's text to what its cells print, by numbers.txt.

Results are bound: percentages, decimals, numbers with thousands, and points. Sums that the
text writes out are computed. Code and addresses are left out.
"""

import re
from pathlib import Path

from facts import sections, step_of, value_of

NUMBERS = Path(__file__).with_name("numbers.txt")
PLAIN = r"(?<![\w.,])[−-]?\d+(?:,\d{3})*(?:\.\d+)?(?![\d,]*\d)"
RESULT = (
    rf"(?:{PLAIN}(?=\s?%| points?\b))|(?<![\w.,−-])[−-]?\d+(?:,\d{{3}})+|(?<![\w.])[−-]?\d+\.\d+"
)
NO_TEXT = r"(?s)```.*?```|`[^`]*`|\]\([^)]*\)|<[^>]*>|https?://\S+"
SUM = rf"{PLAIN}(?: [×+−/·-] {PLAIN})+ = {PLAIN}"
ANYWHERE, CLAIMS = "anywhere", "claims"
ALL, WHY = "*", "why: "


def number_of(text):
    return value_of(text.replace("−", "-"))


def computed(terms):
    """Return the value of numbers with ×, /, + and − between them."""
    code = "".join(terms).replace("×", "*").replace("·", "*").replace("−", "-").replace(",", "")
    return eval(code, {"__builtins__": {}})


def pattern(words):
    """Return the regex of words with {} at a number, and … at any others."""
    parts = re.escape(" ".join(words.split())).replace(r"\{\}", f"({PLAIN})").replace("…", ".*?")
    return parts.replace(r"\ ", r"\s+")


def bound(source, printed):
    """Return the number that an expression in numbers.txt stands for, and how far it may be off.

    Counts are exact, other numbers are rounded where they are printed.

    source: numbers and places, with blanks and ×, /, + or − between them. A place is a cell and
    what it prints, with {} at the number; where it prints that several times, the last counts.
    """
    terms, shifted = [], []
    for term in re.split(r" ([×/+−]) ", source):
        new = shift = f"({term.replace(',', '')})" if re.fullmatch(PLAIN, term) else term
        if place := re.fullmatch(r"([\w-]+): (.*)", term):
            cell_id, words = place.groups()
            if not (found := re.findall(f"(?s){pattern(words)}", printed[cell_id])):
                raise LookupError(f"{cell_id} does not print {words!r}")
            number, is_count = number_of(found[-1]), "." not in found[-1] and "{}%" not in words
            new, shift = f"({number})", f"({number + 0.5 * step_of(found[-1]) * (not is_count)})"
        terms.append(new)
        shifted.append(shift)
    return computed(terms), abs(computed(shifted) - computed(terms))


def holds(claim, printed):
    """Return whether "a < b" is so, where both sides are expressions as in `bound`."""
    smaller, larger = (bound(side, printed)[0] for side in claim.split(" < "))
    return smaller < larger


def mistakes(texts, printed):
    """Return what is wrong with the numbers of texts, as lines.

    texts: {text id: source}; printed: {cell id: what it prints}.
    """
    table, wrong = sections(NUMBERS), []
    anywhere = table.pop(ANYWHERE, [])
    table.pop(CLAIMS, None)
    wrong += [f"[{name}] is no text" for name in table if name not in texts]
    used = dict.fromkeys(anywhere, False)
    for name, text in texts.items():
        text = re.sub(NO_TEXT, " ", text)
        free = list(text)  # the characters that are bound to nothing

        def bind(match, group, free=free):
            free[match.start(group) : match.end(group)] = " " * len(match[group])

        for line in re.finditer(SUM, text):
            *terms, result = re.split(r" ([×+−/·=-]) ", line[0])
            if abs(computed(terms[:-1]) - number_of(result)) > 0.51 * step_of(result):
                wrong.append(f"[{name}] {line[0]} is wrong")
            bind(line, 0)
        for entry in [*table.get(name, []), *anywhere]:
            words, source = entry.split(" ← ")
            matches = list(re.finditer(RESULT if words == ALL else pattern(words), text))
            if entry in used:
                used[entry] |= bool(matches)
            if not matches and entry not in anywhere:
                wrong.append(f"[{name}] has no longer the words {words!r}")
            if " < " in source:
                if not holds(source, printed):
                    wrong.append(f"[{name}] {words!r}, but not {source}")
                continue
            for match in matches:
                bind(match, 0 if words == ALL else 1)
                if source.startswith(WHY):
                    continue
                value, reach = bound(source, printed)
                if abs(value - number_of(match[1])) > 0.501 * step_of(match[1]) + reach:
                    wrong.append(f"[{name}] {match[0]!r}, but {source} is {value:.6g}")
        for match in re.finditer(RESULT, "".join(free)):
            around = " ".join(text[max(match.start() - 30, 0) : match.end() + 25].split())
            wrong.append(f"[{name}] {match[0]} is bound to nothing: … {around} …")
    return wrong + [
        f"[{ANYWHERE}] {entry} is nowhere" for entry, is_used in used.items() if not is_used
    ]


def claims():
    """Return the lines of numbers.txt that say which number is smaller than which."""
    return sections(NUMBERS).get(CLAIMS, [])
