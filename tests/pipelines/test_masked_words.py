import numpy as np
import pytest
from tiny_model import VOCABULARY, tiny_config, tiny_tokenizer

import bertnp
from bertnp.pipelines import FillMask

TEXTS = ["the [MASK] was lovely .", "i [MASK] you , and the [MASK] is [MASK] dull", "[MASK]"]


def tiny_model(kind="BertForMaskedLM", seed=0, dtype=np.float64, **changes):
    changes = {"initializer_range": 1.0, **changes}  # so that predictions differ from place to place
    return getattr(bertnp, kind)(tiny_config(**changes), seed=seed, dtype=dtype)


def softmax_at(model, text):
    """(S, V) probabilities from the model's own logits of all positions."""
    with bertnp.inference():
        out = model(**tiny_tokenizer()([text], return_tensors="np"))
    logits = (out.logits if "logits" in out else out.prediction_logits)[0]
    return np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)


@pytest.mark.parametrize("kind", ["BertForMaskedLM", "BertForPreTraining"])
def test_the_likeliest_words_of_each_mask(kind):
    model, tokenizer = tiny_model(kind), tiny_tokenizer()
    results = FillMask(model, tokenizer, batch_size=2)(TEXTS, top_k=3)
    assert [len(result) for result in results] == [3, 3, 3]  # words of one mask, masks, words of one mask
    for text, result in zip(TEXTS, results, strict=True):
        places = np.flatnonzero(np.array(tokenizer(text)["input_ids"]) == tokenizer.mask_token_id)
        expected = softmax_at(model, text)
        for place, predictions in zip(places, result if len(places) > 1 else [result], strict=True):
            best = np.sort(expected[place])[::-1][:3]
            assert [p["score"] for p in predictions] == pytest.approx(best.tolist(), rel=1e-10)
            assert [expected[place][p["token"]] for p in predictions] == pytest.approx(best.tolist(), rel=1e-10)
            assert [p["token_str"] for p in predictions] == [VOCABULARY[p["token"]] for p in predictions]


def test_the_text_with_the_word_filled_in():
    fill = FillMask(tiny_model(), tiny_tokenizer())
    for prediction in fill(TEXTS[0], targets=["film", "song"]):
        assert prediction["sequence"] == f"the {prediction['token_str']} was lovely."
    first, second, third = fill(TEXTS[1], targets=["love", "very"])
    assert second[0]["sequence"] == f"[CLS] i [MASK] you, and the {second[0]['token_str']} is [MASK] dull [SEP]"


def test_targets_keep_their_probabilities_among_all_words():
    model = tiny_model()
    fill = FillMask(model, tiny_tokenizer())
    expected = softmax_at(model, TEXTS[0])[2]
    words = ["hate", "Love", "love", "film"]  # "Love" is the same token as "love"
    found = {p["token_str"]: p["score"] for p in fill(TEXTS[0], targets=words)}
    assert found == {w: pytest.approx(expected[VOCABULARY.index(w)], rel=1e-10) for w in ("hate", "love", "film")}
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert len(fill(TEXTS[0], targets=words, top_k=2)) == 2
    assert [p["token_str"] for p in fill(TEXTS[0], targets="film")] == ["film"]


def test_scores_are_computed_at_the_masks_alone(monkeypatch):
    model, rows = tiny_model(), []
    forward = type(model.cls.predictions).forward
    monkeypatch.setattr(type(model.cls.predictions), "forward", lambda self, h: rows.append(len(h)) or forward(self, h))
    FillMask(model, tiny_tokenizer())(TEXTS)
    assert sum(rows) == 5


def test_what_can_not_be_filled():
    fill = FillMask(tiny_model(), tiny_tokenizer())
    assert fill([]) == []
    with pytest.raises(ValueError, match=r"^there is no \[MASK\] to fill in text 2: 'the \[mask\]'$"):
        fill([TEXTS[0], "the [mask]"])
    with pytest.raises(ValueError, match=r"^targets: 'films' is not one token .* \(it becomes film ##s\)$"):
        fill(TEXTS[0], targets=["film", "films"])
    with pytest.raises(ValueError, match=r"^targets: 'zebra' is not one token"):
        fill(TEXTS[0], targets=["zebra"])
    with pytest.raises(ValueError, match="^targets: expected at least one word"):
        fill(TEXTS[0], targets=[])
    with pytest.raises(ValueError, match="^top_k: expected at least 1, got 0"):
        fill(TEXTS[0], top_k=0)
    with pytest.raises(ValueError, match="^batch_size: expected at least 1, got 0"):
        FillMask(tiny_model(), tiny_tokenizer(), batch_size=0)
    words = [word for word in VOCABULARY if word != "[MASK]"]
    with pytest.raises(ValueError, match="^the tokenizer has no token for a masked word"):
        FillMask(tiny_model(), bertnp.BertTokenizer(words, mask_token=None))


def test_a_cut_text_keeps_its_masks_or_is_refused():
    fill = FillMask(tiny_model(), tiny_tokenizer(), max_length=6)
    assert fill("[MASK] " + "very " * 9, top_k=1)[0]["sequence"].endswith("very very very")
    with pytest.raises(ValueError, match=r"^text 2 is cut to 6 tokens, which leaves 1 of its 2 \[MASK\]"):
        fill([TEXTS[2], "[MASK] very very very very [MASK]"])
    with pytest.raises(ValueError, match=r"leaves 0 of its 1 \[MASK\]"):
        fill("very very very very [MASK]")


def test_it_runs_on_any_device(device):
    expected = FillMask(tiny_model(dtype=np.float32), tiny_tokenizer())(TEXTS[0])
    found = FillMask(tiny_model(dtype=np.float32).to(device), tiny_tokenizer())(TEXTS[0])
    for one, other in zip(found, expected, strict=True):
        assert one["token"] == other["token"] and one["score"] == pytest.approx(other["score"], rel=1e-4)


@pytest.mark.parametrize("kind", ["BertForMaskedLM", "BertForPreTraining"])
def test_from_pretrained(tmp_path, kind):
    model = tiny_model(kind)
    model.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    found = FillMask.from_pretrained(tmp_path, dtype=np.float64)(TEXTS)
    assert found == FillMask(model, tiny_tokenizer())(TEXTS)


@pytest.mark.parametrize("kind", ["BertModel", "BertForSequenceClassification", "BertForNextSentencePrediction"])
def test_a_model_without_the_head_is_refused(tmp_path, kind):
    tiny_model(kind).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"holds no trained head for masked words \(no cls.predictions"):
        FillMask.from_pretrained(tmp_path)


def agree(ours, theirs):
    """The same words, texts and, to rounding, scores."""
    if isinstance(theirs, dict):
        assert ours["score"] == pytest.approx(theirs["score"], rel=1e-4)
        return {**ours, "score": 0} == {**theirs, "score": 0}
    return len(ours) == len(theirs) and all(agree(a, b) for a, b in zip(ours, theirs, strict=True))


def pipeline(folder):
    import transformers

    model = transformers.BertForMaskedLM.from_pretrained(folder)
    tokenizer = transformers.BertTokenizer.from_pretrained(folder)
    return transformers.pipeline("fill-mask", model=model, tokenizer=tokenizer)


@pytest.mark.oracle
def test_agreement_with_transformers(tmp_path):
    tiny_model(dtype=np.float32).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    ours, theirs = FillMask.from_pretrained(tmp_path), pipeline(tmp_path)
    assert agree(ours(TEXTS), theirs(TEXTS))
    assert agree(ours(TEXTS[0]), theirs(TEXTS[0]))
    assert agree(ours(TEXTS[1], top_k=2), theirs(TEXTS[1], top_k=2))
    targets = ["love", "hate", "film"]
    assert agree(ours(TEXTS, targets=targets), theirs(TEXTS, targets=targets))
    assert agree(ours(TEXTS, targets=targets, top_k=1), theirs(TEXTS, targets=targets, top_k=1))


@pytest.mark.data
@pytest.mark.oracle
def test_agreement_on_a_published_model(checkpoint_dir):
    folder = checkpoint_dir / "rxnfp/models/transformers/bert_pretrained"
    ours, theirs = FillMask.from_pretrained(folder), pipeline(folder)
    texts = ["C C ( = [MASK] ) O . O C C > > C C ( = O ) O C C", "[MASK] C [MASK] . [Na+] . [OH-]"]
    assert agree(ours(texts), theirs(texts))
    assert ours(texts[0])[0]["score"] > 0.5  # it was trained for this
