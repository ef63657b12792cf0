import numpy as np
import pytest
from tiny_model import VOCABULARY, tiny_tokenizer

from bertnp.data import EncodedTexts, batches, batches_by_length, encode_texts, epoch_order, labelled_items


def test_the_order_of_an_epoch_is_numpys_permutation():
    assert epoch_order(5, seed=0, epoch=1).tolist() == np.random.default_rng([0, 1]).permutation(5).tolist()
    assert epoch_order(8, seed=0, epoch=0).tolist() == [2, 4, 3, 6, 5, 0, 1, 7]  # NumPy 2.4
    assert epoch_order(50, 0, 0).tolist() != epoch_order(50, 0, 1).tolist() != epoch_order(50, 1, 1).tolist()


def test_batches_keep_the_order_and_the_short_rest():
    assert [rows.tolist() for rows in batches(np.array([3, 1, 4, 0, 2]), 2)] == [[3, 1], [4, 0], [2]]
    with pytest.raises(ValueError, match="batch_size: expected at least 1, got 0"):
        list(batches(np.arange(3), 0))


def test_batches_by_length_put_like_lengths_together_and_leave_nothing_out():
    lengths = np.array([5, 2, 5, 1, 2])
    assert [rows.tolist() for rows in batches_by_length(lengths, 2)] == [[3, 1], [4, 0], [2]]
    many = np.arange(200) % 3  # NumPy's other ways to sort keep the order of equals only in short arrays
    assert np.concatenate(list(batches_by_length(many, 7))).tolist() == sorted(range(200), key=lambda row: row % 3)


def test_texts_become_padded_arrays():
    examples = encode_texts(tiny_tokenizer(), ["i love you", "lovely"], labels=[1, 0])
    batch = examples.batch([1, 0])
    ids = {word: VOCABULARY.index(word) for word in VOCABULARY}
    assert batch["input_ids"].tolist() == [
        [ids["[CLS]"], ids["lovely"], ids["[SEP]"], ids["[PAD]"], ids["[PAD]"]],
        [ids["[CLS]"], ids["i"], ids["love"], ids["you"], ids["[SEP]"]],
    ]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert batch["token_type_ids"].tolist() == [[0] * 5] * 2
    assert batch["labels"].tolist() == [0, 1] and batch["labels"].dtype == np.int64
    assert examples.lengths.tolist() == [5, 3] and len(examples) == 2
    assert examples[-1]["input_ids"].shape == (1, 3)


def test_pairs_have_two_token_types_and_are_cut_at_the_longest_allowed():
    examples = encode_texts(tiny_tokenizer(), ["the film was great"], ["it is very very fine"], max_length=8)
    batch = examples.batch([0])
    assert batch["input_ids"].shape == (1, 8) and "labels" not in batch
    assert batch["token_type_ids"].tolist() == [[0, 0, 0, 0, 1, 1, 1, 1]]


def test_padding_is_on_the_right_whatever_the_tokenizer_does():
    tokenizer = tiny_tokenizer()
    tokenizer.padding_side = "left"
    batch = encode_texts(tokenizer, ["i love you", "lovely"]).batch([0, 1])
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]


def test_no_texts_are_a_set_without_examples():
    assert len(encode_texts(tiny_tokenizer(), [])) == 0


def test_lists_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="labels: expected one for each of 2 texts, got 3"):
        EncodedTexts([[1], [2]], [[0], [0]], labels=[0, 1, 1])
    with pytest.raises(ValueError, match="pairs: expected one for each of 1 texts, got 2"):
        encode_texts(tiny_tokenizer(), ["a"], ["b", "c"])
    for wrong in ("the film", None, 3):
        with pytest.raises(TypeError, match="texts: expected a list of texts, got"):
            encode_texts(tiny_tokenizer(), wrong)


@pytest.mark.parametrize(
    ("labels", "items"),
    [([1, -100, 0], 2), ([[1, -100], [-100, -100]], 1), ([0.5, 2.0], 2), ([[1.0, 0.0], [0.0, 0.0]], 4)],
)
def test_labelled_items_are_what_a_mean_runs_over(labels, items):
    assert labelled_items({"labels": np.array(labels)}) == {"labels": items}


def test_without_labels_there_is_nothing_to_count():
    with pytest.raises(ValueError, match="no labels"):
        labelled_items({"input_ids": np.ones((1, 2), int)})
