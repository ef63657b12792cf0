"""Raw text to the plain form that words are cut from, and for each character of it, where it came from."""

from bertnp.tokenization.characters import character_tables


class Normalizer:
    """Four steps, each on or off as the checkpoint was trained:

    1. clean: drop control characters, make every kind of space a plain one;
    2. spaces around each CJK ideograph, so that each becomes a word (`chinese_characters`);
    3. canonical decomposition (NFD), then drop the accents (`strip_accents`; None: as `lowercase`);
    4. lower case, character by character (`lowercase`).

    `textbook` is just that. A call gives the same text quickly: as long as no mark changes its place in step 3,
    what a character becomes depends on nothing but itself, and str.translate with a growing table does all four.
    Devlin et al. 2019; the details are those of BertNormalizer in the Rust tokenizers package.
    """

    def __init__(self, lowercase=True, strip_accents=None, chinese_characters=True):
        self.characters = character_tables()
        self.lowercase = lowercase
        self.strip_accents = lowercase if strip_accents is None else strip_accents
        self.chinese_characters = chinese_characters
        self.table = _Table(self)

    def __call__(self, text):
        """Normalized text."""
        if self._moves_marks(text):
            return self.textbook(text)[0]
        return text.translate(self.table)

    def with_positions(self, text):
        """(normalized text, positions): normalized[i] came from text[positions[i]]."""
        if self._moves_marks(text):
            return self.textbook(text)
        normalized = text.translate(self.table)
        if len(normalized) == len(text) and text.isascii():  # one ASCII character becomes one or none
            return normalized, range(len(text))
        return normalized, [place for place, character in enumerate(text) for _ in self.table[ord(character)]]

    def textbook(self, text):
        """(normalized text, positions), the four steps one after the other."""
        classes = self.characters
        for place, character in enumerate(text):
            if "\ud800" <= character <= "\udfff":
                raise ValueError(f"text holds half a character (lone surrogate U+{ord(character):04X}) at {place}")
        pairs = [
            (" " if character in classes.space else character, place)
            for place, character in enumerate(text)
            if character not in classes.removed
        ]
        if self.chinese_characters:
            pairs = [
                (part, place)
                for character, place in pairs
                for part in (f" {character} " if character in classes.chinese else character)
            ]
        if self.strip_accents:
            pairs = [(part, place) for part, place in self._decompose(pairs) if part not in classes.accents]
        if self.lowercase:
            pairs = [(small, place) for character, place in pairs for small in classes.lower(character)]
        return "".join(character for character, _ in pairs), [place for _, place in pairs]

    def _decompose(self, pairs):
        """NFD. Marks are sorted, but places are handed out in the order of the text, as the Rust package does."""
        parts = [
            (part, number == 0)
            for character, _ in pairs
            for number, part in enumerate(self.characters.decompose(character))
        ]
        places = iter([place for _, place in pairs])
        place = 0
        for part, is_first in self._sort_marks(parts):
            if is_first:
                place = next(places)
            yield part, place

    def _sort_marks(self, parts):
        """Canonical order: each run of marks sorted by combining class, equal ones staying as they are."""
        run = []
        for part in parts:
            value = self.characters.combining_class(part[0])
            if value:
                run.append((value, part))
                continue
            yield from (mark for _, mark in sorted(run, key=lambda entry: entry[0]))
            run = []
            yield part
        yield from (mark for _, mark in sorted(run, key=lambda entry: entry[0]))

    def _moves_marks(self, text):
        return self.strip_accents and self.characters.without_lasting_marks.fullmatch(text) is None


class _Table(dict):
    """Code point -> what it becomes, worked out when first met."""

    def __init__(self, normalizer):
        self.normalizer = normalizer

    def __missing__(self, code):
        self[code] = self.normalizer.textbook(chr(code))[0]
        return self[code]
