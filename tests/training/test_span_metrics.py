"""Exact match and F1 of answers: as the scripts of SQuAD 1.1 and 2.0 define them."""

import numpy as np
import pytest

from bertnp.training import span_scores
from bertnp.training.metrics import answer_f1, normalize_answer

WORDS = ["the", "a", "An", "cat", "Cat.", "mat", "sat", "on", "-", "!", "1,000"]


def random_set(seed, with_no_answers):
    """Questions with up to three answers, predictions, and how likely it is that there is none: with ties."""
    rng = np.random.default_rng(seed)

    def text(least):
        return " ".join(rng.choice(WORDS, rng.integers(least, 5)))

    gold, predictions, no_answer = {}, {}, {}
    for number in range(30):
        gold[f"q{number}"] = [text(1) for _ in range(rng.integers(0 if with_no_answers else 1, 4))]
        predictions[f"q{number}"] = text(0)
        no_answer[f"q{number}"] = int(rng.integers(0, 20)) / 20
    return gold, predictions, no_answer


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The cat.", "cat"),
        ("  An  apple\ta day", "apple day"),
        ("theatre, a-b", "theatre ab"),
        ("the (A) an", ""),
        ("1,000 km²", "1000 km²"),
        ("“the”", "“ ”"),  # these are not ASCII
    ],
)
def test_what_of_an_answer_counts(text, expected):
    assert normalize_answer(text) == expected


def test_f1_counts_words_as_often_as_both_have_them():
    assert answer_f1("the cat sat on a mat", "cat cat on") == pytest.approx(4 / 7, abs=1e-15)
    assert answer_f1("cat", "mat") == 0.0
    assert answer_f1("the", "the") == 0.0


def test_spans_by_hand():
    gold = {"q1": ["the cat", "a black cat"], "q2": ["Paris"], "q3": ["in 1998"]}
    predictions = {"q1": "black cat", "q2": "London", "q3": "1998", "q4": "not asked"}
    found = span_scores(gold, predictions)
    assert found == {"exact": pytest.approx(1 / 3), "f1": pytest.approx((1 + 0 + 2 / 3) / 3), "total": 3}


def test_questions_without_answer_by_hand():
    gold = {"q1": ["cat"], "q2": [], "q3": [], "q4": ["mat"]}
    predictions = {"q1": "a cat", "q2": "", "q3": "dog", "q4": ""}
    assert span_scores(gold, predictions) == {
        "exact": 0.5, "f1": 0.5, "total": 4, "HasAns_exact": 0.5, "HasAns_f1": 0.5, "HasAns_total": 2,
        "NoAns_exact": 0.5, "NoAns_f1": 0.5, "NoAns_total": 2,
    }  # fmt: skip
    doubt = {"q1": 0.1, "q2": 0.9, "q3": 0.8, "q4": 0.2}
    found = span_scores(gold, predictions, doubt)
    assert found["exact"] == 0.5  # nothing is above 1
    assert (found["best_exact"], found["best_exact_thresh"]) == (0.75, 0.1)
    assert (found["best_f1"], found["best_f1_thresh"]) == (0.75, 0.1)
    assert span_scores(gold, predictions, doubt, no_answer_threshold=0.1)["exact"] == 0.75
    nothing = span_scores({"q1": ["cat"], "q2": []}, {"q1": "dog", "q2": "dog"}, {"q1": 0.3, "q2": 0.4})
    assert (nothing["best_exact"], nothing["best_exact_thresh"]) == (0.5, 0.0)


def test_an_answer_of_which_nothing_is_left():
    """In 1.1 it can be matched, and shares no word; in 2.0 the question has then no answer."""
    assert span_scores({"q": ["the"]}, {"q": "a"}) == {"exact": 1.0, "f1": 0.0, "total": 1}
    of_2 = span_scores({"q": ["the"]}, {"q": "a"}, version="2.0")
    assert (of_2["exact"], of_2["f1"], of_2["HasAns_total"]) == (1.0, 1.0, 1)


# The scripts' definitions, question by question


def slow_f1(answer, prediction):
    left, shared = normalize_answer(answer).split(), 0
    words = normalize_answer(prediction).split()
    expected = len(left)
    for word in words:
        if word in left:
            left.remove(word)
            shared += 1
    if not shared:
        return 0.0
    precision, recall = shared / len(words), shared / expected
    return 2 * precision * recall / (precision + recall)


def slow_scores_2(answers, prediction):
    answers = [answer for answer in answers if normalize_answer(answer)] or [""]
    scores = []
    for answer in answers:
        same = float(normalize_answer(answer) == normalize_answer(prediction))
        no_words = not normalize_answer(answer) or not normalize_answer(prediction)
        scores.append((same, same if no_words else slow_f1(answer, prediction)))
    return [max(column) for column in zip(*scores, strict=True)]


def slow_best(gold, predictions, no_answer, scores):
    """Try every place to stop, from answering nothing to answering everything."""
    order = sorted(no_answer, key=no_answer.get)
    best, threshold = -1.0, None
    for stop in range(len(order) + 1):
        total = 0.0
        for place, key in enumerate(order):
            if place < stop:
                total += scores[key] if gold[key] else not predictions[key]
            else:
                total += not gold[key]
        if total > best + 1e-9:
            best, threshold = total, no_answer[order[stop - 1]] if stop else 0.0
    return best / len(order), threshold


@pytest.mark.parametrize("seed", range(10))
def test_scores_are_those_of_squad_1(seed):
    gold, predictions, _ = random_set(seed, with_no_answers=False)
    found = span_scores(gold, predictions, version="1.1")
    exact = [any(normalize_answer(a) == normalize_answer(predictions[key]) for a in gold[key]) for key in gold]
    f1 = [max(slow_f1(a, predictions[key]) for a in gold[key]) for key in gold]
    assert found == {"exact": pytest.approx(np.mean(exact)), "f1": pytest.approx(np.mean(f1)), "total": 30}


@pytest.mark.parametrize("seed", range(10))
def test_scores_are_those_of_squad_2(seed):
    gold, predictions, no_answer = random_set(seed, with_no_answers=True)
    scores = {key: slow_scores_2(gold[key], predictions[key]) for key in gold}
    found = span_scores(gold, predictions, no_answer)
    assert found["exact"] == pytest.approx(np.mean([exact for exact, _ in scores.values()]), abs=1e-12)
    assert found["f1"] == pytest.approx(np.mean([f1 for _, f1 in scores.values()]), abs=1e-12)
    for column, name in enumerate(("exact", "f1")):
        best, threshold = slow_best(gold, predictions, no_answer, {key: row[column] for key, row in scores.items()})
        assert found[f"best_{name}"] == pytest.approx(best, abs=1e-12)
        assert found[f"best_{name}_thresh"] == threshold


def test_intervals_vary_the_questions():
    gold = {str(number): ["cat"] for number in range(40)}
    predictions = {key: "cat" if int(key) % 4 else "the mat" for key in gold}
    low, high = span_scores(gold, predictions, confidence=0.95)["intervals"]["exact"]
    assert 0.55 < low < 0.68 and 0.82 < high < 0.95  # 0.75 ± 1.96 √(0.75 · 0.25 / 40)


def test_what_is_wrong_is_named():
    gold = {"q1": ["cat"], "q2": ["mat"]}
    with pytest.raises(ValueError, match="predictions: 1 of 2 questions have none .the first is 'q2'"):
        span_scores(gold, {"q1": "cat"})
    with pytest.raises(ValueError, match="no_answer: 2 of 2 questions have none"):
        span_scores(gold, {"q1": "", "q2": ""}, {})
    with pytest.raises(ValueError, match="in version 1.1 every question has an answer, here some have none"):
        span_scores({"q1": []}, {"q1": ""}, version="1.1")
    with pytest.raises(ValueError, match="no_answer: in version 1.1"):
        span_scores(gold, {"q1": "", "q2": ""}, {"q1": 0, "q2": 0}, version="1.1")
    with pytest.raises(ValueError, match="expected '1.1' or '2.0', got '3'"):
        span_scores(gold, {}, version="3")
    with pytest.raises(ValueError, match="there are no questions"):
        span_scores({}, {})
