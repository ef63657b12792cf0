"""Write bertnp/tokenization/characters.json anew by asking the installed tokenizers package about every character.

Run: python tests/tokenization/make_character_tables.py [TARGET]
"""

import json
import sys
import unicodedata
from pathlib import Path

from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import NFD, BertNormalizer, Lowercase
from tokenizers.pre_tokenizers import BertPreTokenizer

TARGET = Path(__file__).parents[2] / "bertnp" / "tokenization" / "characters.json"
CHARACTERS = [chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]
HANGUL = range(0xAC00, 0xD7A4)


def ranges(characters):
    """["a", "b", "c", "x"] -> "61-63 78"."""
    runs = []
    for code in sorted(map(ord, characters)):
        if runs and code == runs[-1][1] + 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    return " ".join(f"{first:X}" if first == last else f"{first:X}-{last:X}" for first, last in runs)


def codes(text):
    return " ".join(f"{ord(character):X}" for character in text)


def normalizer(**steps):
    return BertNormalizer(
        **({"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False} | steps)
    ).normalize_str


def combining_classes():
    """Canonical combining classes, from the order in which the package sorts a character and a known neighbour."""
    known = {}
    for character in CHARACTERS:  # marks old enough for every version, one for each class
        value = unicodedata.combining(character)
        old = unicodedata.ucd_3_2_0.combining(character) == value
        if value and old and NFD().normalize_str(character) == character:
            known.setdefault(value, character)
    nfd = NFD().normalize_str
    highest, lowest = known[max(known)], known[min(known)]
    classes = {}
    for character in CHARACTERS:
        if nfd(character) != character:
            continue
        after_lowest = nfd("a" + character + lowest) != "a" + character + lowest  # it has a class above the lowest
        before_highest = nfd("a" + highest + character) != "a" + highest + character  # ... below the highest
        if not (after_lowest or before_highest or character in (highest, lowest)):
            continue
        value = unicodedata.combining(character)  # asks Python which class, and the package whether it agrees
        for neighbour_value, neighbour in known.items():
            swapped = nfd("a" + neighbour + character) == "a" + character + neighbour
            assert neighbour == character or swapped == (value < neighbour_value), f"U+{ord(character):04X}"
        classes.setdefault(value, []).append(character)
    return {value: ranges(members) for value, members in sorted(classes.items())}


def lower_case():
    """Runs "first-last/step:offset" of characters whose lower case is one character, and the others one by one."""
    lower = {character: Lowercase().normalize_str(character) for character in CHARACTERS}
    single = {ord(c): ord(small) - ord(c) for c, small in lower.items() if small != c and len(small) == 1}
    runs = []
    for code, offset in single.items():
        if runs and runs[-1][3] == offset and code - runs[-1][1] in ({1, 2} if runs[-1][2] is None else {runs[-1][2]}):
            runs[-1][1:3] = code, code - runs[-1][1]
        else:
            runs.append([code, code, None, offset])
    several = {codes(c): codes(small) for c, small in lower.items() if len(small) > 1}
    return " ".join(f"{first:X}-{last:X}/{step or 1}:{offset}" for first, last, step, offset in runs), several


def word_characters():
    tokenizer = Tokenizer(WordPiece({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.add_tokens([AddedToken("<x>", single_word=True, normalized=False)])
    answers = tokenizer.encode_batch_fast([character + "<x>" for character in CHARACTERS])
    return [character for character, answer in zip(CHARACTERS, answers, strict=True) if 1 not in answer.ids]


def tables():
    clean, chinese = normalizer(clean_text=True), normalizer(handle_chinese_chars=True)
    strip, nfd, split = normalizer(strip_accents=True), NFD().normalize_str, BertPreTokenizer().pre_tokenize_str
    lower_runs, lower_several = lower_case()
    return {
        "note": "Character classes of the Rust tokenizers package 0.23 (see make_character_tables.py).",
        "removed": ranges(c for c in CHARACTERS if clean(c) == ""),
        "space": ranges(c for c in CHARACTERS if clean(c) == " "),
        "punctuation": ranges(c for c in CHARACTERS if [piece for piece, _ in split(f"a{c}a")] == ["a", c, "a"]),
        "chinese": ranges(c for c in CHARACTERS if chinese(c) == f" {c} "),
        "accents": ranges(c for c in CHARACTERS if strip(c) == "" and nfd(c) == c),
        "word": ranges(word_characters()),
        "combining_classes": combining_classes(),
        "lower_runs": lower_runs,
        "lower_several": lower_several,
        "decompositions": {
            codes(c): codes(nfd(c)) for c in CHARACTERS if nfd(c) != c and ord(c) not in HANGUL
        },
    }


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    with open(target, "w", encoding="utf-8", newline="\n") as file:
        json.dump(tables(), file, indent=0)
        file.write("\n")
