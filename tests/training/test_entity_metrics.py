"""Entities in tags, and how many of them are right: as seqeval has it."""

import numpy as np
import pytest

from bertnp.training import entity_scores
from bertnp.training.metrics import entities

TRUE = ["B-PER I-PER O B-LOC", "O B-ORG I-ORG"]
PREDICTED = ["B-PER I-PER O B-ORG", "O B-ORG O"]


def split(*sentences):
    return [sentence.split() for sentence in sentences]


def random_tags(rng, kinds):
    """Sentences of tags in no order at all, some of them empty."""
    tags = ["O", "B", "I", *(f"{letter}-{kind}" for letter in "BIES" for kind in kinds)]
    return [rng.choice(tags, n).tolist() for n in rng.integers(0, 9, 40)]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("B-PER I-PER O B-LOC", [("PER", 0, 1), ("LOC", 3, 3)]),
        ("B-PER B-PER", [("PER", 0, 0), ("PER", 1, 1)]),
        ("I-PER I-PER", [("PER", 0, 1)]),  # an I that follows nothing begins one
        ("B-PER I-LOC I-LOC", [("PER", 0, 0), ("LOC", 1, 2)]),
        ("B-PER O I-PER", [("PER", 0, 0), ("PER", 2, 2)]),
        ("B-PER E-PER I-PER", [("PER", 0, 1), ("PER", 2, 2)]),
        ("S-PER I-PER", [("PER", 0, 0), ("PER", 1, 1)]),
        ("B-a-b I-a-b", [("a-b", 0, 1)]),
        ("B I O", [("_", 0, 1)]),
        ("O O", []),
        ("", []),
    ],
)
def test_which_entities_tags_spell(tags, expected):
    assert entities(tags.split()) == expected


def test_scores_by_hand():
    """Three entities are there, three were predicted; the person alone is right in type, first and last word."""
    found = entity_scores(split(*TRUE), split(*PREDICTED))
    assert {name: found[name] for name in ("precision", "recall", "f1")} == dict.fromkeys(
        ("precision", "recall", "f1"), pytest.approx(1 / 3, abs=1e-15)
    )
    assert found["per_type"] == {
        "LOC": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1},
        "ORG": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1},
        "PER": {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1},
    }
    nothing = entity_scores(split("O O"), split("O O"))
    assert nothing == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "per_type": {}}


def test_stored_scores_of_random_tags():
    """seqeval 1.2.2's."""
    tags = random_tags(np.random.default_rng(7), ["PER", "LOC"])
    found = entity_scores(tags, [sentence[::-1] for sentence in tags])
    assert found["precision"] == pytest.approx(0.33974358974358976, abs=1e-12)
    assert found["recall"] == pytest.approx(0.33544303797468356, abs=1e-12)
    assert found["f1"] == pytest.approx(0.33757961783439494, abs=1e-12)
    assert found["per_type"]["PER"]["f1"] == pytest.approx(0.25806451612903225, abs=1e-12)
    assert {kind: row["support"] for kind, row in found["per_type"].items()} == {"LOC": 65, "PER": 63, "_": 30}


@pytest.mark.parametrize("seed", range(20))
def test_scores_are_seqevals(seed):
    seqeval = pytest.importorskip("seqeval.metrics", reason="seqeval is not installed")
    rng = np.random.default_rng(seed)
    kinds = ["PER", "LOC", "a-b"][: 1 + seed % 3]
    true = random_tags(rng, kinds)
    predicted = [[tag if rng.random() < 0.7 else rng.choice(["O", "I-PER", "B-PER"]) for tag in tags] for tags in true]
    found = entity_scores(true, predicted)
    assert found["precision"] == pytest.approx(seqeval.precision_score(true, predicted), abs=1e-12)
    assert found["recall"] == pytest.approx(seqeval.recall_score(true, predicted), abs=1e-12)
    assert found["f1"] == pytest.approx(seqeval.f1_score(true, predicted), abs=1e-12)
    report = seqeval.classification_report(true, predicted, output_dict=True, zero_division=0)
    per_type = {kind: row for kind, row in report.items() if not kind.endswith(" avg")}
    assert set(found["per_type"]) == set(per_type)
    for kind, row in per_type.items():
        expected = {"precision": row["precision"], "recall": row["recall"], "f1": row["f1-score"]}
        assert found["per_type"][kind] == pytest.approx(expected | {"support": row["support"]}, abs=1e-12)


def test_intervals_vary_the_sentences():
    found = entity_scores(split(*TRUE), split(*PREDICTED), confidence=0.95)
    # Of two draws of a sentence both may be the second, where nothing is right, or the first, where half is.
    assert found["intervals"]["f1"] == (0.0, 0.5)


def test_what_is_wrong_is_named():
    with pytest.raises(ValueError, match="tag 2, 'X-PER': expected O, or B, I, E or S with a type"):
        entities(["O", "X-PER"])
    with pytest.raises(ValueError, match="tag 1, '': expected O"):
        entities([""])
    with pytest.raises(ValueError, match="sentence 2: expected 3 predicted tags, got 2"):
        entity_scores(split("O", "O O O"), split("O", "O O"))
    with pytest.raises(ValueError, match="for each of 2 sentences, got 1"):
        entity_scores(split("O", "O"), split("O"))
