"""The two vocabularies of a translation: what they keep of a text, and their files."""

import pytest

from bertnp.data import SentencePairs
from bertnp.tokenization import PairTokenizer

PAIRS = SentencePairs(
    ["Who is he?", "I love you.", "Don't ask (me)!", "It's a café."],
    ["他是谁？", "我爱你。", "别问我！Tom 去了 2 次。", "这是咖啡馆。"],
)


@pytest.mark.parametrize("units", ["wordpiece", "characters"])
@pytest.mark.parametrize("shared", [False, True])
def test_targets_come_back(units, shared, tmp_path):
    tokenizer = PairTokenizer.train(PAIRS, 200, shared, units, units)
    assert tokenizer.shared is shared
    tokenizer.save_pretrained(tmp_path)
    loaded = PairTokenizer.from_pretrained(tmp_path)
    assert loaded.shared is shared and loaded.target_units == units
    for one in (tokenizer, loaded):
        rows = one.encode_targets(PAIRS.targets)
        assert all(row[-1] == one.target.sep_token_id and one.target.unk_token_id not in row for row in rows)
        texts = [one.decode(row) for row in rows]
        if units == "characters":
            assert texts == PAIRS.targets
        else:
            assert texts == ["他是谁？", "我爱你。", "别问我！Tom去了2次。", "这是咖啡馆。"]
    sources = loaded.encode_sources(PAIRS.sources)
    assert sources == tokenizer.encode_sources(PAIRS.sources)
    assert loaded.tokens(sources[0], "source")[-1] == "[SEP]"
    assert loaded.encode_sources([]) == []


def test_chinese_is_cut_into_characters_and_capitals_stay():
    tokenizer = PairTokenizer.train(PAIRS, 200)
    assert tokenizer.tokens(tokenizer.encode_targets(["我爱他。"])[0]) == ["我", "爱", "他", "。", "[SEP]"]
    english = PairTokenizer.train(SentencePairs(PAIRS.targets, PAIRS.sources), 200)
    for text in PAIRS.sources:
        assert english.decode(english.encode_targets([text])[0]) == text


def test_characters_keep_spaces():
    tokenizer = PairTokenizer.train(PAIRS, 200, False, "characters", "characters")
    assert tokenizer.tokens(tokenizer.encode_sources(["I is"])[0], "source") == ["I", "▁", "i", "s", "[SEP]"]


def test_wrong_settings_are_named(tmp_path):
    tokenizer = PairTokenizer.train(PAIRS, 200, shared=True)
    with pytest.raises(ValueError, match="expected wordpiece or characters, got 'bytes'"):
        PairTokenizer(tokenizer.source, tokenizer.target, "bytes")
    with pytest.raises(ValueError, match="same units on both sides"):
        PairTokenizer(tokenizer.source, tokenizer.source, "characters")
    with pytest.raises(FileNotFoundError, match="holds no translation model"):
        PairTokenizer.from_pretrained(tmp_path)
    (tmp_path / "translation.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match="not the settings of a translation"):
        PairTokenizer.from_pretrained(tmp_path)
