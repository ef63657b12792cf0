"""From scores for the start and the end of an answer to the answer's text, as transformers 4's pipeline finds it."""

import numpy as np

MASKED = -10000.0  # the logit of a token that can't be in an answer


def find_answers(windows, context, logits, top_k=1, max_answer_length=15, no_answer=False):
    """The best answers to one question: [{"score", "start", "end", "answer"}, ...], the most probable first.

    In each window softmaxes run over its stretch of the paragraph and the [CLS]; a span's score is P(start) P(end).
    Spans are widened to whole words; those with the same text, also in another window, add up their scores. "start"
    and "end" are characters of the paragraph.

    windows: the windows over the question and its paragraph, as the tokenizer's Encodings
    logits: for each window (S, 2), for start and end; more than its tokens have (padding) is left out
    top_k: how many answers   max_answer_length: the longest, in tokens
    no_answer: whether "" is among them, with the smallest P(start) P(end) of a [CLS]
    """
    answers, none = all_answers(windows, context, logits, top_k, max_answer_length)
    if no_answer:
        answers.append({"score": none, "start": 0, "end": 0, "answer": ""})
    return sorted(answers, key=lambda answer: answer["score"], reverse=True)[:top_k]


def all_answers(windows, context, logits, top_k, max_answer_length):
    """The answers that `find_answers` chooses from, the most probable first, and the score of there being none."""
    answers, none = [], 1.0
    for window, scores in zip(windows, logits, strict=True):
        scores = np.asarray(scores)[: len(window)]
        allowed = np.array([sequence == 1 for sequence in window.sequence_ids])
        spans, null = best_spans(scores[:, 0], scores[:, 1], allowed, 2 * top_k + 10, max_answer_length)
        none = min(none, null)
        for first, last, score in spans:
            start, end = whole_words(window, first, last)
            _add(answers, score, start, end, context)
    return sorted(answers, key=lambda answer: answer["score"], reverse=True), none


def best_spans(start, end, allowed, top_k, max_answer_length):
    """The most probable spans of one window, and the probability that there is none.

    P(a, b) = softmax(start)_a softmax(end)_b for a <= b < a + max_answer_length, over allowed tokens and the [CLS];
    that there is none: P(0, 0).

    start, end: (S,) logits   allowed: (S,) truth values  ->  [(a, b, P), ...] with the largest first, and a number

    Chapter 16, equation 16.4.
    """
    kept = allowed.copy()
    kept[0] = True
    p_start, p_end = (_softmax(np.where(kept, logits, MASKED)) for logits in (start, end))
    null = float(p_start[0] * p_end[0])
    places = np.flatnonzero(allowed)
    pairs = np.outer(p_start[places], p_end[places])
    distance = places[None, :] - places[:, None]
    rows, columns = np.nonzero((distance >= 0) & (distance < max_answer_length))
    scores = pairs[rows, columns]
    best = np.argsort(-scores, kind="stable")[:top_k]
    return [(int(places[rows[i]]), int(places[columns[i]]), float(scores[i])) for i in best], null


def _softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def whole_words(window, first, last):
    """The characters from the start of the word that token `first` is in to the end of the word of token `last`."""
    words = window.word_ids
    while words[first - 1] == words[first]:
        first -= 1
    while last + 1 < len(window) and words[last + 1] == words[last]:
        last += 1
    return window.offsets[first][0], window.offsets[last][1]


def _add(answers, score, start, end, context):
    """Add an answer, or its score to one with the same text, capital letters aside."""
    text = context[start:end]
    same = next((answer for answer in answers if answer["answer"].lower() == text.lower()), None)
    if same is not None:
        same["score"] += score
    else:
        answers.append({"score": score, "start": start, "end": end, "answer": text})
