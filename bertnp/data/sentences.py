"""Running text to sentences."""

import re

# A sentence may end at a run of these ...
ENDS = re.compile(r"[.!?…。！？｡।॥؟۔።]+")
WIDE_ENDS = frozenset("。！？｡")  # ... and after these without a space
# with quotes and brackets that close directly behind it,
CLOSING = re.compile(r"""["'”’»)\]}」』）】》〉]*""")
# if what follows the space begins like a sentence, perhaps with an opening quote or bracket.
SPACE = re.compile(r"\s*")
OPENING = re.compile(r"""(?:["'“‘«„(\[{¿¡—–-]+ ?)*""")
QUOTES = frozenset("\"'“‘«„")
SYMBOLS = frozenset("<$£€#@")

TITLES = frozenset(
    "Mr Mrs Ms Messrs Mme Mlle Dr Drs St Ste Prof Rev Revd Hon Capt Col Gen Lt Lieut Sgt Sergt Maj Cmdr Adm Gov Sen "
    "Rep Pres Supt Insp Mt Ft".split()
)
WITHIN_SENTENCES = frozenset("al approx ca cf eg esp ie viz vs".split())
BEFORE_NUMBERS = frozenset(
    "no nos vol vols pp pg fig figs ch chap sec art eq jan feb mar apr jun jul aug sep sept oct nov dec".split()
)
WORD = re.compile(r"[^\W_]+$")
LONGEST_ABBREVIATION = 12


def split_sentences(text):
    """The sentences of a paragraph, stripped; a stretch without a single letter or digit is left out.

    A sentence ends

    * after . ! ? … or a run of them, and the quotes and brackets that close there, if a space follows and then a
      capital, a letter of a script without capitals, a digit, an opening quote, or a sign such as $; but not after one
      full stop that ends a title or abbreviation (Mr. Dr. cf.), an initial (J. Smith, U.S.), or an abbreviation such
      as No. before a number;
    * after 。！？ and what closes there, with or without a space.

    So 3.14 and "Stop!" she said stay whole. What the rule gets wrong: "Stop!" Alice said is cut, and a sentence that
    ends in an initial or in p. goes on. It takes time proportional to the text's length, whatever the text.
    """
    sentences = []
    start = 0
    quotes, counted = 0, 0  # straight double quotes in text[start:counted]
    for match in ENDS.finditer(text):
        end = CLOSING.match(text, match.end()).end()
        if WIDE_ENDS.isdisjoint(match.group()):
            if end == len(text) or not text[end].isspace():
                continue
            if text[end + 1 : end + 2] in ('"', ")") and text[end + 2 : end + 3] in ("", " "):
                # Text whose tokens stand apart: this quote closes if another was opened before it.
                quotes, counted = quotes + text.count('"', counted, end), end
                if text[end + 1] == ")" or quotes % 2:
                    end += 2
            following = SPACE.match(text, end).end()
            if not _begins_sentence(text, following) or _is_abbreviation(text, match, following):
                continue
        sentences.append(text[start:end])
        start = counted = end
        quotes = 0
    sentences.append(text[start:])
    return [sentence.strip() for sentence in sentences if any(map(str.isalnum, sentence))]


def _begins_sentence(text, place):
    """Whether a sentence may begin at this place."""
    first = OPENING.match(text, place).end()
    if first == len(text):
        return False
    character = text[first]
    if first > place and text[first - 1] in QUOTES:
        return not character.isspace()
    return character in SYMBOLS or (character.isalnum() and not character.islower())


def _is_abbreviation(text, match, following):
    """Whether the end found is the full stop of an abbreviation that the sentence goes on after."""
    if match.group() != ".":
        return False
    place = match.start()
    found = WORD.search(text[max(0, place - LONGEST_ABBREVIATION) : place])
    if found is None:
        return False
    word = found.group()
    if len(word) == 1 and word.isalpha():
        before = text[max(0, place - 3) : place - 1]
        if before.endswith("&") or (before.endswith(("'", "’")) and before[0].isalpha()):
            return False  # &c. and James's.
        if word == "I":  # the pronoun, unless another initial stands before it
            return before.endswith(".") or before.endswith(". ")
        return not (word in "mM" and before in ("a.", "p.", "A.", "P."))  # at 4 p.m.
    if word in TITLES or (word.isupper() and word.capitalize() in TITLES):
        return True
    word = word.lower()
    return word in WITHIN_SENTENCES or (word in BEFORE_NUMBERS and text[following].isdigit())
