"""Token for token, offset for offset: against transformers' BertTokenizer, on real text and on random text."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import ANSWERS, CALLS, SNIPPETS, TRICKY, random_text, small_vocabulary

from bertnp.tokenization import AddedToken, BertTokenizer

pytestmark = pytest.mark.oracle
transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

CASES = pytest.mark.parametrize("lower", [True, False], ids=["uncased", "cased"])
SMALL = {token: identity for identity, token in enumerate(small_vocabulary())}


def both(vocabulary, lower=True, **settings):
    theirs = transformers.BertTokenizer(vocab=vocabulary, do_lower_case=lower, **settings)
    return BertTokenizer(vocabulary, do_lower_case=lower, **settings), theirs


def assert_same_texts(ours, theirs, texts):
    """Ids, tokens, offsets and word numbers of every text; texts in batches, so that not all is held at once."""
    assert texts
    for start in range(0, len(texts), 5000):
        batch = texts[start : start + 5000]
        encoding = ours(batch, add_special_tokens=False, verbose=False)
        answers = theirs.backend_tokenizer.encode_batch(batch, add_special_tokens=False)
        for row, (text, answer) in enumerate(zip(batch, answers, strict=True)):
            assert encoding.input_ids[row] == answer.ids, ascii(text)
            assert encoding[row].tokens == answer.tokens, ascii(text)
            assert encoding[row].offsets == answer.offsets, ascii(text)
            assert encoding[row].word_ids == answer.word_ids, ascii(text)


def lines(path):
    with open(path, encoding="utf-8", newline="") as file:
        return file.read().split("\n")


@pytest.mark.data
@pytest.mark.slow
@CASES
def test_real_texts(lower, vocabulary_file, data_dir):
    ours, theirs = both(str(vocabulary_file), lower)
    books = sorted((data_dir / "books").glob("*.md"))[:: 1 if lower else 4]  # a quarter cased, to save time
    assert_same_texts(ours, theirs, [line for book in books for line in lines(book)])
    pairs = [line.split("\t") for line in lines(data_dir / "translation" / "cmn.txt")]
    assert_same_texts(ours, theirs, [text for pair in pairs for text in pair[:2]])
    assert_same_texts(ours, theirs, lines(data_dir / "wikitext2" / "valid.txt"))


@pytest.mark.data
@CASES
def test_random_texts(lower, vocabulary_file):
    ours, theirs = both(str(vocabulary_file), lower)
    generator = random.Random(20)
    assert_same_texts(ours, theirs, TRICKY + [random_text(generator) for _ in range(20_000)])


@CASES
def test_random_texts_with_a_small_vocabulary(lower):
    ours, theirs = both(SMALL, lower)
    generator = random.Random(21)
    assert_same_texts(ours, theirs, TRICKY + [random_text(generator) for _ in range(3000)])


PAIRS = {lower: both(SMALL, lower) for lower in (True, False)}


@settings(max_examples=400, deadline=None)
@given(
    st.booleans(),
    st.lists(st.one_of(st.text(st.characters(exclude_categories=["Cs"]), max_size=15), st.sampled_from(SNIPPETS))),
)
def test_any_text(lower, parts):
    assert_same_texts(*PAIRS[lower], ["".join(parts)])


def same(ours, theirs):
    if isinstance(theirs, np.ndarray):
        return isinstance(ours, np.ndarray) and ours.dtype == theirs.dtype and np.array_equal(ours, theirs)
    return ours == theirs


def assert_same_encoding(ours, theirs, what):
    assert list(ours) == list(theirs), what
    for name in theirs:
        assert same(ours[name], theirs[name]), (name, what)
    assert len(ours.encodings) == len(theirs.encodings)
    assert ours.n_sequences == theirs.n_sequences
    for row in range(len(theirs.encodings)):
        assert ours.tokens(row) == theirs.tokens(row), what
        assert ours.word_ids(row) == theirs.word_ids(row), what
        assert ours.sequence_ids(row) == theirs.sequence_ids(row), what


def assert_same_questions(ours, theirs, row):
    for token in range(len(theirs.tokens(row))):
        for question in ("token_to_chars", "token_to_word", "token_to_sequence"):
            assert getattr(ours, question)(row, token) == getattr(theirs, question)(row, token), question
    for sequence in range(theirs.n_sequences):
        for index in range(40):
            for question in ("char_to_token", "char_to_word", "word_to_tokens"):
                answers = [getattr(encoding, question)(row, index, sequence) for encoding in (ours, theirs)]
                assert answers[0] == answers[1], (question, index)
            if theirs.word_to_tokens(row, index, sequence) is not None:
                assert ours.word_to_chars(row, index, sequence) == theirs.word_to_chars(row, index, sequence)


def test_calls():
    ours, theirs = both(SMALL)
    for texts, how in CALLS:
        answers = [tokenizer(*texts, **how, **ANSWERS) for tokenizer in (ours, theirs)]
        assert_same_encoding(*answers, (texts, how))
        for row in range(len(answers[1].encodings)):
            assert_same_questions(*answers, row)


@pytest.mark.parametrize("truncation_side", ["right", "left"])
def test_random_calls(truncation_side):
    """Every mix of settings, random texts; where transformers raises, so do we."""
    ours, theirs = both(SMALL, model_max_length=24, truncation_side=truncation_side)
    generator = random.Random(5)
    words = "the quick brown fox unwanted running don't 中国 é! [MASK]".split()

    def text(split):
        chosen = generator.choices(words, k=generator.choice([0, 1, 3, 8, 20]))
        return chosen if split else " ".join(chosen)

    compared = failed = 0
    for _ in range(1500):
        split = generator.random() < 0.25
        count = generator.randint(1, 4)
        texts = [text(split) for _ in range(count)]
        others = [text(split) for _ in range(count)]
        shapes = ([texts[0]], [texts[0], others[0]], [texts], [texts, others], [list(zip(texts, others, strict=True))])
        arguments = generator.choice(shapes)
        how = {
            "is_split_into_words": split,
            "add_special_tokens": generator.random() < 0.8,
            "padding": generator.choice([False, True, "longest", "max_length", "do_not_pad"]),
            "truncation": generator.choice(
                [None, False, True, "longest_first", "only_first", "only_second", "do_not_truncate"]
            ),
            "max_length": generator.choice([None, None, 8, 16, generator.randint(4, 20)]),
            "stride": generator.choice([0, 0, 1, 2]),
            "pad_to_multiple_of": generator.choice([None, None, 8]),
            "padding_side": generator.choice([None, "left", "right"]),
            "return_overflowing_tokens": generator.random() < 0.4,
            "return_special_tokens_mask": generator.random() < 0.5,
            "return_offsets_mapping": generator.random() < 0.7,
            "return_length": generator.random() < 0.3,
            "return_token_type_ids": generator.choice([None, True, False]),
            "return_attention_mask": generator.choice([None, True, False]),
            "verbose": False,
        }
        if how["padding"] not in (False, "do_not_pad") and not how["return_overflowing_tokens"] and count == 1:
            how["return_tensors"] = "np"
        try:
            expected = theirs(*arguments, **how)
        except BaseException:  # a panic of the Rust side is no Exception
            with pytest.raises((ValueError, TypeError)):
                ours(*arguments, **how)
            failed += 1
            continue
        try:
            found = ours(*arguments, **how)
        except ValueError as error:  # refused for every text, where transformers fails only once a text is long
            assert "stride" in str(error) and how["stride"], (error, arguments, how)
            continue
        assert_same_encoding(found, expected, (arguments, how))
        compared += 1
    assert compared > 1000 and failed > 100


def test_special_tokens_and_vocabulary():
    ours, theirs = both(SMALL)
    for name in ("vocab_size", "all_special_ids", "all_special_tokens", "special_tokens_map", "model_max_length",
                 "pad_token_type_id", "padding_side", "cls_token", "cls_token_id", "mask_token_id", "bos_token",
                 "bos_token_id", "unk_token_id", "extra_special_tokens"):  # fmt: skip
        assert getattr(ours, name) == getattr(theirs, name), name
    assert len(ours) == len(theirs)
    assert ours.get_vocab() == theirs.get_vocab()
    assert ours.get_added_vocab() == theirs.get_added_vocab()
    tokens = ["fox", "nope", "[SEP]"]
    assert ours.convert_tokens_to_ids(tokens) == theirs.convert_tokens_to_ids(tokens)
    assert ours.convert_ids_to_tokens([2, 9, 99999]) == theirs.convert_ids_to_tokens([2, 9, 99999])
    assert ours.convert_ids_to_tokens(9) == theirs.convert_ids_to_tokens(9)
    assert ours.convert_ids_to_tokens([2, 9], True) == theirs.convert_ids_to_tokens([2, 9], True)
    assert ours.num_special_tokens_to_add(True) == theirs.num_special_tokens_to_add(True)
    assert ours.get_special_tokens_mask([2, 9, 3], None, True) == theirs.get_special_tokens_mask([2, 9, 3], None, True)
    assert ours.tokenize("the fox", "unwanted") == theirs.tokenize("the fox", "unwanted")
    assert ours.encode("the fox", "unwanted", max_length=5) == theirs.encode("the fox", "unwanted", max_length=5)
    both_wide = [BertTokenizer([*SMALL][:4]), transformers.BertTokenizer(vocab=dict(list(SMALL.items())[:4]))]
    assert both_wide[0].get_vocab() == both_wide[1].get_vocab()  # [MASK] was missing and is appended


def test_decode():
    ours, theirs = both(SMALL)
    generator = random.Random(7)
    rows = [[generator.randrange(len(SMALL) + 3) for _ in range(generator.randint(0, 12))] for _ in range(2000)]
    texts = ["don ' t say so . it ' s , well , i ' m ! we ' re", "a . b ? c ! d , e", "do not [MASK] [SEP]"]
    rows += [ours.encode(text) for text in texts]
    for skip in (False, True):
        for clean_up in (None, False, True):
            how = {"skip_special_tokens": skip, "clean_up_tokenization_spaces": clean_up}
            assert ours.batch_decode(rows, **how) == theirs.batch_decode(rows, **how)
    assert ours.decode(7) == theirs.decode(7)
    assert ours.decode(np.array([7, 8])) == theirs.decode(np.array([7, 8]))
    assert ours.decode(np.array([[7, 8], [9, 3]])) == theirs.decode(np.array([[7, 8], [9, 3]]))
    assert ours.decode(ours("the fox")) == theirs.decode(theirs("the fox"))
    for tokenizer in (ours, theirs):
        tokenizer.add_tokens(["do not", "<x>"], special_tokens=True)
    for skip in (False, True):
        row = ours.convert_tokens_to_ids(["fox", "do not", "<x>", "[SEP]", "##ed"])
        assert ours.decode(row, skip) == theirs.decode(row, skip)
    cleaning = both(SMALL, clean_up_tokenization_spaces=True)
    assert [t.decode(rows[-3]) for t in cleaning] == ["[CLS] don't say so. it's, well, i'm! we're [SEP]"] * 2


def test_pad():
    ours, theirs = both(SMALL)
    rows = [ours("the fox"), ours("unwanted running, the quick brown fox"), ours("")]
    lists = [dict(row) for row in rows]
    for how in (
        {},
        {"padding": "max_length", "max_length": 20},
        {"padding": "longest", "pad_to_multiple_of": 8, "padding_side": "left"},
        {"padding": False, "return_attention_mask": False},
        {"return_tensors": "np"},
    ):
        found, expected = ours.pad(lists, **how), theirs.pad(lists, **how)
        assert set(found) == set(expected)
        assert all(same(found[name], expected[name]) for name in expected), how
    for inputs in (
        lists[0],
        {"input_ids": [[4, 5], [6]], "special_tokens_mask": [[1, 0], [0]], "labels": [1, 0]},
        [{"input_ids": np.array([4, 5]), "label": 1}, {"input_ids": np.array([6]), "label": 0}],
        {"input_ids": []},
    ):
        copies = [{**row} for row in inputs] if isinstance(inputs, list) else {**inputs}
        found, expected = ours.pad(inputs), theirs.pad(copies)
        assert set(found) == set(expected)
        assert all(same(found[name], expected[name]) for name in expected), inputs


def test_added_tokens():
    """Random added tokens with random rules, added in steps, found in random texts that hold them."""
    generator = random.Random(11)
    contents = ["foo bar", "Foo", "<x>", "ony", "中国", "é", "the", "[MASK]", "##ed", "fo", "a", " x ", "ΣΑΣ"]
    rules = ("single_word", "lstrip", "rstrip", "special")
    fill = [" ", "  ", "\t", "\u2003", "x", "Foo bar", "ony", "中", ",", "_", "é", "e\u0301", "\u0628\u064e", "9"]
    compared = 0
    for _ in range(120):
        lower = generator.random() < 0.7
        ours, theirs = both(SMALL, lower)
        for _ in range(generator.randint(1, 3)):
            chosen = generator.sample(contents, generator.randint(1, 4))
            flags = [{rule: generator.random() < 0.3 for rule in rules} for _ in chosen]
            normalized = [generator.choice([None, True, False]) for _ in chosen]
            special = generator.random() < 0.3
            mine = [AddedToken(c, normalized=n, **f) for c, n, f in zip(chosen, normalized, flags, strict=True)]
            rust = [tokenizers.AddedToken(c, **({} if n is None else {"normalized": n}), **f)
                    for c, n, f in zip(chosen, normalized, flags, strict=True)]  # fmt: skip
            if generator.random() < 0.3:
                mine = rust = chosen
            assert ours.add_tokens(mine, special_tokens=special) == theirs.add_tokens(rust, special_tokens=special)
        assert ours.get_added_vocab() == theirs.get_added_vocab()
        assert len(ours) == len(theirs)
        for _ in range(30):
            text = "".join(generator.choice(generator.choice([contents, fill])) for _ in range(generator.randint(0, 9)))
            found, expected = ours(text, return_offsets_mapping=True), theirs(text, return_offsets_mapping=True)
            assert_same_encoding(found, expected, (ascii(text), ours.added_tokens_decoder))
            for skip in (False, True):
                assert ours.decode(found, skip) == theirs.decode(expected, skip)
            assert ours(text, split_special_tokens=True) == theirs(text, split_special_tokens=True)
            compared += 1
    assert compared == 3600


def test_add_special_tokens():
    for ours_added, theirs_added in (
        ({"mask_token": "<mask>", "extra_special_tokens": ["<a>", "<b>"]},) * 2,
        (
            {"mask_token": AddedToken("[MASK]", lstrip=True)},
            {"mask_token": tokenizers.AddedToken("[MASK]", lstrip=True)},
        ),
    ):
        ours, theirs = both(SMALL)
        assert ours.add_special_tokens(ours_added) == theirs.add_special_tokens(theirs_added)
        text = "the <mask> fox  [MASK]<a> <b>"
        assert_same_encoding(ours(text), theirs(text), text)
        assert ours.all_special_tokens == theirs.all_special_tokens
        assert ours.mask_token_id == theirs.mask_token_id
