import numpy as np
import pytest
from tiny_model import tiny_config, tiny_tokenizer

import bertnp
from bertnp.pipelines import NextSentence

FIRST = ["the film was great .", "i love you", "it is a book"]
SECOND = ["it was very sweet", "i hate the song , and the meal", "and"]


def tiny_model(kind="BertForNextSentencePrediction", seed=0, dtype=np.float64):
    return getattr(bertnp, kind)(tiny_config(initializer_range=0.5), seed=seed, dtype=dtype)


def test_it_is_the_softmax_of_class_zero():
    model = tiny_model()
    follows = NextSentence(model, tiny_tokenizer(), batch_size=2)
    for first, second, probability in zip(FIRST, SECOND, follows(FIRST, SECOND), strict=True):
        with bertnp.inference():
            logits = model(**tiny_tokenizer()([first], [second], return_tensors="np")).logits[0]
        assert probability == pytest.approx(1 / (1 + np.exp(logits[1] - logits[0])), rel=1e-12)
        assert follows(first, second) == pytest.approx(probability, rel=1e-12)
    assert isinstance(follows(FIRST[0], SECOND[0]), float)
    assert follows([], []) == []


def test_it_runs_on_any_device(device):
    model = tiny_model(dtype=np.float32)
    expected = NextSentence(model, tiny_tokenizer())(FIRST, SECOND)
    assert NextSentence(model.to(device), tiny_tokenizer())(FIRST, SECOND) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", ["BertForNextSentencePrediction", "BertForPreTraining"])
def test_from_pretrained(tmp_path, kind):
    model = tiny_model(kind)
    model.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    follows = NextSentence.from_pretrained(tmp_path, dtype=np.float64)
    with bertnp.inference():
        out = model(**tiny_tokenizer()(FIRST, SECOND, padding=True, return_tensors="np"))
    logits = out.logits if "logits" in out else out.seq_relationship_logits
    expected = 1 / (1 + np.exp(logits[:, 1] - logits[:, 0]))
    assert follows(FIRST, SECOND) == pytest.approx(expected.tolist(), rel=1e-10)


@pytest.mark.parametrize("kind", ["BertModel", "BertForMaskedLM"])
def test_a_model_without_the_head_is_refused(tmp_path, kind):
    tiny_model(kind).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"holds no trained head for next sentences \(no "):
        NextSentence.from_pretrained(tmp_path)


def test_wrong_use():
    follows = NextSentence(tiny_model(), tiny_tokenizer())
    with pytest.raises(ValueError, match="pairs: expected one for each of 3 texts, got 2"):
        follows(FIRST, SECOND[:2])
    with pytest.raises(ValueError, match="batch_size: expected at least 1, got 0"):
        NextSentence(tiny_model(), tiny_tokenizer(), batch_size=0)


@pytest.mark.oracle
def test_agreement_with_transformers(tmp_path):
    import torch
    import transformers

    tiny_model("BertForPreTraining", dtype=np.float32).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    model = transformers.BertForNextSentencePrediction.from_pretrained(tmp_path)
    batch = transformers.BertTokenizer.from_pretrained(tmp_path)(FIRST, SECOND, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = model(**batch).logits.softmax(-1)[:, 0].tolist()
    assert NextSentence.from_pretrained(tmp_path)(FIRST, SECOND) == pytest.approx(expected, rel=1e-5)
