"""Recognising a known mistake by its numbers: the same inputs, the same cotangent, the same nine digits."""

import numpy as np

from bertnp.backend import to_numpy
from bertnp.gradcheck.mistakes import BACKWARD, FORWARD

MATCH = 1e-9  # numbers that agree so closely, of the largest, come from the same formula
SINGLE_MATCH = 1e-4  # in float32


def same_numbers(mine, other, loose=MATCH):
    """Do two answers come from the same formula? If max|a - b| <= loose · max(max|a|, max|b|); NaN counts as a number.

    Chapter 20, equation 20.1.
    """
    mine, other = np.asarray(mine), np.asarray(other)
    if mine.shape != other.shape or (np.isnan(mine) != np.isnan(other)).any():
        return False
    size = max(np.nanmax(np.abs(other), initial=0.0), np.nanmax(np.abs(mine), initial=0.0))
    return bool(np.nanmax(np.abs(mine - other), initial=0.0) <= loose * size)


class KnownMistakes:
    """The known mistakes of a case's formula, ready to be compared with an answer."""

    def __init__(self, case):
        self.case = case

    def match(self, mine, error, failure, g, inputs):
        """(sentence, label) of the mistakes that an answer shows, or None.

        mine: the gradients by name, or None where the backward raised `error`   failure: of the check
        """
        known = BACKWARD.get(self.case.formula, ())
        if error is None and mine is not None:
            return self._match_values(mine, known, g, inputs, failure)
        for mistake in known:
            answer = self._answer(mistake, g, inputs)
            if isinstance(answer, Exception) and _same_error(answer, error):
                return mistake.sentence, mistake.label
        return None

    def _match_values(self, mine, known, g, inputs, failure):
        for mistake in known:
            stage, words = mistake.betrayed_by or (None, None)
            if stage == failure.stage and words in failure.sentence:
                return mistake.sentence, mistake.label
        loose = SINGLE_MATCH if any(getattr(v, "dtype", None) == np.float32 for v in inputs.values()) else MATCH
        right = self.case.backward(_like_loss(g), inputs)
        wrong = [name for name in right if not same_numbers(mine[name], right[name], loose)]
        answers = {}
        for mistake in known if wrong else ():
            answer = self._answer(mistake, g, inputs)
            if isinstance(answer, Exception):
                continue
            answers[mistake] = answer
            if all(same_numbers(mine[name], answer[name], loose) for name in right):
                return mistake.sentence, mistake.label
        found = {}  # more than one mistake at once: each tensor by itself
        for name in wrong:
            for mistake, answer in answers.items():
                if same_numbers(mine[name], answer[name], loose):
                    found.setdefault(mistake, []).append(name)
                    break
            else:
                return None
        if not found:
            return None
        return " Besides: ".join(m.sentence for m in found), ", ".join(m.label for m in found)

    def _answer(self, mistake, g, inputs):
        """The gradients a mistake gives, or the exception it raises."""
        try:
            copies = {name: v.copy() if isinstance(v, np.ndarray) else v for name, v in inputs.items()}
            answer = self.case.backward(_like_loss(g), copies, mistake.plant())
            return {name: np.array(to_numpy(value)) for name, value in answer.items()}
        except Exception as error:
            return error


def _like_loss(g):
    return float(g) if np.ndim(g) == 0 else np.array(g)


def _same_error(one, other):
    return type(one) is type(other) and str(one) == str(other)


def known_forward_mistakes(case, mine, error):
    """The known wrong forwards whose outputs (or whose exception) these are."""
    found = []
    for mistake in FORWARD.get(case.formula, ()):
        try:
            outputs = case.forward(case.arguments, mistake.plant())
        except Exception as raised:
            if error is not None and _same_error(raised, error):
                found.append(mistake)
            continue
        if mine is not None and len(mine) == len(outputs):
            if all(same_numbers(a, to_numpy(b)) for a, b in zip(mine, outputs, strict=True)):
                found.append(mistake)
    return found
