from collections import Counter

import numpy as np
import pytest
from tiny_model import toy_sentences

from bertnp.data import LabelledTexts
from bertnp.data.augmentation import augmented, drop_words, replace_words, swap_words

WORDS = "one two three four five six seven eight nine ten".split()


def rngs(n):
    return [np.random.default_rng([7, i]) for i in range(n)]


def test_words_are_dropped_with_their_probability():
    kept = [drop_words(WORDS, 0.3, rng) for rng in rngs(500)]
    assert np.mean([len(words) for words in kept]) == pytest.approx(7, abs=0.3)
    assert all(words == [word for word in WORDS if word in words] for words in kept)
    assert all(len(drop_words(["a", "b"], 0.99, rng)) == 1 for rng in rngs(50))


def test_words_change_places():
    swapped = [swap_words(WORDS, 0.2, rng) for rng in rngs(500)]
    assert all(sorted(words) == sorted(WORDS) for words in swapped)
    moved = [sum(a != b for a, b in zip(words, WORDS, strict=True)) for words in swapped]
    assert 2.5 < np.mean(moved) < 4 and min(moved) == 0 and 1 not in moved  # two exchanges move up to four words
    assert swap_words(["a"], 0.9, rngs(1)[0]) == ["a"]


def test_words_are_replaced_by_what_fits():
    """Never by themselves, and each candidate as often as it is probable among the candidates."""
    seen, asked = Counter(), []

    def fill(texts):
        asked.extend(texts)
        return [[[("film", 0.5), ("book", 0.3), ("song", 0.1), ("##s", 0.1)]] * text.count("[MASK]") for text in texts]

    texts = ["the film , was 7 times dull"] * 400
    found = replace_words(texts, 0.5, rngs(400), fill, "[MASK]")
    for text in found:
        words = text.split()
        assert words[2] == "," and words[4] == "7" and len(words) == 7 and "##s" not in words
        seen[words[1]] += 1
    assert 150 < seen["film"] < 250  # kept, as it was not masked; a masked one becomes something else
    assert seen["book"] / seen["song"] == pytest.approx(3, rel=0.5)
    assert asked and all("[MASK]" in text for text in asked)
    assert replace_words(["the film"], 0.9, rngs(1), lambda texts: [None for _ in texts], "[MASK]") == ["the film"]
    assert replace_words(["the film"], 0.0, rngs(1), None, "[MASK]") == ["the film"]


def table(n=12):
    texts, labels = map(list, zip(*toy_sentences(n), strict=True))
    return LabelledTexts(texts, labels, [text[::-1] for text in texts], list(range(1, n + 1)), "a.tsv")


def test_copies_stand_behind_their_rows_with_their_labels():
    before = table()
    more = augmented(before, 2, seed=3, swap=0.5, dropout=0.2)
    assert len(more) == 36 and more.labels == [label for label in before.labels for _ in range(3)]
    assert more.lines == [line for line in before.lines for _ in range(3)]
    assert more.texts[::3] == before.texts and more.pairs[::3] == before.pairs
    assert more.texts[1::3] != before.texts != more.texts[2::3] != more.texts[1::3]
    for row, text in enumerate(more.texts):
        assert not Counter(text.split()) - Counter(before.texts[row // 3].split())
        assert not Counter(more.pairs[row].split()) - Counter(before.pairs[row // 3].split())


def test_a_copy_does_not_depend_on_the_other_rows():
    whole, some = augmented(table(12), 1, seed=3, swap=0.5), augmented(table(5), 1, seed=3, swap=0.5)
    assert augmented(table(12), 2, seed=3, swap=0.5).texts[1::3] == whole.texts[1::2]  # nor on how many copies follow
    assert whole.texts[:10] == some.texts and whole.texts != augmented(table(12), 1, seed=4, swap=0.5).texts


@pytest.mark.parametrize(("options", "message"), [
    ({}, "expected a probability above 0 of dropout, swap or replace"),
    ({"swap": 1.0}, "swap: expected a probability from 0 to below 1, got 1.0"),
])  # fmt: skip
def test_what_makes_no_sense(options, message):
    with pytest.raises(ValueError, match=message):
        augmented(table(), 1, **options)
