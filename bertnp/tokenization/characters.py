"""What kind of character is this? The answers are frozen in characters.json.

Python's own unicodedata changes with each version (3.11 has Unicode 14, 3.13 has 15.1), so the same text could get
other tokens on another machine. A checkpoint was trained with one set of answers: those of the Rust tokenizers package
(categories of Unicode 8, canonical order of Unicode 9), which are written down in characters.json.
"""

import functools
import json
import re
import sys
from bisect import bisect_right
from pathlib import Path

# Hangul syllables decompose by arithmetic, not by table (The Unicode Standard, section 3.12).
HANGUL_SYLLABLES, LEADING, VOWELS, TRAILING = 0xAC00, 0x1100, 0x1161, 0x11A7
VOWEL_COUNT, TRAILING_COUNT, SYLLABLE_COUNT = 21, 28, 11172


class Ranges:
    """A set of characters, written as ranges of hexadecimal code points: "41-5A 61-7A"."""

    def __init__(self, text):
        bounds = [(part.split("-")[0], part.split("-")[-1]) for part in text.split()]
        self.firsts = [int(first, 16) for first, _ in bounds]
        self.lasts = [int(last, 16) for _, last in bounds]

    def __contains__(self, character):
        place = bisect_right(self.firsts, ord(character)) - 1
        return place >= 0 and ord(character) <= self.lasts[place]

    def __iter__(self):
        return zip(self.firsts, self.lasts, strict=True)

    def pattern(self):
        """The same set inside the brackets of a regular expression."""
        return "".join(f"\\U{first:08X}-\\U{last:08X}" for first, last in self)


class CharacterTables:
    """removed, space, punctuation, chinese, accents, word: Ranges; decompose, lower, combining_class: functions."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            table = json.load(file)
        self.removed = Ranges(table["removed"])  # control, format and private characters, U+FFFD
        self.space = Ranges(table["space"])
        self.punctuation = Ranges(table["punctuation"])  # category P, and the ASCII symbols
        self.chinese = Ranges(table["chinese"])  # CJK ideographs; not kana, not Hangul
        self.accents = Ranges(table["accents"])  # category Mn, nonspacing marks
        self.word = Ranges(table["word"])  # what \w matches
        self._combining_class = {
            chr(code): int(value)
            for value, text in table["combining_classes"].items()
            for first, last in Ranges(text)
            for code in range(first, last + 1)
        }
        self._decompositions = _text_by_character(table["decompositions"])
        self._lower = _text_by_character(table["lower_several"])
        for run in table["lower_runs"].split():
            first, last, step, offset = re.fullmatch(r"(\w+)-(\w+)/(\d+):(-?\d+)", run).groups()
            for code in range(int(first, 16), int(last, 16) + 1, int(step)):
                self._lower[chr(code)] = chr(code + int(offset))

        # A word is a run without spaces and punctuation; each punctuation character stands alone.
        punctuation = [code for first, last in self.punctuation for code in range(first, last + 1)]
        self.words = re.compile(f"[{_all_but([ord(' '), *punctuation])}]+|[{self.punctuation.pattern()}]")
        # Marks that canonical order may move and that are no accents, so that their place shows in the end.
        lasting = [mark for mark in self._combining_class if mark not in self.accents]
        lasting += [whole for whole, parts in self._decompositions.items() if not set(parts).isdisjoint(lasting)]
        self.without_lasting_marks = re.compile(f"[{_all_but(map(ord, lasting))}]*")

    def lower(self, character):
        """Lower case of one character without regard to its neighbours: Σ is always σ, İ is two characters."""
        return self._lower.get(character, character)

    def decompose(self, character):
        """Full canonical decomposition of one character: é -> e and U+0301."""
        syllable = ord(character) - HANGUL_SYLLABLES
        if 0 <= syllable < SYLLABLE_COUNT:
            leading, rest = divmod(syllable, VOWEL_COUNT * TRAILING_COUNT)
            vowel, trailing = divmod(rest, TRAILING_COUNT)
            parts = chr(LEADING + leading) + chr(VOWELS + vowel)
            return parts + chr(TRAILING + trailing) if trailing else parts
        return self._decompositions.get(character, character)

    def combining_class(self, character):
        """0 for a character that stands by itself; marks with larger numbers come after those with smaller ones."""
        return self._combining_class.get(character, 0)


def _text_by_character(table):
    def text(codes):
        return "".join(chr(int(code, 16)) for code in codes.split())

    return {text(character): text(becomes) for character, becomes in table.items()}


def _all_but(codes):
    """All characters but these, for the brackets of a regular expression.

    Finding the usual among these is much quicker than finding it missing among the others: re looks characters up to
    U+FFFF up in a table, but asks after that for each range beyond.
    """
    bounds = sorted({-1, *codes, sys.maxunicode + 1})
    gaps = [(before + 1, after - 1) for before, after in zip(bounds, bounds[1:], strict=False) if after > before + 1]
    return "".join(f"\\U{first:08X}-\\U{last:08X}" for first, last in gaps)


@functools.cache
def character_tables():
    """The tables, read once."""
    return CharacterTables(Path(__file__).with_name("characters.json"))
