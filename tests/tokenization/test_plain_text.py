"""The quick way through ASCII text gives what the long way gives."""

import gc
import random

import pytest
from samples import small_vocabulary

from bertnp.tokenization import AddedToken, BertTokenizer
from bertnp.tokenization.tokenizer import NOT_PLAIN

PIECES = ["fox", "Fox", "running", "un", "##want", "[MASK]", "[mask]", "[", "]", "don't", "a.b", "_", "x" * 120]


def texts():
    generator = random.Random(3)
    ascii_characters = list(map(chr, range(128)))
    yield from ("fox" + character + "Fox" for character in ascii_characters)
    for _ in range(2000):
        parts = generator.choices([*PIECES, "<new>", *ascii_characters, " ", " ", "\r\n"], k=generator.randint(0, 12))
        yield "".join(parts)


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("added", [None, AddedToken("<new>", lstrip=True), AddedToken("new", normalized=True)])
def test_the_quick_way_gives_what_the_long_way_gives(lower, added, monkeypatch):
    tokenizer = BertTokenizer(small_vocabulary(), do_lower_case=lower)
    if added:
        tokenizer.add_tokens([added])
    quick = {text: tokenizer.encode(text) for text in texts()}
    assert sum(not NOT_PLAIN.search(text) for text in quick) > 200
    monkeypatch.setattr("bertnp.tokenization.tokenizer.NOT_PLAIN", AnyText())
    for text, ids in quick.items():
        assert tokenizer.encode(text) == ids, ascii(text)


class AnyText:
    """In the place of NOT_PLAIN: no text is plain."""

    def search(self, text):
        return True


def test_garbage_collection_goes_on_after_a_batch_even_a_failed_one(monkeypatch):
    tokenizer = BertTokenizer(small_vocabulary())
    seen = []
    monkeypatch.setattr(tokenizer, "_ids", lambda *args: seen.append(gc.isenabled()) or [1])
    tokenizer(["fox", "fox"])
    assert seen == [False, False] and gc.isenabled()
    with pytest.raises(ValueError, match="no room for the 2 special tokens"):
        tokenizer(["fox"], truncation=True, max_length=1)
    assert gc.isenabled()
    gc.disable()
    try:
        tokenizer(["fox"])
        assert not gc.isenabled()
    finally:
        gc.enable()
