"""Kept lengths and windows, by hand."""

import pytest

from bertnp.tokenization import BertTokenizer
from bertnp.tokenization.truncation import kept_lengths, windows


@pytest.mark.parametrize(("arguments", "spans"), [
    ((5, 5, 0, "right"), [(0, 5)]),
    ((5, 9, 3, "right"), [(0, 5)]),
    ((7, 3, 0, "right"), [(0, 3), (3, 6), (6, 7)]),
    ((7, 3, 1, "right"), [(0, 3), (2, 5), (4, 7)]),
    ((7, 3, 2, "right"), [(0, 3), (1, 4), (2, 5), (3, 6), (4, 7)]),
    ((7, 3, 0, "left"), [(4, 7), (1, 4), (0, 1)]),
    ((8, 3, 1, "left"), [(5, 8), (3, 6), (1, 4), (0, 2)]),
    ((4, 0, 0, "right"), [(0, 0), (0, 4)]),
    ((0, 0, 0, "right"), [(0, 0)]),
])  # fmt: skip
def test_windows(arguments, spans):
    assert windows(*arguments) == spans


@pytest.mark.parametrize(("arguments", "kept"), [
    ((4, 5, 9, "longest_first"), (4, 5)),
    ((9, None, 4, "longest_first"), (4, None)),
    ((5, 5, 7, "longest_first"), (3, 4)),
    ((6, 5, 7, "longest_first"), (4, 3)),
    ((2, 9, 7, "longest_first"), (2, 5)),
    ((9, 0, 7, "longest_first"), (7, 0)),
    ((9, 2, 7, "only_first"), (5, 2)),
    ((9, None, 7, "only_first"), (7, None)),
    ((2, 9, 7, "only_second"), (2, 5)),
    ((2, 9, 0, "only_second"), (0, 0)),  # where nothing fits, the strategy doesn't matter
])  # fmt: skip
def test_kept_lengths(arguments, kept):
    assert kept_lengths(*arguments) == kept


@pytest.mark.parametrize("side", ["right", "left"])
def test_every_token_is_in_some_window(side):
    for length in range(15):
        for size in range(1, 9):
            for stride in range(size):
                spans = windows(length, size, stride, side)
                assert set().union(*(range(*span) for span in spans)) == set(range(length))
                assert all(stop - start <= size for start, stop in spans)
                for (a, b), (c, d) in zip(spans, spans[1:], strict=False):
                    assert (b - c if side == "right" else d - a) == stride


def test_sides():
    tokenizer = BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdef"], truncation_side="left")
    assert tokenizer.tokenize("a b c d e f", add_special_tokens=True, max_length=5) == ["[CLS]", "d", "e", "f", "[SEP]"]
    batch = tokenizer(["a b", "c"], padding=True, padding_side="left", return_special_tokens_mask=True)
    assert batch.input_ids == [[2, 4, 5, 3], [0, 2, 6, 3]]
    assert batch.attention_mask == [[1, 1, 1, 1], [0, 1, 1, 1]]
    assert batch.special_tokens_mask == [[1, 0, 0, 1], [1, 1, 0, 1]]
    assert batch.sequence_ids(1) == [None, None, 0, None]
    assert batch.char_to_token(1, 0) == 2
    tokenizer.padding_side = "left"
    assert tokenizer.pad([{"input_ids": [2, 3]}, {"input_ids": [2]}]).input_ids == [[2, 3], [0, 2]]
