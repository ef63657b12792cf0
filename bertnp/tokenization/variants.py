"""Two older ways from text to words, kept for results that were made with them.

Both ask Python's unicodedata about characters, as the programs they follow do, so they vary with Python's version.
Neither knows offsets. `mode="fast"`, in normalization.py, is what today's checkpoints are used with.

google: the tokenization.py of google-research/bert, with which BERT was trained.
    Words up to 200 characters; unassigned and private characters are kept; special tokens in the raw text are ordinary
    text ("[MASK]" is three tokens); without lower-casing accents always stay.
legacy: BertTokenizerLegacy of transformers (its BertTokenizer until version 4).
    Words up to 100 characters; every category C character is dropped; the text is composed (NFC) before it is split;
    added tokens are found in the raw text.
"""

import unicodedata

LONGEST_WORD = {"fast": 100, "google": 200, "legacy": 100}

CHINESE = (  # CJK ideographs, with the block that fast mode begins 256 characters too late
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


def basic_words(text, mode, lowercase, strip_accents, chinese_characters):
    """The words of `text` as BasicTokenizer finds them: clean, split at spaces, lower, split off punctuation."""
    dropped = ("Cc", "Cf") if mode == "google" else ("Cc", "Cf", "Cn", "Co", "Cs")
    text = "".join(_cleaned(character, dropped) for character in text)
    if chinese_characters:
        text = "".join(f" {character} " if _is_chinese(character) else character for character in text)
    if mode == "legacy":
        text = unicodedata.normalize("NFC", text)
    words = []
    for word in text.split():
        if lowercase:
            word = word.lower()
        if lowercase if strip_accents is None or mode == "google" else strip_accents:
            word = "".join(part for part in unicodedata.normalize("NFD", word) if unicodedata.category(part) != "Mn")
        words.append("".join(f" {character} " if _is_punctuation(character) else character for character in word))
    return " ".join(words).split()


def _cleaned(character, dropped):
    if character in " \t\n\r" or unicodedata.category(character) == "Zs":
        return " "
    return "" if character == "\ufffd" or unicodedata.category(character) in dropped else character


def _is_chinese(character):
    return any(first <= ord(character) <= last for first, last in CHINESE)


def _is_punctuation(character):
    symbol = character.isascii() and character.isprintable() and not character.isalnum() and character != " "
    return symbol or unicodedata.category(character).startswith("P")
