"""How translations are measured: loss and right tokens by hand, exact matches, BLEU as sacrebleu counts it."""

import numpy as np
import pytest

import bertnp.functional as F
from bertnp import Adam, Trainer, Transformer, TransformerConfig
from bertnp.data import EncodedPairs, copy_pairs
from bertnp.models.decoding import Hypothesis
from bertnp.optim.schedules import noam
from bertnp.tokenization import PairTokenizer
from bertnp.training import bleu, evaluate_translation, is_exact, translate
from bertnp.training.trainer import make_schedule

CONFIG = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}


@pytest.fixture(scope="module")
def copying():
    pairs = copy_pairs(100, most=4, letters="abc")
    tokenizer = PairTokenizer.train(pairs, 20, True, "characters", "characters")
    encoded = EncodedPairs(tokenizer.encode_sources(pairs.sources), tokenizer.encode_targets(pairs.targets))
    model = Transformer(TransformerConfig(vocab_size=len(tokenizer.source), hidden_dropout_prob=0.0, **CONFIG), seed=1)
    return model, encoded


def test_the_trainer_teaches_a_transformer_to_copy(copying):
    model, pairs = copying
    before = evaluate_translation(model, pairs)
    trainer = Trainer(
        model, pairs, pairs, epochs=40, batch_size=20, lr=5e-3, optimizer=Adam(model, betas=(0.9, 0.98), eps=1e-9),
        evaluator=lambda *what: evaluate_translation(*what, most=50), evaluate_every=100, best_by="exact_match",
    )  # fmt: skip
    record = trainer.train()
    after = record["best"]
    assert before["exact_match"] < 0.05 and after["exact_match"] > 0.9 and after["loss"] < 0.2 * before["loss"]
    assert trainer.best_by == "exact_match" and set(after) >= {"loss", "token_accuracy", "exact_match"}


def test_means_are_over_tokens(copying):
    model, pairs = copying
    found = evaluate_translation(model, pairs, batch_size=7)
    losses, right = [], []
    for row in range(len(pairs)):
        batch = pairs.batch([row])
        log_p, labels = F.log_softmax(model.eval()(**batch).logits)[0], batch["labels"][0]
        losses += (-log_p[np.arange(len(labels)), labels]).tolist()
        right += (log_p.argmax(axis=-1) == labels).tolist()
    assert found["loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert found["token_accuracy"] == pytest.approx(np.mean(right))
    exact = [is_exact(one, target, 3) for one, target in zip(translate(model, pairs), pairs.target_ids, strict=True)]
    assert found["exact_match"] == np.mean(exact)


def test_an_exact_match_has_ended_and_has_all_tokens():
    def found(tokens, finished=True):
        return Hypothesis(np.array(tokens, int), -1.0, -1.0, finished)

    assert is_exact(found([7, 8]), np.array([7, 8, 3]), 3)
    assert not is_exact(found([7, 8], finished=False), np.array([7, 8, 3]), 3)
    assert not is_exact(found([7]), np.array([7, 8, 3]), 3)
    assert not is_exact(found([7, 8, 8]), np.array([7, 8, 3]), 3)


def test_bleu_by_characters():
    pytest.importorskip("sacrebleu")
    references = ["我爱你们大家。", "他是谁？"]
    assert bleu(references, references, "char") == pytest.approx(100)
    some = bleu(["我爱你们。", "他是谁？"], references, "char")
    assert 40 < some < 100 and bleu(["你", "你"], references, "char") < 5


def test_bleu_says_what_is_missing(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(ImportError, match=r"pip install 'bertnp\[translate\]'"):
        bleu(["a"], ["a"])


def test_noam_through_the_trainer():
    schedule = make_schedule("noam", 1000, 40, 64)
    assert [schedule(step) for step in (0, 39, 500)] == [noam(step, 64, 40) for step in (0, 39, 500)]
    assert max(range(1000), key=schedule) == 39
