"""Words to word pieces."""

import random

import pytest

from bertnp.tokenization.wordpiece import WordPiece

PIECES = ["[UNK]", "un", "##aff", "##able", "##a", "unaffordable"]


def wordpiece(**settings):
    return WordPiece({token: identity for identity, token in enumerate(PIECES)}, **settings)


def test_example():
    pieces = wordpiece()("unaffable")
    assert pieces.tokens == ("un", "##aff", "##able")
    assert pieces.ids == (1, 2, 3)
    assert pieces.ends == (2, 5, 9)


@pytest.mark.parametrize(("word", "tokens"), [
    ("unaffordable", ["unaffordable"]),  # the longest piece of all
    ("unaffordablea", ["unaffordable", "##a"]),
    ("unaaa", ["un", "##a", "##a", "##a"]),
    ("unx", ["[UNK]"]),  # one unknown stretch, and the whole word is unknown
    ("able", ["[UNK]"]),  # known as a continuation only
])  # fmt: skip
def test_cut(word, tokens):
    assert list(wordpiece()(word).tokens) == tokens


def test_longest_word():
    assert len(wordpiece(longest_word=10)("unaaaaaaaa").tokens) == 9
    assert wordpiece(longest_word=10)("unaaaaaaaaa").tokens == ("[UNK]",)
    assert wordpiece(longest_word=10)("unaaaaaaaaa").ends == (11,)


def test_greedy_not_best():
    """The longest first piece wins even where it leads nowhere."""
    vocabulary = {"[UNK]": 0, "ab": 1, "abc": 2, "##cd": 3}
    assert WordPiece(vocabulary)("abcd").tokens == ("[UNK]",)


@pytest.mark.oracle
def test_agrees_with_tokenizers():
    models = pytest.importorskip("tokenizers.models")
    generator = random.Random(2)
    for _ in range(50):
        pieces = {"".join(generator.choices("abé", k=generator.randint(1, 4))) for _ in range(8)}
        tokens = ["[UNK]", *sorted(pieces), *("##" + piece for piece in sorted(pieces) if generator.random() < 0.7)]
        vocabulary = {token: identity for identity, token in enumerate(tokens)}
        ours, theirs = WordPiece(vocabulary), models.WordPiece(vocabulary, unk_token="[UNK]")
        for _ in range(100):
            word = "".join(generator.choices("abéx", weights=[5, 5, 5, 1], k=generator.randint(1, 12)))
            assert list(ours(word).tokens) == [token.value for token in theirs.tokenize(word)], word
