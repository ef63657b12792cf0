import numpy as np
import pytest
from tiny_model import save_tiny_model, tiny_classifier, tiny_config, tiny_tokenizer

import bertnp
from bertnp.pipelines import TextClassifier

TEXTS = ["the film was very very lovely", "awful", "the song was dull , very dull", "it is a day", "the film"]


def logits_of(model, text, pair=None):
    """From the model itself, one text at a time."""
    with bertnp.inference():
        return model(**tiny_tokenizer()([text], pair and [pair], return_tensors="np")).logits[0]


def test_scores_are_the_softmax_in_the_order_of_the_texts():
    model = tiny_classifier(dtype=np.float64, id2label={0: "no", 1: "perhaps", 2: "yes"}).train()
    results = TextClassifier(model, tiny_tokenizer(), batch_size=2)(TEXTS)
    assert len(results) == len(TEXTS)
    for text, result in zip(TEXTS, results, strict=True):
        logits = logits_of(model, text)
        expected = np.exp(logits) / np.exp(logits).sum()
        assert list(result["scores"]) == ["no", "perhaps", "yes"]
        assert np.abs(np.array(list(result["scores"].values())) - expected).max() < 1e-12
        assert result["label"] == ["no", "perhaps", "yes"][logits.argmax()]
        assert result["score"] == result["scores"][result["label"]] == max(result["scores"].values())
        assert isinstance(result["score"], float)


def test_several_labels_at_once_and_a_single_one_get_sigmoids():
    for changes in ({"num_labels": 3, "problem_type": "multi_label_classification"}, {"num_labels": 1}):
        model = tiny_classifier(dtype=np.float64, **changes)
        result = TextClassifier(model, tiny_tokenizer())(TEXTS[0])
        expected = 1 / (1 + np.exp(-logits_of(model, TEXTS[0])))
        assert np.abs(np.array(list(result["scores"].values())) - expected).max() < 1e-12


def test_a_number_is_the_logit_itself():
    model = tiny_classifier(dtype=np.float64, id2label={0: "stars"}, problem_type="regression")
    result = TextClassifier(model, tiny_tokenizer())(TEXTS[0])
    assert result["score"] == pytest.approx(logits_of(model, TEXTS[0])[0], rel=1e-12)
    assert result["label"] == "stars"


def test_pairs():
    model = tiny_classifier(dtype=np.float64)
    classify = TextClassifier(model, tiny_tokenizer())
    logits = logits_of(model, "the film", "it was dull")
    expected = np.exp(logits) / np.exp(logits).sum()
    both = classify(["the film", "a"], ["it was dull", "b"])
    assert np.abs(np.array(list(both[0]["scores"].values())) - expected).max() < 1e-12
    assert classify("the film", "it was dull")["score"] == pytest.approx(both[0]["score"], rel=1e-12)


def test_it_runs_on_any_device(device):
    expected = TextClassifier(tiny_classifier(), tiny_tokenizer())(TEXTS)
    found = TextClassifier(tiny_classifier().to(device), tiny_tokenizer())(TEXTS)
    for one, other in zip(found, expected, strict=True):
        assert one["score"] == pytest.approx(other["score"], rel=1e-5)


def test_long_texts_are_cut_to_what_the_model_allows():
    classify = TextClassifier(tiny_classifier(), tiny_tokenizer())
    assert classify.max_length == 24
    assert classify("very " * 100)["scores"] == classify("very " * 22)["scores"]
    short = TextClassifier(tiny_classifier(), tiny_tokenizer(), max_length=5)
    assert short("very " * 100)["scores"] == short("very " * 3)["scores"] != classify("very " * 100)["scores"]
    with pytest.raises(ValueError, match="max_length: 25 tokens are more than the model's 24 positions"):
        TextClassifier(tiny_classifier(), tiny_tokenizer(), max_length=25)


def test_the_tokenizers_own_limit_counts():
    tokenizer = tiny_tokenizer()
    tokenizer.model_max_length = 7
    assert TextClassifier(tiny_classifier(), tokenizer).max_length == 7


def test_from_pretrained(tmp_path):
    save_tiny_model(tmp_path, id2label={0: "neg", 1: "pos"})
    classify = TextClassifier.from_pretrained(tmp_path, dtype=np.float64)
    assert classify.labels == ["neg", "pos"] and classify.model.dtype == np.float64
    assert classify("the film")["label"] in ("neg", "pos")


def test_a_model_without_a_trained_classifier_is_refused(tmp_path):
    bertnp.BertModel(tiny_config()).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds no trained classifier"):
        TextClassifier.from_pretrained(tmp_path)


def test_a_tokenizer_of_another_model_is_refused():
    with pytest.raises(ValueError, match=r"the tokenizer has 34 tokens, but the model only 20 \(vocab_size\)"):
        TextClassifier(tiny_classifier(vocab_size=20), tiny_tokenizer())


def test_batches_have_at_least_one_text():
    with pytest.raises(ValueError, match="batch_size: expected at least 1, got 0"):
        TextClassifier(tiny_classifier(), tiny_tokenizer(), batch_size=0)
    assert TextClassifier(tiny_classifier(), tiny_tokenizer())([]) == []
