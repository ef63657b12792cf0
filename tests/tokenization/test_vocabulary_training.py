"""Vocabularies are those worked out by hand, those of the tokenizers package, and the same everywhere."""

import os
import random
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertnp import BertTokenizer
from bertnp.data import read_documents
from bertnp.tokenization import vocabulary_training
from bertnp.tokenization.vocabulary_training import (
    SCORES,
    SPECIAL_TOKENS,
    Merging,
    count_words,
    frequent_characters,
    train_vocabulary,
)

BY_HAND = {"sea": 6, "set": 4, "zoo": 1}
ALPHABET = ["a", "e", "o", "s", "t", "z", "##a", "##e", "##o", "##t"]


def bare_tokenizer(**settings):
    return BertTokenizer(list(SPECIAL_TOKENS), **settings)


# ---- the algorithm --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("score", "merged"),
    [("count", ["se", "sea", "set", "zo", "zoo"]), ("likelihood", ["zo", "zoo", "se", "sea", "set"])],
)
def test_the_example_worked_out_by_hand(score, merged):
    for size in range(15, 22):
        expected = [*SPECIAL_TOKENS, *ALPHABET, *merged][:size]
        assert train_vocabulary(BY_HAND, size, score, min_frequency=1) == expected


def test_of_equal_scores_the_pair_with_the_smaller_numbers_comes_first():
    for words in (["ba", "ac", "bb", "ab"], ["ab", "bb", "ac", "ba"]):
        tokens = train_vocabulary(dict.fromkeys(words, 2), 100)
        assert tokens[5:] == ["a", "b", "c", "##a", "##b", "##c", "ab", "ac", "ba", "bb"]
        tokens = train_vocabulary(dict.fromkeys(words, 2), 100, "likelihood")
        # a ##c 2/(4·2) = b ##a 2/(4·2) > a ##b 2/(4·4) = b ##b 2/(4·4); then a ##b 2/(2·4) = b ##a 2/(4·2) and so on
        assert tokens[11:] == ["ac", "ab", "ba", "bb"]


def test_likelihoods_that_differ_by_less_than_floats_can_tell_are_told_apart():
    n = 10**17 + 2
    assert 1 / n == 1 / (n + 1)
    assert train_vocabulary({"ab": n + 1, "cd": n}, 12, "likelihood")[11:] == ["cd"]  # n/(n·n) = 1/n
    assert train_vocabulary({"ab": n, "cd": n + 1}, 12, "likelihood")[11:] == ["ab"]


def slow_vocabulary(word_counts, size, score, min_frequency):
    """The same tokens, all pairs counted anew for each merge, fractions compared as fractions."""
    alphabet = sorted(set("".join(word_counts)))
    continuing = sorted({character for word in word_counts for character in word[1:]})
    tokens = [*SPECIAL_TOKENS, *alphabet, *("##" + character for character in continuing)]
    words = {word: [word[0], *("##" + character for character in word[1:])] for word in word_counts}
    while len(tokens) < size:
        pieces, pairs = Counter(), Counter()
        for word, count in word_counts.items():
            for piece in words[word]:
                pieces[piece] += count
            for pair in pairwise(words[word]):
                pairs[pair] += count

        def rank(pair, pieces=pieces, pairs=pairs):
            a, b = pair
            value = pairs[pair] if score == "count" else Fraction(pairs[pair], pieces[a] * pieces[b])
            return -value, tokens.index(a), tokens.index(b)

        candidates = [pair for pair, count in pairs.items() if count >= max(1, min_frequency)]
        if not candidates:
            break
        a, b = min(candidates, key=rank)
        new = a + b.removeprefix("##")
        if new not in tokens:
            tokens.append(new)
        for word, parts in words.items():
            merged = []
            for part in parts:
                if merged and merged[-1] == a and part == b:
                    merged[-1:] = [new, None]  # None: a piece just made doesn't merge again in this round
                else:
                    merged.append(part)
            words[word] = [part for part in merged if part is not None]
    return tokens


WORDS = st.text(alphabet="abc", min_size=1, max_size=8)
WORD_COUNTS = st.dictionaries(WORDS, st.integers(1, 6), min_size=1, max_size=12)


@settings(deadline=None, max_examples=150)
@given(WORD_COUNTS, st.integers(11, 60), st.sampled_from(SCORES), st.integers(0, 4))
def test_counting_step_by_step_is_counting_anew(word_counts, size, score, min_frequency):
    expected = slow_vocabulary(word_counts, size, score, min_frequency)
    for longest in (4, 0):  # 0: the queue is made anew at each step
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(vocabulary_training, "LONGEST_QUEUE", longest)
            assert train_vocabulary(word_counts, size, score, min_frequency) == expected


@settings(deadline=None, max_examples=100)
@given(
    st.dictionaries(st.text(alphabet="abcdé한字.", min_size=1, max_size=8), st.integers(1, 9), min_size=1, max_size=20),
    st.integers(0, 30), st.sampled_from(SCORES), st.integers(1, 9),
)  # fmt: skip
def test_every_word_comes_back_from_its_pieces_unless_a_character_was_left_out(word_counts, more, score, limit):
    alphabet = frequent_characters(word_counts, limit)
    kept = [word for word in word_counts if alphabet.issuperset(word)]
    if not kept:
        with pytest.raises(ValueError, match="no words"):
            train_vocabulary(word_counts, 100, limit_alphabet=limit)
        return
    tokens = train_vocabulary(word_counts, 5 + 2 * len(alphabet) + more, score, 1, limit)
    assert len(tokens) == len(set(tokens))
    wordpiece = BertTokenizer(tokens)._wordpiece
    for word in word_counts:
        pieces = wordpiece.cut(word).tokens
        if word in kept:
            assert pieces[0] + "".join(piece.removeprefix("##") for piece in pieces[1:]) == word
        else:
            assert pieces == ("[UNK]",)


def test_the_rarest_characters_are_left_out_with_their_words():
    words = {"ab": 5, "aß": 3, "bc": 3, "d": 1}  # a 8, b 8, c 3, ß 3, d 1
    assert frequent_characters(words, 3) == {"a", "b", "c"}  # of c and ß the one with the smaller code point
    assert frequent_characters(words) == {"a", "b", "c", "ß", "d"}
    assert train_vocabulary(words, 100, limit_alphabet=3)[5:] == ["a", "b", "c", "##b", "##c", "ab", "bc"]


def test_rare_pairs_are_not_merged():
    words = {"ab": 3, "cd": 2}
    for score in SCORES:
        assert train_vocabulary(words, 100, score, min_frequency=3)[-1] == "ab"
        assert {"ab", "cd"} < set(train_vocabulary(words, 100, score, min_frequency=2))


def test_special_and_reserved_tokens_come_first():
    tokens = train_vocabulary({"a": 1}, 100, special_tokens=["<x>"], reserved=2)
    assert tokens == [*SPECIAL_TOKENS, "<x>", "[unused0]", "[unused1]", "a"]


def test_a_piece_that_is_a_special_token_already_keeps_its_place():
    tokens = train_vocabulary(BY_HAND, 100, min_frequency=1, special_tokens=["se"])
    assert tokens == [*SPECIAL_TOKENS, "se", *ALPHABET, "sea", "set", "zo", "zoo"]


# ---- counting words -------------------------------------------------------------------------------------------------


def test_words_are_counted_as_the_tokenizer_sees_them():
    texts = ["Héllo, hello!", "[MASK] don't\tHELLO", "北京 " + "x" * 101 + " " + "y" * 100, "a\x0bb a\u00a0b"]
    once = [",", "!", "don", "'", "t", "北", "京", "y" * 100, "ab", "a", "b"]
    assert count_words(texts, bare_tokenizer()) == {"hello": 3, **dict.fromkeys(once, 1)}
    cased = count_words(texts, bare_tokenizer(do_lower_case=False, tokenize_chinese_chars=False))
    assert {"Héllo", "hello", "HELLO", "北京"} < set(cased)
    assert "Hello" in count_words(texts, bare_tokenizer(do_lower_case=False, strip_accents=True))
    assert count_words(["a<x>b"], bare_tokenizer(extra_special_tokens=["<x>"])) == {"a": 1, "b": 1}


@given(st.lists(st.text(alphabet="aB. \t\n\x0b\x85\u0301\u0323é字[MASK]", max_size=20), max_size=5))
def test_counting_in_parts_is_counting_whole(texts):
    tokenizer = bare_tokenizer()
    expected = Counter(word for text in texts for word in tokenizer.words(text))
    for waiting in (1000, 2):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(vocabulary_training, "WAITING", waiting)
            assert count_words(iter(texts), tokenizer) == expected


@pytest.mark.parametrize("mode", ["fast", "google", "legacy"])
def test_words_are_what_is_cut_into_pieces(mode):
    text = "Héllo [MASK] wörld, don't \t北京!"
    tokenizer = bare_tokenizer(mode=mode)
    words = ["hello", "world", ",", "don", "'", "t", "北", "京", "!"]
    assert tokenizer.words(text) == (words[:1] + ["[", "mask", "]"] + words[1:] if mode == "google" else words)


# ---- the same everywhere --------------------------------------------------------------------------------------------

PROGRAM = """
import hashlib
import random

from bertnp.tokenization.vocabulary_training import train_vocabulary
rng = random.Random(3)
words = ["".join(rng.choice("abcdefgé") for _ in range(rng.randint(1, 9))) for _ in range(400)]
counts = {word: len(word) for word in set(words)}  # in an order that depends on the hash seed
for score in ("count", "likelihood"):
    print(hashlib.sha256("\\n".join(train_vocabulary(counts, 300, score)).encode()).hexdigest())
"""


def test_the_same_words_give_the_same_vocabulary_everywhere():
    runs = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True,
            check=True, encoding="utf-8",
        ).stdout
        for seed in ("0", "1", "4242")
    ]  # fmt: skip
    assert runs[0].split() == [
        "04267080260a7796ac84b3ac5fc12d595bc31daeb2157e7d943dc8b8b9321628",
        "2203bc160ae69c9bd31b685a0c2b82f18e70f539f3e85502674d9fb125c5b957",
    ]
    assert runs == [runs[0]] * 3


# ---- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 14}, r"14 tokens are too few for 5 special .* alphabet of 10 \(6 characters, 4 of .*expected 15"),
        ({"size": 16, "reserved": 2}, "16 tokens are too few for 7 special and reserved ones"),
        ({"size": 0}, "size: expected a whole number of at least 1, got 0"),
        ({"score": "bpe"}, "score: expected 'count' or 'likelihood', got 'bpe'"),
        ({"min_frequency": -1}, "min_frequency: expected .* got -1"),
        ({"limit_alphabet": 0}, "limit_alphabet: expected .* got 0"),
        ({"word_counts": {}}, "no words"),
        ({"special_tokens": ["[PAD]"]}, r"'\[PAD\]' is given twice"),
        ({"special_tokens": ["a b"]}, "'a b': expected a text without white space"),
        ({"special_tokens": [""]}, "'': expected a text"),
    ],
)
def test_what_is_refused(changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        train_vocabulary(**{"word_counts": BY_HAND, "size": 100, **changes})
    assert "\n" not in str(caught.value)


# ---- against the tokenizers package ---------------------------------------------------------------------------------


@pytest.mark.oracle("tokenizers")
@pytest.mark.data
def test_merges_are_those_of_tokenizers(data_dir):
    """Token for token, once ties are broken as in its run: it numbers ##c by hashes that change from run to run."""
    from tokenizers import BertWordPieceTokenizer

    paths = [data_dir / "books" / name for name in ("Emma.md", "The_Time_Machine.md")]
    texts = [sentence for document in read_documents(paths) for sentence in document]
    counts = count_words(texts, bare_tokenizer())
    trainer = BertWordPieceTokenizer(lowercase=True)
    trainer.train_from_iterator(texts, vocab_size=4000, min_frequency=2, show_progress=False)
    vocabulary = trainer.get_vocab()
    theirs = sorted(vocabulary, key=vocabulary.get)
    ours = train_vocabulary(counts, 4000)

    start = next(n for n, token in enumerate(theirs) if n >= 5 and len(token.removeprefix("##")) > 1)
    assert set(theirs[:start]) == set(ours[:start])
    assert len(set(theirs) & set(ours)) >= 0.995 * 4000
    words = sorted(counts)
    merging = Merging(words, [counts[word] for word in words], theirs[:start], "count", 2)
    while len(merging.pieces) < 4000 and merging.step():
        pass
    assert merging.pieces == theirs


@pytest.mark.oracle("transformers")
@pytest.mark.data
@pytest.mark.parametrize("settings", [{}, {"do_lower_case": False}])
def test_the_result_tokenizes_alike_in_transformers(data_dir, tmp_path, settings):
    import transformers

    sentences = [
        sentence for document in read_documents(data_dir / "books" / "Dracula.md") for sentence in document
    ]
    tokens = train_vocabulary(count_words(sentences, bare_tokenizer(**settings)), 3000, reserved=5)
    tokenizer = BertTokenizer(tokens, **settings)
    tokenizer.save_pretrained(tmp_path)
    others = random.Random(0).sample(list(read_documents(data_dir / "books" / "Emma.md")), 5)
    texts = [sentence for document in others for sentence in document] + ["[MASK] naïve 北京 [unused1] ☃"]
    expected = tokenizer(texts).input_ids
    for loaded in (
        transformers.AutoTokenizer.from_pretrained(tmp_path),
        transformers.BertTokenizer.from_pretrained(tmp_path),
        BertTokenizer.from_pretrained(tmp_path),
    ):
        assert loaded(texts)["input_ids"] == expected
        assert len(loaded) == len(tokens) == 3000
