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

    The longest token at the leftmost place wins. Tokens that the vocabulary has keep their id, others are appended.
    """

    def __init__(self, vocabulary, normalizer):
        self.vocabulary = vocabulary
        self.normalizer = normalizer
        self.ids = {}  # content -> id
        self.by_id = {}  # id -> AddedToken, the one last added
        self.special = set()
        self._next_id = len(vocabulary)
        self._to_find = []  # each token as it was first added: that decides whether it is found raw or normalized
        self._raw = self._normalized = (None, {})

    def add(self, tokens):
        """Add AddedTokens (settled); return how many of them said anything new."""
        new = 0
        for token in tokens:
            if not token.content or self.by_id.get(self.ids.get(token.content)) == token:
                continue
            new += 1
            if token.special and token.content not in self.special:
                self.special.add(token.content)
                self._to_find.append(token)
            elif token.content not in self.special:
                self._to_find.append(token)
            identity = self.ids.get(token.content, self.vocabulary.get(token.content))
            if identity is None:
                identity = self._next_id
            self._next_id = max(self._next_id, identity + 1)
            self.ids[token.content] = identity
            self.by_id[identity] = token
        # Where one content was added twice, the special one counts, and among equals the first.
        ordered = sorted(self._to_find, key=lambda token: not token.special)
        self._raw = self._finder((token.content, token.content) for token in ordered if not token.normalized)
        self._normalized = self._finder(
            (self.normalizer(token.content), token.content) for token in ordered if token.normalized
        )
        return new

    @property
    def any_normalized(self):
        return self._normalized[0] is not None

    def split(self, text, normalized=False, skip_special=False):
        """Cut `text` at the added tokens: yield (id, start, stop), with id None for the stretches between them."""
        pattern, ids = self._normalized if normalized else self._raw
        done = 0
        for match in pattern.finditer(text) if pattern else ():
            start, stop = match.span()
            identity = ids[match.group()]
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

    def _finder(self, patterns):
        ids = {}
        for pattern, content in patterns:
            if pattern:
                ids.setdefault(pattern, self.ids[content])
        longest_first = sorted(ids, key=len, reverse=True)
        return (re.compile("|".join(map(re.escape, longest_first))) if ids else None), ids


def _is_word(character):
    return bool(character) and character in character_tables().word
