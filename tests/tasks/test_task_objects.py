"""What tasks do with their data before anything is trained."""

import numpy as np
import pytest

from bertnp.data import Questions, TaggedSentences
from bertnp.tasks import TASKS
from bertnp.tasks.base import hold_out


def test_paragraphs_are_not_torn_apart():
    """Questions about one paragraph are all trained on, or all held out."""
    paragraphs = np.repeat(np.arange(10), [1, 4, 2, 3, 1, 1, 5, 2, 2, 3]).tolist()
    ids = [str(i) for i in range(len(paragraphs))]
    data = Questions(ids, ids, [f"text {p}" for p in paragraphs], [[] for _ in ids], paragraphs)
    rest, held_out = TASKS["span"]().split(data, 0.3, 1)
    assert not set(rest.contexts) & set(held_out.contexts)
    assert len(set(held_out.contexts)) == 3 and len(rest) + len(held_out) == len(data)
    assert rest.ids == sorted(rest.ids, key=int) and held_out.ids == sorted(held_out.ids, key=int)


def test_a_share_that_is_none_or_all_is_refused():
    data = TaggedSentences([["a"]] * 4, [["O"]] * 4)
    for share in (0.1, 0.9):
        with pytest.raises(ValueError, match=f"holding out {share} of 4 leaves"):
            hold_out(data, share, 0)


def test_balanced_weights():
    sentences = TaggedSentences([["a", "b", "c", "d"]], [["O", "O", "O", "B-x"]])
    task = TASKS["token"]()
    names = task.own_names(sentences)
    assert names == ["O", "B-x", "I-x"]
    weights = task.weights("balanced", sentences, names)
    assert weights == [4 / (3 * 3), 4 / 3, 1.0]  # n / (C count); a class that never occurs has 1
    assert task.weights({"B-x": 5.0}, sentences, names) == [1.0, 5.0, 1.0]
