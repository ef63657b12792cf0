"""Windows over texts that are longer than a model's input, and which of them has a say about which token.

Windows overlap by `stride` tokens. A token that stands in several is judged where it has most context, as Devlin et
al.'s run_squad.py does: where the smaller of the numbers of tokens to its left and to its right is largest.
"""

import numpy as np

DEFAULT_STRIDE = 128  # tokens, where the input is long enough; see default_stride


def default_stride(max_length):
    """How many tokens neighbouring windows share where nothing is said: 128, but at most a quarter of the input."""
    return min(DEFAULT_STRIDE, max_length // 4)


def text_windows(tokenizer, texts, pairs=None, max_length=None, stride=0):
    """Each text as one window or several, of at most max_length tokens; of pairs, the second text gets the windows.

    texts: a list of texts, or of lists of words   pairs: the second texts, or None
    ->  the windows, as the tokenizer's Encodings, text by text, and (n,) the text that each is of
    """
    if not texts:
        return [], np.zeros(0, np.int64)
    found = tokenizer(
        texts, pairs, truncation="longest_first" if pairs is None else "only_second", max_length=max_length,
        stride=stride, return_overflowing_tokens=True, is_split_into_words=not isinstance(texts[0], str),
    )  # fmt: skip
    return found.encodings, np.array(found["overflow_to_sample_mapping"], np.int64)


def shortened(tokenizer, texts, most):
    """The texts cut to at most so many tokens each, and the numbers of those that were longer."""
    ids = tokenizer(texts, add_special_tokens=False, return_token_type_ids=False, return_attention_mask=False,
                    verbose=False)["input_ids"] if texts else []  # fmt: skip
    long = [number for number, row in enumerate(ids) if len(row) > most]
    if not long:
        return texts, []
    texts = list(texts)
    offsets = tokenizer([texts[number] for number in long], add_special_tokens=False, return_offsets_mapping=True,
                        verbose=False)["offset_mapping"]  # fmt: skip
    for number, spans in zip(long, offsets, strict=True):
        texts[number] = texts[number][: spans[most - 1][1]] if most else ""
    return texts, long


def window_span(encoding, sequence):
    """(start, stop) among the tokens of text `sequence` (0 first, 1 second) of the stretch that a window shows."""
    part = next(part for part in encoding.parts if part.sequence == sequence)
    return part.start, part.stop


def most_context(spans):
    """For each token of a text the window where it has most context: argmax min(left, right) + n/100, the first best.

    Devlin et al.'s _check_is_max_context; n is the window's length.

    spans: [(start, stop), ...] of the windows, over all the tokens  ->  (tokens,) numbers of windows

    Chapter 16, equation 16.5.
    """
    length = max(stop for _, stop in spans)
    best, owner = np.full(length, -np.inf), np.zeros(length, np.int64)
    for number, (start, stop) in enumerate(spans):
        place = np.arange(stop - start)
        context = np.minimum(place, place[::-1]) + 0.01 * (stop - start)
        better = context > best[start:stop]
        best[start:stop][better] = context[better]
        owner[start:stop][better] = number
    return owner
