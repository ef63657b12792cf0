"""Pairs of sentences: read, made up, split and put into batches."""

import datetime
import re

import numpy as np
import pytest

from bertnp.data import EncodedPairs, SentencePairs, copy_pairs, date_pairs, number_pairs, read_pairs, recall_pairs
from bertnp.data.translation import MADE_UP, MONTHS, number_words


def test_the_first_two_columns_are_read(tmp_path):
    path = tmp_path / "pairs.txt"
    path.write_text("Hi.\t嗨。\tCC-BY\nHi.\t你好。\tCC-BY\nHi.\t嗨。\tother\n", encoding="utf-8")
    pairs = read_pairs(path)
    assert pairs.sources == ["Hi."] * 3 and pairs.targets == ["嗨。", "你好。", "嗨。"]
    assert pairs.distinct() == SentencePairs(["Hi."] * 2, ["嗨。", "你好。"])
    path.write_text("id\tenglish\tfrench\n1\t a b \tc\n", encoding="utf-8")
    assert read_pairs(path, "english", "french") == SentencePairs(["a b"], ["c"])
    path.write_text("1/2/93      _1993-01-02\n", encoding="utf-8")
    assert read_pairs(path, delimiter="_") == SentencePairs(["1/2/93"], ["1993-01-02"])
    path.write_text("alone\nagain\n", encoding="utf-8")
    with pytest.raises(ValueError, match="there is no column 2; there are 1"):
        read_pairs(path)


def test_no_source_is_on_both_sides_of_a_split():
    sources = [f"s{i // 3}" for i in range(60)]
    pairs = SentencePairs(sources, [f"t{i}" for i in range(60)])
    for amount, wanted in ((10, 12), (0.2, 12), (30, 30)):
        rest, held_out = pairs.hold_out(amount, seed=4)
        assert len(held_out) == wanted and len(rest) == 60 - wanted
        assert not set(rest.sources) & set(held_out.sources)
        assert sorted([*rest.targets, *held_out.targets]) == sorted(pairs.targets)
        assert pairs.hold_out(amount, seed=4)[1] == held_out != pairs.hold_out(amount, seed=5)[1]
    for amount in (60, 0.001):
        with pytest.raises(ValueError, match="leaves none"):
            pairs.hold_out(amount)


def test_sources_of_few_words():
    assert SentencePairs(["a b c", "a b"], ["x", "y"]).at_most(2) == SentencePairs(["a b"], ["y"])


def test_dates_are_what_they_say():
    pairs = date_pairs(400, seed=1)
    assert len(set(pairs.sources)) == 400 and pairs == date_pairs(400, seed=1) != date_pairs(400, seed=2)
    shapes = set()
    for source, target in zip(pairs.sources, pairs.targets, strict=True):
        date = datetime.date.fromisoformat(target)
        numbers = [int(number) for number in re.findall(r"\d+", source)]
        if "/" in source:
            assert numbers == [date.month, date.day, date.year]
        else:
            assert numbers in ([date.day, date.year], [date.year, date.day])
            assert MONTHS[date.month - 1][:3].lower() in source.lower()
        weekdays = re.findall(r"[a-z]+day", source.lower())
        assert weekdays in ([], [date.strftime("%A").lower()])
        shapes.add(re.sub(r"\d+", "0", re.sub(r"[A-Za-z]+", "a", source)))
    assert len(shapes) >= 6


@pytest.mark.parametrize(
    "number, words",
    {
        0: "zero", 15: "fifteen", 40: "forty", 99: "ninety-nine", 207: "two hundred and seven", 300: "three hundred",
        1_000: "one thousand", 20_016: "twenty thousand and sixteen",
        342_717: "three hundred and forty-two thousand seven hundred and seventeen",
    }.items(),
)  # fmt: skip
def test_numbers_in_words(number, words):
    assert number_words(number) == words


def test_numbers_of_all_lengths():
    pairs = number_pairs(500, seed=2)
    assert len(set(pairs.sources)) == 500 and {len(target) for target in pairs.targets} == {1, 2, 3, 4, 5, 6}
    assert all(number_words(int(target)) == source for source, target in zip(pairs.sources, pairs.targets, strict=True))
    with pytest.raises(ValueError, match="at most 500,000"):
        number_pairs(600_000)


def test_letters_to_copy_and_to_recall():
    pairs = copy_pairs(300, least=2, most=5)
    assert pairs.sources == pairs.targets and {len(source) for source in pairs.sources} == {2, 3, 4, 5}
    pairs = recall_pairs(300, least=7, most=9)
    assert all(source[1:].islower() and 8 <= len(source) <= 10 for source in pairs.sources)
    assert [source[0] for source in pairs.sources] == pairs.targets
    assert len(set(pairs.targets)) == 10 and set(MADE_UP) == {"dates", "numbers", "copy", "recall"}


def test_batches():
    pairs = EncodedPairs([[5, 6, 3], [7, 3]], [[8, 3], [9, 9, 3]], pad_token_id=0)
    batch = pairs.batch([1, 0])
    np.testing.assert_array_equal(batch["input_ids"], [[7, 3, 0], [5, 6, 3]])
    np.testing.assert_array_equal(batch["attention_mask"], [[1, 1, 0], [1, 1, 1]])
    np.testing.assert_array_equal(batch["labels"], [[9, 9, 3], [8, 3, -100]])
    with pytest.raises(ValueError, match="expected one for each of 1 sources, got 2"):
        EncodedPairs([[1]], [[1], [2]])
