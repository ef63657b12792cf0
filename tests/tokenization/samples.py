"""Texts and calls that the tokenizer's tests share."""

TRICKY = [
    "", "   ", " \tHeLLo!how  \n Are yoU?  ", "Héllo", "He\u0301llo", "UNwant\u00e9d,running", "ah博推zz",
    "don't can't I'm", "it’s “quoted”—dash…", "U.S.A. $3.50 50% a_b #tag @me", "C++ x^2 `code` ~tilde|pipe<b>",
    "ΟΔΥΣΣΕΥΣ ΣΣ", "İstanbul Iı", "Straße ẞ", "ﬁnance ﬃ", "\u212b\u212a \u2126", "\u1e9b\u0323", "ＡＢＣ！\u3000１",
    "日本語のテスト。", "한국어 테스트", "ภาษาไทย", "हिन्दी", "שָׁלוֹם", "اَلْعَرَبِيَّة", "a\u00a0b\u2003c\u200bd\ufeffe",
    "a\u2028b\u2029c\x0bd\x0ce\x85f\x1cg", "\x00nul\ufffdrepl\x07bell\x7fdel", "soft\u00adhyphen zero\u200dwidth",
    "👩‍💻 👍🏽 ❤️", "\ue000priv \U000f0000", "\U0002b820 \U0002b91f \U0002b920 \U0002a700", "a\U0002b820b",
    "a\U0002b920b",
    "\uf900 \u8c48 \U0002f800", "\u1100\u1161\u11a8", "① ½ x² H₂O", "a\u0300\u0301\u0302b \u0302",
    "[MASK] [CLS]x[SEP] [mask]", "##ing un##able", "x" * 101, "é" * 100, "a" * 99 + "é", "a-b--c...d!?",
    "www.ex-ample.com/a?b=1&c=2", "1,234.56e-7", "\u180eMVS\u061cALM\u202eRLO", "\u0378unassigned", "〇々 ・ 、",
    "· \u0387 \u037e", "café\u0301", "\u01c5 \u01c4", "tab\tcr\rlf\ncrlf\r\nend", "\u2e4f \u2e43", "a\u2e4fb", "\ud7ff",
    "a[MASK]b", "[CLS] a [SEP]", "a\u0301b", "naïve", "c\x0bd", "\u166d x\u166dy a\u1734b",
    # Marks that outlast the accents and change places: musical stems, tone marks, marks younger than the tables.
    "\U0001d15e\U0001d16d x", "a\u302e\u0316\u302fb", "e\u0301\u302e", "\u08d4\u0316a", "\U0001e944\u0323\U0001e94a",
    "a\u0316\U0001d165\u0345\u0334b", "\u0f73\u0f71 \u0344\u0316", "\U00011938 \u1c89 \ua7dc \U00010d50",
]  # fmt: skip

LONG = "the quick brown fox jumps over the lazy dog again and again"
SHORT = "unwanted running, ok?"

# (texts, settings): every way to call, with a window or padding somewhere in it.
CALLS = [
    ([SHORT], {}),
    ([SHORT, LONG], {}),
    ([SHORT, ""], {}),
    ([[SHORT, ""]], {"padding": True}),
    ([[SHORT, LONG]], {"padding": "longest", "pad_to_multiple_of": 8}),
    ([[SHORT, LONG], [LONG, SHORT]], {"padding": "max_length", "max_length": 24, "truncation": True}),
    ([[SHORT, LONG], [LONG, LONG]], {"padding": True, "padding_side": "left"}),
    ([[[SHORT, LONG], [LONG, ""]]], {"truncation": "longest_first", "max_length": 10}),
    ([LONG, LONG], {"truncation": True, "max_length": 12}),
    ([LONG, LONG], {"truncation": True, "max_length": 13}),
    ([LONG], {"max_length": 8, "stride": 2, "return_overflowing_tokens": True}),
    ([LONG], {"max_length": 2, "return_overflowing_tokens": True}),
    ([[LONG, SHORT]], {"truncation": True, "max_length": 8, "return_overflowing_tokens": True, "padding": True}),
    ([LONG, LONG], {"truncation": True, "max_length": 13, "stride": 2, "return_overflowing_tokens": True}),
    ([SHORT, LONG], {"truncation": "only_second", "max_length": 16, "stride": 3, "return_overflowing_tokens": True}),
    ([LONG, SHORT], {"truncation": "only_first", "max_length": 16, "return_overflowing_tokens": True}),
    ([LONG, SHORT], {"truncation": "only_first", "max_length": 3}),
    ([LONG, SHORT], {"add_special_tokens": False, "truncation": True, "max_length": 7}),
    ([LONG], {"truncation": False, "max_length": 7}),
    ([["the quick", "brown"]], {"is_split_into_words": True}),
    ([[["the quick", "brown"], ["fox"]]], {"is_split_into_words": True, "padding": True}),
    ([["the", "dog's"], ["", "lazy"]], {"is_split_into_words": True, "truncation": True, "max_length": 6}),
]  # fmt: skip
ANSWERS = {"return_offsets_mapping": True, "return_special_tokens_mask": True, "return_length": True}

POOLS = [
    (32, 127), (0xA0, 0x250), (0x300, 0x370), (0x370, 0x600), (0x600, 0xE80), (0x1AB0, 0x1B00), (0x1D150, 0x1D200),
    (0, 0x20), (0x2000, 0x2070), (0x3000, 0x3100), (0x4E00, 0x4E40), (0xAC00, 0xAC40), (0x1100, 0x1200),
    (0x1F600, 0x1F650), (0xF900, 0xFA00), (0, 0xD800), (0xE000, 0x110000),
]  # fmt: skip
SNIPPETS = ["[MASK]", "[SEP]", "[mask]", "##ing", "hello ", " world", " ", "\u0301", "\u302e", "\U0001d165", "\u08d4"]


def random_text(generator):
    """A text that mixes a few scripts, marks, controls and special tokens."""
    pools = generator.choices([*POOLS, None], k=generator.randint(1, 4))
    parts = []
    for _ in range(generator.randint(0, 30)):
        pool = generator.choice(pools)
        parts.append(generator.choice(SNIPPETS) if pool is None else chr(generator.randrange(*pool)))
    return "".join(parts)


def small_vocabulary():
    """A few hundred tokens: enough to cut the tricky strings into known, continued and unknown pieces."""
    letters = [chr(code) for code in range(33, 127)]
    others = list("éıßσςﬁ日本語한かの中博推豈\u0928\u0e01\u05e9\u0627½²①。、\u302e\U0001d165\U0001d158\u08d4")
    words = ["the", "quick", "brown", "fox", "un", "##want", "##ed", "run", "##ning", "hello", "Hello", "##llo", "don"]
    characters = letters + others
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters, *("##" + c for c in characters), *words]
