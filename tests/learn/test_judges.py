"""The parts that judges are made of."""

import numpy as np
import pytest

from bertnp.learn.judges import Finding, compared, equal, of_findings, properties, sieve, unlike

INF = np.inf


@pytest.mark.parametrize("mine, right, same", [
    (1.0, 1.0 + 1e-12, True), (1.0, 1.0 + 1e-6, False), (3, 3.0, True), ("3", 3.0, False), (None, 3.0, False),
    ([1.0, 2.0], np.array([1.0, 2.0]), True), (np.ones((2, 1)), np.ones(2), False), (np.ones(3), np.ones(2), False),
    (np.array([0.0, -INF]), np.array([0.0, -INF]), True), (np.array([0.0, -INF]), np.array([0.0, 1.0]), False),
    (np.array([INF]), np.array([-INF]), False), (np.array([0.0]), np.array([np.nan]), False),
    (True, True, True), (1, True, False), (np.bool_(False), False, True), (2, 2, True), (np.int64(2), 2, True),
    (["a", "b"], ["a", "b"], True), (("a",), ["a"], False), ([1, 2.0], (1, 2.0), True), ((1,), (1, 2), False),
    (np.arange(2), 1, False), ({}, [], False), ([[1.0], [1.0, 2.0]], np.ones(2), False),
])  # fmt: skip
def test_equal(mine, right, same):
    assert equal(mine, right) is same


@pytest.mark.parametrize("mine, right, words", [
    ([["a"], ["b", "c"]], [["a"], ["bc"]], "yours is ['b', 'c'], expected ['bc']"),
    ((np.arange(3), np.zeros(2)), (np.arange(3), np.ones(2)), "number 2: it is not the formula's, most of all at [0]"),
    (np.ones(3), np.ones(2), "shape (3,), expected (2,)"),
    (np.ones(3), [1, 2], "yours is array([1., 1., 1.]), expected [1, 2]"),
    ("ab ##c", "abc", "yours is ab ##c, expected abc"),
    (None, np.arange(9.0), "expected an array (9,) that begins [0. 1. 2. ...]"),
    ("x" * 200, "y", "..."),
])  # fmt: skip
def test_unlike_names_what_differs(mine, right, words):
    assert words in unlike(mine, right) and len(unlike(mine, right)) < 250


def test_a_known_mistake_is_called_by_its_name_and_others_are_described():
    known = [(4.0, "doubled", "It is doubled.")]
    assert compared("a number", 2.0, 2.0, known) == Finding("a number")
    assert compared("a number", 4.0, 2.0, known) == Finding("a number", "It is doubled.", "doubled")
    assert compared("a number", 5.0, 2.0, known).sentence == "a number: yours is 5.0, expected 2.0."


def test_findings_count_alike_and_the_first_is_told():
    verdict = of_findings("f", [Finding("a"), Finding("b", "B is wrong.", "b"), Finding("c", "C is wrong.", "c")])
    assert (verdict.ok, verdict.sentence, verdict.mistake) == (False, "B is wrong.", "b")
    assert verdict.score == pytest.approx(1 / 3)
    assert verdict.text.splitlines() == ["f", " ok     a", " WRONG  b", " WRONG  c", " => B is wrong."]
    assert of_findings("f", [Finding("a")]).ok
    assert of_findings("f", [Finding("a")] * 20 + [Finding("b", "No.", "b")]).score == 0.9


def test_a_judge_of_properties_draws_by_the_seed_and_sees_what_is_written():
    drawn = []

    @properties
    def judge(f, rng):
        drawn.append(rng.rand())
        for values in (np.zeros(2), [1, 2], {1, 2}, {"a": np.zeros(2)}):
            yield compared("a value", f(values), 1)

    assert judge({"f": lambda values: 1}, 5).ok and judge({"f": lambda values: 1}, 5).ok
    judge({"f": lambda values: 1}, 6)
    assert drawn[0] == drawn[1] != drawn[2]
    for spoil in (lambda v: v.fill(1), lambda v: v.pop(), lambda v: v["a"].fill(1)):

        def writes(values, spoil=spoil):
            try:
                spoil(values)
            except (AttributeError, TypeError, KeyError, IndexError):
                pass
            return 1

        assert judge({"f": writes}, 5).mistake == "writes"


def test_a_check_is_worth_the_share_of_the_wrong_that_it_rejects():
    right, wrong = {"two": 2, "four": 4}, {"one": (1, "Divide by 2."), "three": (3, "Divide by 2."), "half": (0.5, "")}
    verdict = sieve("is_even", lambda x: x % 2 == 0, right, wrong)
    assert verdict.ok and verdict.score == 1 and "3 of 3 wrong ones rejected" in verdict.text
    verdict = sieve("is_even", lambda x: x != 1, right, wrong)
    assert not verdict.ok and verdict.score == pytest.approx(1 / 3) and verdict.mistake == "accepts: three"
    assert verdict.sentence == "It accepts what is wrong: three. Divide by 2."
    assert sieve("is_even", lambda x: x == 2, right, wrong).score == 0  # rejects a right one, whatever else it rejects
    assert sieve("is_even", lambda x: None, right, wrong).mistake == "no bool"
    breaks = sieve("is_even", lambda x: [True][x % 2] if x > 0.6 else False, right, wrong)
    assert breaks.ok  # an error on what is wrong is a rejection
    with pytest.raises(ZeroDivisionError):
        sieve("is_even", lambda x: 1 / 0, right, wrong)  # but not on what is right
