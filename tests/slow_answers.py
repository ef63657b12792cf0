"""What `find_answers` does, written without haste: every span of every window, one after the other, in plain Python."""

import math


def slow_answers(windows, context, logits, top_k, max_answer_length, no_answer):
    """As `bertnp.data.answers.find_answers`."""
    answers, nothing = [], 1.0
    for window, scores in zip(windows, logits, strict=True):
        tokens = [i for i in range(len(window)) if window.sequence_ids[i] == 1]
        start, end = (probabilities([float(row[side]) for row in scores], [0, *tokens]) for side in (0, 1))
        nothing = min(nothing, start[0] * end[0])
        spans = []
        for i, a in enumerate(tokens):
            for b in tokens[i : i + max_answer_length]:
                spans.append((-start[a] * end[b], a, b))
        for score, a, b in sorted(spans)[: 2 * top_k + 10]:
            of_word_a = [i for i in tokens if window.word_ids[i] == window.word_ids[a]]
            of_word_b = [i for i in tokens if window.word_ids[i] == window.word_ids[b]]
            first, last = window.offsets[of_word_a[0]][0], window.offsets[of_word_b[-1]][1]
            text = context[first:last]
            for answer in answers:
                if answer["answer"].lower() == text.lower():
                    answer["score"] += -score
                    break
            else:
                answers.append({"score": -score, "start": first, "end": last, "answer": text})
    if no_answer:
        answers.append({"score": nothing, "start": 0, "end": 0, "answer": ""})
    return sorted(answers, key=lambda answer: -answer["score"])[:top_k]


def probabilities(logits, tokens):
    """{token: softmax over these tokens}"""
    most = max(logits[i] for i in tokens)
    total = sum(math.exp(logits[i] - most) for i in tokens)
    return {i: math.exp(logits[i] - most) / total for i in tokens}
