"""What a reader of the README does with a tokenizer, and what happens when something is wrong."""

import copy
import pickle
import warnings

import numpy as np
import pytest
from samples import LONG, SHORT, small_vocabulary

from bertnp.tokenization import AddedToken, BertTokenizer

VOCABULARY = small_vocabulary()


def test_one_text(tokenizer):
    encoding = tokenizer("The unwanted FOX")
    assert encoding.tokens() == ["[CLS]", "the", "un", "##want", "##ed", "fox", "[SEP]"]
    assert encoding.input_ids == encoding["input_ids"] == tokenizer.convert_tokens_to_ids(encoding.tokens())
    assert encoding.token_type_ids == [0] * 7
    assert encoding.attention_mask == [1] * 7
    assert encoding.word_ids() == [None, 0, 1, 1, 1, 2, None]
    assert dict(**encoding) == {"input_ids": encoding.input_ids, "token_type_ids": [0] * 7, "attention_mask": [1] * 7}
    assert tokenizer.decode(encoding.input_ids, skip_special_tokens=True) == "the unwanted fox"


def test_offsets_are_into_the_original_text(tokenizer):
    text = "  UN-wanted\x00 Föx\u0301 中!"
    encoding = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
    assert [text[start:end] for start, end in encoding.offset_mapping] == ["UN", "-", "w", "a", "n", "t", "ed"] + [
        "Föx", "中", "!",
    ]  # fmt: skip
    assert encoding.char_to_token(2) == 0 and encoding.char_to_token(0) is None
    assert encoding.token_to_chars(7) == (13, 16)


def test_arrays(tokenizer):
    batch = tokenizer([SHORT, LONG], padding=True, return_tensors="np", return_offsets_mapping=True)
    for name in ("input_ids", "token_type_ids", "attention_mask"):
        assert batch[name].dtype == np.int64 and batch[name].shape == (2, len(batch.tokens(1)))
    assert batch.offset_mapping.shape == (2, len(batch.tokens(1)), 2)
    assert (batch.input_ids[0][batch.attention_mask[0] == 0] == tokenizer.pad_token_id).all()
    assert tokenizer(SHORT, return_tensors="np").input_ids.ndim == 2
    with pytest.raises(ValueError, match="rows of different lengths"):
        tokenizer([SHORT, LONG], return_tensors="np")
    with pytest.raises(ValueError, match="return_tensors='pt'"):
        tokenizer(SHORT, return_tensors="pt")


def test_empty_batch(tokenizer):
    assert tokenizer([]).data == {"input_ids": [], "token_type_ids": [], "attention_mask": []}
    assert tokenizer([], padding=True, return_tensors="np").input_ids.dtype == np.int64


def test_helpers(tokenizer):
    assert tokenizer.build_inputs_with_special_tokens([7], [8, 9]) == [2, 7, 3, 8, 9, 3]
    assert tokenizer.get_special_tokens_mask([7], [8, 9]) == [1, 0, 1, 0, 0, 1]
    assert tokenizer.num_special_tokens_to_add() == 2 and tokenizer.num_special_tokens_to_add(pair=True) == 3
    assert tokenizer.encode("a", "b") == tokenizer.build_inputs_with_special_tokens(
        tokenizer.encode("a", add_special_tokens=False), tokenizer.encode("b", add_special_tokens=False)
    )
    assert tokenizer.pad([{"input_ids": [7]}, {"input_ids": [7, 8]}]).data == {
        "input_ids": [[7, 0], [7, 8]], "attention_mask": [[1, 0], [1, 1]],
    }  # fmt: skip
    assert len(tokenizer) == tokenizer.vocab_size == len(VOCABULARY)
    assert repr(tokenizer).startswith("BertTokenizer(vocab_size=")


def test_ids_alone_are_the_described_ids(tokenizer):
    """The quick way to ids and the way that keeps the books, with added tokens of both kinds."""
    tokenizer.add_tokens(["Quick Brown", AddedToken("<x>", lstrip=True, normalized=False)])
    text = "the QUICK  brown quick brown <x>fox\u0301 <X> [MASK] unzz"
    encoding = tokenizer(text)
    assert encoding.tokens()[1:5] == ["the", "quick", "brown", "quick brown"]
    by_token = [tokenizer.unk_token_id if token == "[UNK]" else None for token in encoding.tokens()]
    stripped = [token.strip() for token in encoding.tokens()]
    spelled = {"quick brown": "Quick Brown"}
    assert encoding.input_ids == [
        unknown or tokenizer.convert_tokens_to_ids(spelled.get(token, token))
        for token, unknown in zip(stripped, by_token, strict=True)
    ]


def test_decode(tokenizer):
    ids = tokenizer.convert_tokens_to_ids
    assert tokenizer.decode(ids(["[CLS]", "run", "##ning", ",", "don", "'", "t", ".", "[SEP]"])) == (
        "[CLS] running, don ' t. [SEP]"
    )
    assert tokenizer.decode(ids(["don", "'", "t", "."]), clean_up_tokenization_spaces=True) == "don't."
    assert tokenizer.decode(ids(["##ning", "fox"])) == "##ning fox"  # a first continuation stays as it is
    assert tokenizer.decode([*ids(["fox"]), 99999]) == "fox"
    assert tokenizer.batch_decode([ids(["fox"]), []]) == ["fox", ""]
    tokenizer.add_tokens(["do not", "<x>"], special_tokens=True)
    assert "<x>" not in tokenizer.all_special_tokens  # it has no name, and is left out all the same
    assert tokenizer.decode(ids(["fox", "<x>", "do not"])) == "fox <x> don't"
    assert tokenizer.decode(ids(["[CLS]", "fox", "<x>", "[SEP]"]), skip_special_tokens=True) == "fox"


def test_known_words_stay_bounded(tokenizer, monkeypatch):
    known = tokenizer._wordpiece.known_words
    monkeypatch.setattr(type(known), "LIMIT", 10)
    before = [tokenizer.encode(f"fox{number}") for number in range(50)]
    assert len(known) <= 10
    assert [tokenizer.encode(f"fox{number}") for number in range(50)] == before


def test_copies_work(tokenizer):
    for twin in (copy.deepcopy(tokenizer), pickle.loads(pickle.dumps(tokenizer))):
        assert twin(SHORT).data == tokenizer(SHORT).data
    encoding = tokenizer(SHORT, LONG)
    for twin in (copy.copy(encoding), copy.deepcopy(encoding), pickle.loads(pickle.dumps(encoding))):
        assert twin.data == encoding.data
        assert twin[0].offsets == encoding[0].offsets and twin.tokens() == encoding.tokens()
    assert len(pickle.dumps(encoding)) < 10_000  # without the tokenizer


def test_longer_than_the_model(tokenizer):
    tokenizer.model_max_length = 6
    with pytest.warns(UserWarning, match="36 tokens is longer than the 6"):
        assert len(tokenizer.encode(LONG)) == 36
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tokenizer.encode(LONG)  # says so once
        assert len(tokenizer.encode(LONG, truncation=True)) == 6
        assert len(tokenizer(SHORT, padding="max_length", truncation=True).input_ids) == 6


def test_no_known_maximum(tokenizer):
    """Then neither truncation nor padding has anything to go to."""
    assert len(tokenizer.encode(LONG, truncation=True)) == 36
    assert len(tokenizer.encode("a", padding="max_length")) == 3


def test_max_length_with_padding_to_the_longest(tokenizer):
    with pytest.warns(UserWarning, match="max_length has no effect with padding=True"):
        assert len(tokenizer.encode(LONG, padding=True, max_length=5)) == 36


@pytest.mark.parametrize(("arguments", "settings", "error", "words"), [
    ((None,), {}, TypeError, "text must be a str, not NoneType"),
    ((5,), {}, TypeError, "text must be a str, not int: 5"),
    ((b"bytes",), {}, TypeError, "text must be a str, not bytes"),
    ((["a", None],), {}, TypeError, r"text\[1\] must be a str, not NoneType"),
    ((["a", float("nan")],), {}, TypeError, r"text\[1\] must be a str, not float"),
    (([["a"]],), {}, TypeError, r"text\[0\] must be a str, not list"),
    (([["a", 3]],), {}, TypeError, r"text\[0\]\[1\] must be a str, not int"),
    (("a", 5), {}, TypeError, "text_pair must be a str, not int"),
    (("a", ["b"]), {}, TypeError, "text_pair must be a str, not list"),
    ((["a", "b"], "c"), {}, ValueError, "text_pair must be a list as long as text, 2, and is 'c'"),
    ((["a", "b"], ["c"]), {}, ValueError, "as long as text, 2, and is 1 texts"),
    (("a",), {"is_split_into_words": True}, TypeError, "text must be a list of words, not str"),
    ((["a", 5],), {"is_split_into_words": True}, TypeError, r"text\[0\] must be a list of words, not str"),
    (("half \ud800",), {}, ValueError, r"lone surrogate U\+D800\) at 0"),
    (("a",), {"padding": "widest"}, ValueError, "padding='widest': must be one of longest, max_length, do_not_pad"),
    (("a",), {"truncation": "first"}, ValueError, "truncation='first': must be one of longest_first"),
    (("a",), {"padding_side": "top"}, ValueError, "padding_side='top': must be one of right, left"),
    ((LONG,), {"max_length": 1}, ValueError, "max_length=1 has no room for the 2 special tokens"),
    ((LONG, LONG), {"max_length": 2}, ValueError, "max_length=2 has no room for the 3 special tokens"),
    ((LONG,), {"max_length": -1}, ValueError, "max_length=-1 must not be negative"),
    ((LONG,), {"max_length": 8, "stride": -1}, ValueError, "stride=-1 must not be negative"),
    ((LONG,), {"max_length": 8, "stride": 6}, ValueError, "stride=6 must be smaller than max_length less the special"),
    ((LONG, LONG), {"max_length": 9, "stride": 3}, ValueError, "stride=3 must be smaller than the 3 tokens of a text"),
    ((LONG,), {"max_length": 8, "truncation": "only_second"}, ValueError, "needs a second text, and there is none"),
    (("a", LONG), {"max_length": 8, "truncation": "only_first"}, ValueError, "cannot take 30 tokens off a text of 1"),
    ((LONG,), {"max_length": 9, "truncation": True, "padding": True, "pad_to_multiple_of": 8}, ValueError, "multiple"),
])  # fmt: skip
def test_bad_calls(tokenizer, arguments, settings, error, words):
    with pytest.raises(error, match=words) as caught:
        tokenizer(*arguments, **settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("vocab", "settings", "error", "words"), [
    ([], {}, ValueError, r"the vocabulary is empty \(vocab\)"),
    ({}, {}, ValueError, "empty"),
    (5, {}, TypeError, "vocab must be a path, a dictionary or a list of tokens, not int"),
    (["[CLS]", "[SEP]"], {}, ValueError, r"no '\[UNK\]' \(unk_token\)"),
    (["[UNK]", "[SEP]"], {}, ValueError, r"no '\[CLS\]' \(cls_token\)"),
    (["[UNK]", "[CLS]"], {}, ValueError, r"no '\[SEP\]' \(sep_token\)"),
    (VOCABULARY, {"cls_token": "<s>"}, ValueError, r"no '<s>' \(cls_token\)"),
    ({"[UNK]": 0, "[CLS]": 0, "[SEP]": 1}, {}, ValueError, "two tokens the same id"),
    ({"[UNK]": 0, "[CLS]": "1", "[SEP]": 2}, {}, TypeError, "not '\\[CLS\\]' to '1'"),
    ([*VOCABULARY, None], {}, TypeError, "not None to"),
    (VOCABULARY, {"padding_side": "top"}, ValueError, "padding_side='top'"),
    (VOCABULARY, {"truncation_side": None}, ValueError, "truncation_side=None"),
])  # fmt: skip
def test_bad_vocabularies(vocab, settings, error, words):
    with pytest.raises(error, match=words) as caught:
        BertTokenizer(vocab, **settings)
    assert "\n" not in str(caught.value)


def test_other_errors(tokenizer, tmp_path):
    with pytest.raises(ValueError, match="-100 is no token id"):
        tokenizer.decode([2, -100])
    with pytest.raises(ValueError, match="'input_ids'"):
        tokenizer.pad({"attention_mask": [1]})
    with pytest.raises(ValueError, match="'labels' has 1 rows, 'input_ids' has 2"):
        tokenizer.pad({"input_ids": [[1], [2]], "labels": [1]})
    with pytest.raises(TypeError, match="must be text, not int"):
        tokenizer.add_tokens([5])
    with pytest.raises(ValueError, match="'name_token' is no kind of special token"):
        tokenizer.add_special_tokens({"name_token": "x"})
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = tokenizer.nonsense
    with pytest.raises(AttributeError, match="no 'labels'; it has input_ids"):
        _ = tokenizer("a").labels
    with pytest.raises(ValueError, match="has a line break"):
        BertTokenizer([*VOCABULARY, "a\nb"]).save_pretrained(tmp_path)
