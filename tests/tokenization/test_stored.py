"""Answers of transformers' BertTokenizer, stored, for machines without it."""

import json
from pathlib import Path

import pytest
from samples import ANSWERS, CALLS, TRICKY, small_vocabulary

from bertnp.tokenization import BertTokenizer

EXPECTED = json.loads(Path(__file__).with_name("expected.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", ["uncased", "cased"])
def test_tricky_texts(case):
    tokenizer = BertTokenizer(small_vocabulary(), do_lower_case=case == "uncased")
    assert len(EXPECTED[case]["texts"]) == len(TRICKY)
    for text, (ids, offsets, words) in zip(TRICKY, EXPECTED[case]["texts"], strict=True):
        encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        assert encoding.input_ids == ids, text
        assert [number for pair in encoding.offset_mapping for number in pair] == offsets, text
        assert encoding.word_ids() == words, text
    for (ids, _, _), text in zip(EXPECTED[case]["texts"], EXPECTED[case]["decoded"], strict=True):
        assert tokenizer.decode(ids) == text


def test_calls():
    tokenizer = BertTokenizer(small_vocabulary())
    assert len(EXPECTED["uncased"]["calls"]) == len(CALLS)
    for (texts, settings), expected in zip(CALLS, EXPECTED["uncased"]["calls"], strict=True):
        encoding = tokenizer(*texts, **settings, **ANSWERS)
        # JSON has no tuples, so both go through it.
        assert json.loads(json.dumps(dict(encoding))) == expected, (texts, settings)
