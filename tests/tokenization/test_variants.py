"""The modes "google" and "legacy"."""

import random

import pytest
from samples import LONG, SHORT, TRICKY, random_text, small_vocabulary

from bertnp.tokenization import BertTokenizer
from bertnp.tokenization.truncation import kept_lengths

VOCABULARY = small_vocabulary()
COMMON = "The QUICK brown-fox, un-want-ed: running; 中国x don't! café Straße."


def words(mode, text, **settings):
    """Each word as its pieces joined: what splitting gives, WordPiece put together again."""
    return BertTokenizer(VOCABULARY, mode=mode, **settings).tokenize(text)


def test_common_text_is_the_same_in_all_modes():
    for settings in ({}, {"do_lower_case": False}):
        fast, google, legacy = (words(mode, COMMON, **settings) for mode in ("fast", "google", "legacy"))
        assert fast == google == legacy


def test_where_they_differ():
    """Each rule that reference texts name, seen from outside."""
    table = {  # text: (fast, google, legacy)
        "a" * 101: (["[UNK]"], ["a"] + ["##a"] * 100, ["[UNK]"]),
        "a" * 201: (["[UNK]"], ["[UNK]"], ["[UNK]"]),
        "a[MASK]b": (["a", "[MASK]", "b"], ["a", "[", "m", "##a", "##s", "##k", "]", "b"], ["a", "[MASK]", "b"]),
        "a\u2028b": (["a", "b"], ["a", "b"], ["a", "b"]),  # a space to fast, split by str.split in the others
        "a\ue000b": (["a", "##b"], ["[UNK]"], ["a", "##b"]),  # private use: google keeps it
        "a\u0378b": (["[UNK]"], ["[UNK]"], ["a", "##b"]),  # unassigned: legacy drops it
        "a\U0002b820b": (["[UNK]"], ["a", "[UNK]", "b"], ["a", "[UNK]", "b"]),  # the ideographs fast forgets
        "ΣΑΣ": (["σ", "##α", "##σ"], ["σ", "##α", "##ς"], ["σ", "##α", "##ς"]),  # final sigma
    }
    for text, expected in table.items():
        for mode, tokens in zip(("fast", "google", "legacy"), expected, strict=True):
            tokenizer = BertTokenizer([*VOCABULARY, "##α"], mode=mode)
            assert tokenizer.tokenize(text) == tokens, (text[:9], mode)
    # Composed before it is split (legacy): e + U+0301 is é; the Angstrom sign is Å.
    cased = [*VOCABULARY, "##é", "Å", "\u212b", "##\u0301"]
    expected = {"fast": ["e", "##\u0301", "\u212b"], "google": ["e", "##\u0301", "\u212b"], "legacy": ["é", "Å"]}
    for mode, tokens in expected.items():
        assert BertTokenizer(cased, mode=mode, do_lower_case=False).tokenize("e\u0301 \u212b") == tokens


def test_google_keeps_accents_unless_it_lowers():
    vocabulary = [*VOCABULARY, "##À", "À"]
    assert BertTokenizer(vocabulary, mode="google", do_lower_case=False, strip_accents=True).tokenize("À") == ["À"]
    assert BertTokenizer(vocabulary, mode="google").tokenize("À") == ["a"]


def test_ties():
    """Of an odd number the second text keeps the larger half in fast mode, the first in the others."""
    lengths = {mode: [] for mode in ("fast", "google", "legacy")}
    for mode in lengths:
        tokenizer = BertTokenizer(VOCABULARY, mode=mode)
        for first, second in ((5, 5), (5, 6), (6, 5)):
            row = tokenizer("a " * first, "b " * second, truncation=True, max_length=10).token_type_ids
            lengths[mode].append((row.count(0) - 2, row.count(1) - 1))
    assert lengths["fast"] == [(3, 4), (3, 4), (4, 3)]
    assert lengths["google"] == lengths["legacy"] == [(4, 3), (4, 3), (4, 3)]


def test_first_keeps_the_tie_as_one_token_at_a_time():
    """The closed form against the loop it stands for: drop from the longer, from the second on a tie."""
    for first in range(12):
        for second in range(12):
            for room in range(24):
                a, b = first, second
                while a + b > room:
                    a, b = (a - 1, b) if a > b else (a, b - 1)
                assert kept_lengths(first, second, room, "longest_first", tie="first") == (a, b)


@pytest.mark.parametrize("mode", ["google", "legacy"])
def test_what_they_lack(mode):
    tokenizer = BertTokenizer(VOCABULARY, mode=mode)
    for wish in ("return_offsets_mapping", "return_overflowing_tokens"):
        with pytest.raises(ValueError, match=f"mode='{mode}' knows no offsets"):
            tokenizer("a", **{wish: True})
    encoding = tokenizer([SHORT, LONG], padding=True, return_tensors="np")
    assert encoding.input_ids.shape == encoding.attention_mask.shape
    with pytest.raises(ValueError, match="only right after tokenizing, with mode='fast'"):
        encoding.word_ids()


def test_unknown_mode():
    with pytest.raises(ValueError, match="mode='slow': must be one of fast, google, legacy"):
        BertTokenizer(VOCABULARY, mode="slow")


@pytest.mark.oracle
@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("strip_accents", [None, True, False])
def test_legacy_agrees_with_transformers(tmp_path, lower, strip_accents):
    module = pytest.importorskip("transformers.models.bert.tokenization_bert_legacy")
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    settings = {"do_lower_case": lower, "strip_accents": strip_accents}
    theirs = module.BertTokenizerLegacy(str(tmp_path / "vocab.txt"), **settings)
    ours = BertTokenizer(tmp_path / "vocab.txt", mode="legacy", **settings)
    generator = random.Random(3)
    texts = TRICKY + [random_text(generator) for _ in range(2000)]
    for text in texts:
        assert ours.tokenize(text) == theirs.tokenize(text), ascii(text)
        ids = ours.encode(text)
        assert ours.decode(ids) == theirs.decode(ids), ascii(text)
        assert ours.decode(ids, skip_special_tokens=True) == theirs.decode(ids, skip_special_tokens=True)
    for number in range(300):
        one, two = texts[number], texts[-number - 1]
        arguments = generator.choice([(one,), (one, two or "a"), ([one, two],), ([one, two], [two, one])])
        how = {
            "padding": generator.choice([False, True, "max_length"]),
            "truncation": generator.choice([True, False]),
            "max_length": generator.randint(4, 20),
            "padding_side": generator.choice(["left", "right"]),
            "return_special_tokens_mask": True,
            "return_token_type_ids": True,
            "verbose": False,
        }
        answers = [tokenizer(*arguments, **how) for tokenizer in (ours, theirs)]
        assert set(answers[0]) == set(answers[1])
        assert all(answers[0][name] == answers[1][name] for name in answers[1]), (arguments, how)
