"""Pre-training with the Trainer: what the loss begins at, that it can go to zero, and that pieces add up."""

import math
import random

import numpy as np
import pytest
from tiny_model import tiny_tokenizer, toy_sentences

import bertnp
from bertnp.backend import to_numpy
from bertnp.data import DynamicMasking, PretrainingInstances, create_pretraining_instances
from bertnp.training import Trainer, evaluate_pretraining


def instances(documents=12, seed=0, dupe_factor=2):
    tokenizer = tiny_tokenizer()
    sentences = [tokenizer.tokenize(text) for text, _ in toy_sentences(documents * 6, seed)]
    corpus = [sentences[i : i + 6] for i in range(0, len(sentences), 6)]
    records = create_pretraining_instances(
        corpus, tokenizer, max_seq_length=24, dupe_factor=dupe_factor, short_seq_prob=0.1, masked_lm_prob=0.15,
        max_predictions_per_seq=4, whole_word=False, rng=random.Random(12345),
    )  # fmt: skip
    return PretrainingInstances.from_records(records, tokenizer)


def make_model(kind=bertnp.BertForPreTraining, dtype=np.float64, dropout=0.1, **config):
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = bertnp.BertConfig(
        **{**sizes, "vocab_size": len(tiny_tokenizer()), "max_position_embeddings": 24, **config},
        hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout,
    )  # fmt: skip
    return kind(config, dtype=dtype, seed=1)


def rows_of(examples, n):
    class Few:
        lengths = examples.lengths[:n]

        def __len__(self):
            return n

        def batch(self, rows):
            return examples.batch(rows)

    return Few()


def test_one_batch_is_learned_by_heart():
    batch = rows_of(instances(), 8)
    trainer = Trainer(
        make_model(dtype=np.float32, dropout=0.0, num_hidden_layers=1), batch, steps=150, batch_size=8, lr=1e-2, seed=0
    )
    record = trainer.train()
    scores = evaluate_pretraining(trainer.model, batch)
    assert trainer.loss < 0.01 and scores["loss"] < 0.01
    assert scores["masked_lm_accuracy"] == scores["next_sentence_accuracy"] == 1.0
    assert record["settings"]["epochs"] is None and record["settings"]["steps"] == 150


@pytest.mark.parametrize("vocabulary", [300, 8000])
def test_a_model_that_knows_nothing_takes_every_word_to_be_as_likely(vocabulary):
    examples = instances()
    model = make_model(vocab_size=vocabulary, hidden_size=64)
    scores = evaluate_pretraining(model, examples)
    assert scores["masked_lm_loss"] == pytest.approx(math.log(vocabulary), rel=0.02)
    assert scores["next_sentence_loss"] == pytest.approx(math.log(2), rel=0.02)
    assert scores["loss"] == pytest.approx(scores["masked_lm_loss"] + scores["next_sentence_loss"], rel=1e-12)


@pytest.mark.parametrize("kind", [bertnp.BertForPreTraining, bertnp.BertForMaskedLM])
@pytest.mark.parametrize("micro_batch_size", [1, 3, 7])
def test_cutting_a_batch_into_pieces_changes_nothing(kind, micro_batch_size):
    """The masked words' mean and the next sentences' have different counts in each piece."""
    examples = instances()

    def run(size):
        trainer = Trainer(
            make_model(kind), DynamicMasking(examples, tiny_tokenizer(), seed=3), examples, steps=5, batch_size=10,
            micro_batch_size=size, lr=1e-2, clip=0.5, seed=2, log_every=2,
        )  # fmt: skip
        record = trainer.train()
        return to_numpy(trainer.model.buffer.data), record["history"][-1]

    (whole, entry), (cut, entry_cut) = run(None), run(micro_batch_size)
    assert np.abs(whole - cut).max() < 1e-12 * np.abs(whole).max()
    assert entry["train_loss"] == pytest.approx(entry_cut["train_loss"], rel=1e-12)
    assert entry["held_out"] == pytest.approx(entry_cut["held_out"], rel=1e-9)


def test_evaluation_is_the_mean_over_all_masked_words_however_they_are_batched():
    examples, model = instances(), make_model()
    whole, parts = (evaluate_pretraining(model, examples, size) for size in (1000, 3))
    assert whole == pytest.approx(parts, rel=1e-12)
    losses, right, counted = [], 0, 0
    with bertnp.inference():
        for row in range(len(examples)):
            batch = examples.batch([row])
            logits = model(**{name: batch[name] for name in ("input_ids", "token_type_ids")}).prediction_logits[0]
            for place in np.flatnonzero(batch["labels"][0] != -100):
                label = batch["labels"][0, place]
                log_p = logits[place] - np.log(np.exp(logits[place]).sum())
                losses.append(-log_p[label])
                right += log_p.argmax() == label
                counted += 1
    assert whole["masked_lm_loss"] == pytest.approx(np.mean(losses), rel=1e-10)
    assert whole["masked_lm_accuracy"] == pytest.approx(right / counted, rel=1e-12)


def test_the_best_is_the_one_of_smallest_held_out_loss():
    examples = instances()
    trainer = Trainer(make_model(), examples, instances(seed=5), steps=12, batch_size=8, lr=1e-2, evaluate_every=3)
    record = trainer.train()
    losses = [entry["held_out"]["loss"] for entry in record["history"]]
    assert [entry["step"] for entry in record["history"]] == [3, 6, 9, 12]
    assert trainer.best_by == "loss" and record["best"]["loss"] == min(losses)
    assert record["history"][0]["epoch"] == round(3 / trainer.steps_per_epoch, 4)
