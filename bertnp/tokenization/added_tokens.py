"""Tokens that are found in the raw text before it is cut into words: [MASK], and whatever the user adds."""

import re
from dataclasses import asdict, dataclass, replace

from bertnp.tokenization.characters import character_tables

WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
SPACES = re.compile(f"[{WHITE_SPACE}]*")


@dataclass(frozen=True)
class AddedToken:
    """A token to be found in the text as it stands.

    single_word: not inside a longer word. lstrip, rstrip: take the white space on that side along.
    normalized: look for its normalized form in the normalized text, else for itself in the raw text (None: normalized
    unless special). special: `decode(skip_special_tokens=True)` leaves it out.
    """

    content: str
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool | None = None
    special: bool = False

    def __post_init__(self):
        if not isinstance(self.content, str):
            raise TypeError(f"an added token must be text, not {type(self.content).__name__}: {self.content!r}")

    def __str__(self):
        return self.content

    def settled(self, special):
        """A copy with `special` set, and `normalized` decided."""
        return replace(self, special=special, normalized=not special if self.normalized is None else self.normalized)


class AddedTokens:
    """The added tokens over a base vocabulary (token -> id), and where they are in a text.

    The longest token at the leftmost place wins. Tokens that the vocabulary has keep their id, others are
    numbered from its highest id on.
    """

    def __init__(self, vocabulary, normalizer):
        self.vocabulary = vocabulary
        self.normalizer = normalizer
        self.ids = {}  # content -> id
        self.by_id = {}  # id -> AddedToken, the one last added
        self.special = set()
        self._normalized_contents = {}  # id -> normalized content
        self._next_id = max(vocabulary.values()) + 1
        self._raw = self._normalized = _Finder({})

    def add(self, tokens):
        """Add AddedTokens (settled); return how many of them said anything new."""
        new = 0
        for token in tokens:
            if not token.content or self.by_id.get(self.ids.get(token.content)) == token:
                continue
            new += 1
            if token.special:
                self.special.add(token.content)
            identity = self.ids.get(token.content, self.vocabulary.get(token.content))
            if identity is None:
                identity = self._next_id
            self._next_id = max(self._next_id, identity + 1)
            self.ids[token.content] = identity
            self.by_id[identity] = token
            if token.normalized:
                self._normalized_contents[identity] = self.normalizer(token.content)
        raw = {token.content: identity for identity, token in self.by_id.items() if not token.normalized}
        normalized = [identity for identity, token in self.by_id.items() if token.normalized]
        self._raw = _Finder(raw)
        self._normalized = _Finder({self._normalized_contents[identity]: identity for identity in normalized})
        return new

    def token(self, identity):
        """The added token with this id as text, in its normalized form if it has one; None if there is none."""
        if identity in self._normalized_contents:
            return self._normalized_contents[identity]
        return self.by_id[identity].content if identity in self.by_id else None

    def may_be_in(self, text):
        """Whether `split` might find any; where they are looked for in the normalized text, they may be."""
        return bool(self._normalized.ids) or bool(self._raw.ids) and self._raw.pattern.search(text) is not None

    def split(self, text, normalized=False, skip_special=False):
        """Cut `text` at the added tokens: yield (id, start, stop), with id None for the stretches between them."""
        finder = self._normalized if normalized else self._raw
        done = 0
        for match in finder.pattern.finditer(text) if finder.ids else ():
            start, stop = match.span()
            identity = finder.ids[match.group()]
            token = self.by_id[identity]
            if skip_special and token.content in self.special:
                continue
            if token.single_word and (_is_word(text[start - 1 : start]) or _is_word(text[stop : stop + 1])):
                continue
            if token.lstrip:
                start = done + len(text[done:start].rstrip(WHITE_SPACE))
            if token.rstrip:
                stop = SPACES.match(text, stop).end()
            if done < start:
                yield None, done, start
            yield identity, start, stop
            done = stop
        if done < len(text):
            yield None, done, len(text)

    def as_json(self):
        """The list that tokenizer.json keeps."""
        return [{"id": identity, **asdict(token)} for identity, token in sorted(self.by_id.items())]


class _Finder:
    """A pattern that finds the longest of some strings at the leftmost place, and the id of each."""

    def __init__(self, ids):
        self.ids = {string: identity for string, identity in ids.items() if string}
        self.pattern = re.compile("|".join(map(re.escape, sorted(self.ids, key=len, reverse=True))))


def _is_word(character):
    return bool(character) and character in character_tables().word
