"""Published checkpoints at work: what they predict, beyond that they load."""

import re

import numpy as np
import pytest

import bertnp
from bertnp.functional import softmax

pytestmark = pytest.mark.data

# Reactions as the models read them: atoms, bonds and brackets are the words, ">>" leads from reactants to product.
REACTIONS = (
    "CC(=O)O.OCC>>CC(=O)OCC",
    "CC(=O)Cl.Nc1ccccc1>>CC(=O)Nc1ccccc1",
    "O=C(O)c1ccccc1.CO>>COC(=O)c1ccccc1",
    "Brc1ccccc1.OB(O)c1ccccc1>>c1ccc(-c2ccccc2)cc1",
    "O=[N+]([O-])c1ccccc1>>Nc1ccccc1",
    "COC(=O)c1ccc(Br)cc1.[Na+].[OH-]>>O=C(O)c1ccc(Br)cc1",
    "CCBr.Oc1ccccc1>>CCOc1ccccc1",
    "O=Cc1ccccc1.NCCc1ccccc1>>C(=NCCc1ccccc1)c1ccccc1",
)
ATOMS = re.compile(r"\[[^\]]+\]|Br|Cl|>>|%\d\d|.")


@pytest.fixture(scope="module")
def reactions(checkpoint_dir):
    """The reactions as ids of the models' own vocabulary, [CLS] and [SEP] around each."""
    folder = checkpoint_dir / "rxnfp/models/transformers"
    words = (folder / "bert_pretrained" / "vocab.txt").read_text(encoding="utf-8").split("\n")
    ids = {word: number for number, word in enumerate(words)}
    return folder, ids, [[ids[w] for w in ["[CLS]", *ATOMS.findall(r), "[SEP]"]] for r in REACTIONS]


def test_classifier_gives_a_distribution_over_its_classes(reactions):
    folder, _, rows = reactions
    model = bertnp.BertForSequenceClassification.from_pretrained(folder / "bert_ft_10k_25s", dtype=np.float64)
    assert model.load_report.complete
    probabilities = np.concatenate([softmax(model(np.array([row])).logits) for row in rows])  # (reactions, 50)
    assert probabilities.shape == (len(rows), 50)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=0, atol=1e-12)
    assert (probabilities > 0).all()
    assert np.median(probabilities.max(axis=1)) > 0.5  # it has been trained: far from 1/50 each
    assert len(set(probabilities.argmax(axis=1))) > 3  # and tells kinds of reactions apart


def test_masked_words_are_predicted_far_above_chance(reactions):
    folder, ids, rows = reactions
    model = bertnp.BertForPreTraining.from_pretrained(folder / "bert_pretrained")
    right = total = 0
    for row in rows:
        places = np.arange(1, len(row) - 1)
        masked = np.repeat([row], len(places), axis=0)  # each copy with another word hidden
        masked[np.arange(len(places)), places] = ids["[MASK]"]
        with bertnp.inference():
            logits = model(masked).prediction_logits  # (places, S, V)
        guesses = logits[np.arange(len(places)), places].argmax(axis=-1)
        right += int((guesses == np.array(row)[places]).sum())
        total += len(places)
    most_frequent = max(np.bincount(np.concatenate([row[1:-1] for row in rows]))) / total
    assert right / total > 2 * most_frequent > 2 / len(ids)
