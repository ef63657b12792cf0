import json
import random

import numpy as np
import pytest
from slow_instances import random_documents
from tiny_model import VOCABULARY, tiny_tokenizer

from bertnp.data import DynamicMasking, PretrainingInstances, create_pretraining_instances, epoch_order, mask_tokens

SPECIAL = [VOCABULARY.index(token) for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")]


@pytest.fixture(scope="module")
def instances():
    """Instances of very different lengths, with [UNK] and [MASK] in the text."""
    rng = random.Random(5)
    documents = [
        [[word if word in VOCABULARY else "[UNK]" for word in sentence] for sentence in document]
        for document in random_documents(rng, 8, 40)
    ]
    records = create_pretraining_instances(documents, tiny_tokenizer(), 40, 4, 0.5, 0.15, 6, False, rng)
    return PretrainingInstances.from_records(records, tiny_tokenizer())


def collator(seed, **settings):
    """transformers' own masking over the tiny vocabulary."""
    from transformers import BertTokenizer, DataCollatorForLanguageModeling

    tokenizer = BertTokenizer(vocab={token: number for number, token in enumerate(VOCABULARY)})
    assert len(tokenizer) == len(VOCABULARY)
    return DataCollatorForLanguageModeling(tokenizer, return_tensors="np", seed=seed, **settings)


def real_tokens(batch):
    """The rows of a batch without padding, as a list of lists."""
    kept = [mask.astype(bool) for mask in batch["attention_mask"]]
    return [row[keep].tolist() for row, keep in zip(batch["input_ids"], kept, strict=True)]


@pytest.mark.oracle
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "probabilities",
    [
        {},
        {"mlm_probability": 0.4, "mask_replace_prob": 0.5, "random_replace_prob": 0.3},
        {"mask_replace_prob": 1.0, "random_replace_prob": 0.0},
        {"mask_replace_prob": 0.7, "random_replace_prob": 0.0},
        {"mask_replace_prob": 0.0, "random_replace_prob": 1.0},
    ],
)
def test_masks_are_those_of_transformers_collator(instances, seed, probabilities):
    ours, theirs = DynamicMasking(instances, tiny_tokenizer(), seed, **probabilities), collator(seed, **probabilities)
    order = epoch_order(len(instances), 1, 0)
    predicted = padded = 0
    for rows in (order[:8], order[8:9], order[9:41], order[:8], order[41:60]):
        batch, plain = ours.batch(rows), instances.unmasked_batch(rows)
        expected = theirs([{"input_ids": ids} for ids in real_tokens(plain)])
        for name in ("input_ids", "labels", "attention_mask"):
            assert np.array_equal(batch[name], expected[name]), name
        assert np.array_equal(batch["token_type_ids"], plain["token_type_ids"])
        assert np.array_equal(batch["next_sentence_label"], plain["next_sentence_label"])
        predicted += (batch["labels"] != -100).sum()
        padded += (batch["attention_mask"] == 0).sum()
    assert predicted > 100 and padded > 100


@pytest.mark.oracle
@pytest.mark.parametrize("seed", range(5))
def test_with_a_mask_of_special_tokens_given_too(instances, seed):
    rng, theirs = np.random.default_rng(seed), collator(seed)
    for rows in (range(6), range(6, 30)):
        plain = instances.unmasked_batch(rows)
        ids = plain["input_ids"]
        special = (plain["attention_mask"] == 0) | np.isin(ids, SPECIAL[2:4])  # [UNK] and [MASK] count as text here
        features = [
            {"input_ids": row, "special_tokens_mask": special[b, : len(row)].astype(int).tolist()}
            for b, row in enumerate(real_tokens(plain))
        ]
        expected = theirs(features)
        masked, labels = mask_tokens(ids, special, rng, VOCABULARY.index("[MASK]"), len(VOCABULARY))
        assert np.array_equal(masked, expected["input_ids"]) and np.array_equal(labels, expected["labels"])
        assert np.array_equal(ids, plain["input_ids"])  # the input stays as it is


def test_shares_are_those_asked_for_and_special_tokens_are_left_alone():
    rng = np.random.default_rng(0)
    ids = rng.integers(5, len(VOCABULARY), (400, 100))
    special = rng.random(ids.shape) < 0.2
    masked, labels = mask_tokens(ids, special, np.random.default_rng(1), 4, len(VOCABULARY), 0.3, 0.5, 0.25)
    chosen = labels != -100
    assert not chosen[special].any() and np.array_equal(masked[~chosen], ids[~chosen])
    assert np.array_equal(labels[chosen], ids[chosen])
    assert abs(chosen[~special].mean() - 0.3) < 0.01
    other = 0.25 * (1 - 1 / len(VOCABULARY))  # a random token may be the same one
    assert abs((masked == 4)[chosen].mean() - 0.5) < 0.02
    assert abs(((masked != ids) & (masked != 4))[chosen].mean() - other) < 0.02
    assert set(np.unique(masked)) == set(range(len(VOCABULARY)))  # random ones may be any token


def test_words_are_chosen_whole():
    """[CLS] a ##b ##b c [SEP] ##b d ##b [SEP]: the piece after [SEP] is a word of its own."""
    row = np.array([2, 10, 26, 27, 11, 3, 26, 12, 27, 3])
    continues, special = np.isin(row, [26, 27]), np.isin(row, [2, 3])
    words = [(1, 2, 3), (4,), (6,), (7, 8)]
    ids = np.tile(row, (2000, 1))
    masks = [np.tile(mask, (2000, 1)) for mask in (special, continues)]
    masked, labels = mask_tokens(
        ids, masks[0], np.random.default_rng(0), 4, 30, 0.3, 0.6, 0.2, continues=masks[1]
    )
    chosen = labels != -100
    for word in words:
        assert (chosen[:, word[0]][:, None] == chosen[:, word]).all()
        assert abs(chosen[:, word[0]].mean() - 0.3) < 0.04
    assert not chosen[:, special].any()
    together = chosen[:, 1] & (masked[:, 1] == 4)
    assert 0.4 < (masked[together][:, 2] == 4).mean() < 0.8  # each piece is replaced by itself


def test_whole_words_of_instances(instances):
    masking = DynamicMasking(instances, tiny_tokenizer(), 3, mlm_probability=0.5, whole_word=True)
    batch, plain = masking.batch(range(40)), instances.unmasked_batch(range(40))["input_ids"]
    pieces = [VOCABULARY.index("##s"), VOCABULARY.index("##ly")]
    chosen, seen = batch["labels"] != -100, 0
    for row, s in zip(*np.nonzero(np.isin(plain, pieces)), strict=True):
        if plain[row, s - 1] not in SPECIAL:
            assert chosen[row, s] == chosen[row, s - 1]
            seen += 1
    assert seen > 20 and not chosen[np.isin(plain, SPECIAL)].any()


@pytest.mark.parametrize("whole_word", [False, True])
def test_it_goes_on_where_it_was(instances, whole_word):
    def masking(seed):
        return DynamicMasking(instances, tiny_tokenizer(), seed, whole_word=whole_word)

    straight = masking(7)
    expected = [straight.batch(range(start, start + 5)) for start in range(0, 30, 5)]
    stopped = masking(7)
    for start in (0, 5, 10):
        stopped.batch(range(start, start + 5))
    state = json.loads(json.dumps(stopped.state_dict()))
    stopped.batch(range(3))  # the state was taken before
    resumed = masking(99)
    resumed.load_state_dict(state)
    for batch, start in zip(expected[3:], (15, 20, 25), strict=True):
        again = resumed.batch(range(start, start + 5))
        assert again.keys() == batch.keys() and all(np.array_equal(again[name], batch[name]) for name in batch)
    assert resumed.state_dict() == straight.state_dict()
    assert len(resumed) == len(instances) and resumed.lengths is instances.lengths


def test_each_time_the_masks_are_others(instances):
    masking = DynamicMasking(instances, tiny_tokenizer(), 0)
    assert not np.array_equal(masking.batch(range(30))["labels"], masking.batch(range(30))["labels"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_ids": [1, 2]}, r"expected one shape \(B, S\), got \(2,\) and \(1, 3\)"),
        ({"special_tokens_mask": [[1, 0]]}, r"expected one shape \(B, S\), got \(1, 3\) and \(1, 2\)"),
        ({"mlm_probability": 1.5}, "mlm_probability: expected a probability from 0 to 1, got 1.5"),
        ({"mask_replace_prob": 0.95}, r"mask_replace_prob \+ random_replace_prob: expected at most 1, got 0.95 \+ 0.1"),
    ],
)
def test_what_makes_no_sense_is_one_line(changes, message):
    arguments = {"input_ids": [[2, 7, 3]], "special_tokens_mask": [[1, 0, 1]], "rng": np.random.default_rng(0),
                 "mask_token_id": 4, "vocab_size": 30}  # fmt: skip
    mask_tokens(**arguments)
    with pytest.raises(ValueError, match=message):
        mask_tokens(**{**arguments, **changes})
