"""The frozen character tables, and the quick normalizer against the textbook one."""

import random
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import TRICKY, random_text

from bertnp.tokenization.characters import character_tables
from bertnp.tokenization.normalization import Normalizer

CHARACTERS = [chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]
NORMALIZERS = [
    Normalizer(lowercase, strip_accents, chinese)
    for lowercase in (True, False)
    for strip_accents in (None, True, False)
    for chinese in (True, False)
]


def both_ways(normalizer, text):
    normalized, positions = normalizer.with_positions(text)
    return (normalized, list(positions)), normalizer.textbook(text)


def test_known_characters():
    table = character_tables()
    assert "\x0b" in table.removed and "\u0378" not in table.removed  # a control; an unassigned character
    assert "\u3000" in table.space and "\u200b" not in table.space
    assert "$" in table.punctuation and "。" in table.punctuation and "\u20ac" not in table.punctuation
    assert "\U0002b920" in table.chinese and "\U0002b820" not in table.chinese and "か" not in table.chinese
    assert "\u0301" in table.accents and "\u302e" not in table.accents
    assert table.lower("Σ") == "σ" and table.lower("İ") == "i\u0307" and table.lower("1") == "1"
    assert table.decompose("각") == "\u1100\u1161\u11a8" and table.decompose("가") == "\u1100\u1161"
    assert table.decompose("힣") == "\u1112\u1175\u11c2"
    assert table.decompose("ǖ") == "u\u0308\u0304"
    assert table.combining_class("\u0301") == 230 and table.combining_class("a") == 0


def test_tables_are_not_pythons():
    """U+1C89 (Unicode 16) has a lower case, U+0898 (Unicode 14) is no mark: neither answer is Python 3.11's."""
    assert character_tables().lower("\u1c89") == "\u1c8a"
    assert character_tables().combining_class("\u0898") == 0
    for module in ("characters", "normalization", "added_tokens", "wordpiece"):
        with open(sys.modules["bertnp.tokenization." + module].__file__, encoding="utf-8") as file:
            assert "import unicodedata" not in file.read()


def test_example():
    text = "Ça \x00vá 中"
    assert Normalizer().with_positions(text) == ("ca va  中 ", [0, 1, 2, 4, 5, 6, 7, 7, 7])
    assert Normalizer(lowercase=False).with_positions("Ça\x00中")[0] == "Ça 中 "
    assert Normalizer(lowercase=False, strip_accents=True)("Ça") == "Ca"
    assert Normalizer(chinese_characters=False)("a中b") == "a中b"


def test_lone_surrogate():
    with pytest.raises(ValueError, match=r"U\+D83D"):
        Normalizer()("half \ud83d")
    with pytest.raises(ValueError, match=r"U\+D83D"):
        Normalizer()("\u302e \ud83d")


def test_quick_is_textbook():
    generator = random.Random(0)
    for text in TRICKY + [random_text(generator) for _ in range(500)]:
        for normalizer in NORMALIZERS:
            quick, textbook = both_ways(normalizer, text)
            assert quick == textbook, text
            assert normalizer(text) == textbook[0], text


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_quick_is_textbook_everywhere(text):
    for normalizer in NORMALIZERS[:1] + NORMALIZERS[-2:]:
        quick, textbook = both_ways(normalizer, text)
        assert quick == textbook
        assert normalizer(text) == textbook[0]


ASSIGNED = [c for c in CHARACTERS if c < "\U00033480" or "\U000e0000" <= c < "\U000e0200"]


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("lowercase", "strip_accents", "characters"),
    [(True, None, CHARACTERS), (False, None, CHARACTERS), (True, False, ASSIGNED), (False, True, ASSIGNED)],
    ids=["uncased", "cased", "accents kept", "case kept"],
)
def test_every_character(lowercase, strip_accents, characters):
    """Uncased and cased, all 1,112,064 characters one by one; the mixed settings, all that Unicode has assigned."""
    normalizers = pytest.importorskip("tokenizers.normalizers")
    theirs = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=strip_accents)
    ours = Normalizer(lowercase, strip_accents)
    for start in range(0, len(characters), 4096):
        text = "|".join(characters[start : start + 4096])  # "|" keeps marks from meeting
        if ours(text) != theirs.normalize_str(text):
            wrong = [c for c in characters[start : start + 4096] if ours(c) != theirs.normalize_str(c)]
            pytest.fail(f"{len(wrong)} characters differ, first U+{ord(wrong[0]):04X}")


@pytest.mark.oracle
def test_every_character_splits_words():
    pre_tokenizers = pytest.importorskip("tokenizers.pre_tokenizers")
    theirs, table = pre_tokenizers.BertPreTokenizer(), character_tables()
    words = table.words
    # Those that cleaning removes or makes a plain space never get this far.
    cleaned = [character for character in CHARACTERS if character not in table.removed and character not in table.space]
    for start in range(0, len(cleaned), 4096):
        text = " ".join(f"a{character}a" for character in cleaned[start : start + 4096])
        assert words.findall(text) == [word for word, _ in theirs.pre_tokenize_str(text)], hex(start)


@pytest.mark.oracle
def test_every_mark_is_sorted():
    """Each character with a combining class, before and after marks of low, middle and high class."""
    nfd = pytest.importorskip("tokenizers.normalizers").NFD()
    table = character_tables()
    normalizer = Normalizer(lowercase=False, strip_accents=True)
    young = [chr(code) for first, last in ((0x300, 0x1AFF), (0x1DC0, 0x20FF), (0xA800, 0xABFF), (0x10000, 0x1F000))
             for code in range(first, last)]  # fmt: skip
    marks = [c for c in young if table.decompose(c) == c and (table.combining_class(c) or c in table.accents)]
    marks += ["\u302e", "\u302f", "\u0898", "\u1dfa", "\U00016ff0", "\U0001e2ae", "\ufe20"]
    assert len(marks) > 1000
    for mark in marks:
        for neighbour in "\u0334\u093c\u05b0\u0316\u0301\u0345\u302e":
            for text in ("a" + mark + neighbour, "a" + neighbour + mark):
                parts = normalizer._decompose([(character, place) for place, character in enumerate(text)])
                assert "".join(part for part, _ in parts) == nfd.normalize_str(text), ascii(text)


