"""`bertnp.pipeline`: what each task gives, by hand, and beside transformers."""

import logging

import numpy as np
import pytest
from slow_answers import slow_answers
from tiny_model import tiny_config, tiny_tokenizer

import bertnp
from bertnp.pipelines import FillMask
from bertnp.pipelines.token_classes import STRATEGIES, without_overlaps

TEXTS = ["the songs was lovely, very films", "i hate films and xyz days ly", "Awful meals!"]
LONG = " ".join(TEXTS) + " and it was very very fine songs , poor films and days . the book is dulls"
TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
ENTAILMENT = ["contradiction", "neutral", "entailment"]


def save(folder, kind, names=None, seed=0, **changes):
    """A folder with a tiny model whose predictions differ from place to place."""
    changes = {"initializer_range": 0.6, "num_hidden_layers": 2, **changes}
    if names is not None:
        changes["id2label"] = dict(enumerate(names))
    getattr(bertnp, kind)(tiny_config(**changes), seed=seed).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def theirs(task, kind, folder, **options):
    transformers = pytest.importorskip("transformers")
    model = getattr(transformers, kind).from_pretrained(folder).double()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, model_max_length=24)
    return transformers.pipeline(task, model=model, tokenizer=tokenizer, device="cpu", **options)


def same(found, expected):
    """The same structure, names, numbers (to the rounding of float32, to which transformers goes over) and texts."""
    if isinstance(expected, dict):
        return set(found) == set(expected) and all(same(found[name], expected[name]) for name in expected)
    if isinstance(expected, (list, tuple)):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, str) or expected is None:
        return found == expected
    return isinstance(found, (int, float)) and found == pytest.approx(float(expected), abs=2e-6)


def test_same_means_the_same():
    assert same([{"a": 1.0, "b": "c"}], [{"a": 1.0 + 1e-12, "b": "c"}])
    assert not same([{"a": 1.0, "b": "c"}], [{"a": 1.1, "b": "c"}])
    assert not same([{"a": 1.0}], [{"a": 1.0, "b": "c"}]) and not same([[1]], [[1], [2]])


# text classification


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    return save(tmp_path_factory.mktemp("classes"), "BertForSequenceClassification", ["bad", "so-so", "good"])


def test_texts_get_labels(classifier):
    classify = bertnp.pipeline("text-classification", model=classifier, batch_size=2)
    every = classify(TEXTS, top_k=None)
    results = bertnp.pipelines.TextClassifier.from_pretrained(classifier)(TEXTS)
    for ranked, result in zip(every, results, strict=True):
        assert {row["label"]: row["score"] for row in ranked} == pytest.approx(result["scores"], abs=1e-6)
        assert [row["score"] for row in ranked] == sorted((row["score"] for row in ranked), reverse=True)
    assert classify(TEXTS) == [ranked[0] for ranked in every]
    assert classify(TEXTS, top_k=2) == [ranked[:2] for ranked in every]
    assert same(classify(TEXTS[0]), every[0][:1]) and same(classify(TEXTS[0], top_k=None), every[0])
    by_default = bertnp.pipeline("sentiment-analysis", model=classifier, top_k=None)
    assert by_default(TEXTS[0]) == classify(TEXTS[0], top_k=None)


def test_pairs_and_long_texts(classifier):
    classify = bertnp.pipeline("text-classification", model=classifier, dtype=np.float64)
    pair = {"text": TEXTS[0], "text_pair": TEXTS[1]}
    expected = bertnp.pipelines.TextClassifier.from_pretrained(classifier, dtype=np.float64)(TEXTS[0], TEXTS[1])
    assert same(classify(pair), {name: expected[name] for name in ("label", "score")})
    windows = tiny_tokenizer()(LONG, truncation=True, max_length=24, stride=4, return_overflowing_tokens=True)
    logits = [classify.model(np.array([ids])).logits[0] for ids in windows["input_ids"]]
    assert len(logits) == 3
    found = {row["label"]: row["score"] for row in classify(LONG, top_k=None, stride=4, function_to_apply="none")}
    assert found == pytest.approx(dict(zip(["bad", "so-so", "good"], sum(logits) / 3, strict=True)), abs=1e-12)


@pytest.mark.oracle("torch", "transformers")
@pytest.mark.parametrize("kind", [None, "multi_label_classification", "regression"])
def test_labels_are_transformers(tmp_path, kind):
    names = ["number"] if kind == "regression" else ["bad", "so-so", "good"]
    folder = save(tmp_path, "BertForSequenceClassification", names, problem_type=kind)
    ours = bertnp.pipeline("text-classification", model=folder, dtype=np.float64)
    other = theirs("text-classification", "BertForSequenceClassification", folder)
    for options in ({}, {"top_k": 2}, {"top_k": None}, {"function_to_apply": "sigmoid"}, {"top_k": 1}):
        for inputs in (TEXTS, TEXTS[0], {"text": TEXTS[0], "text_pair": TEXTS[2]}):
            assert same(ours(inputs, **options), other(inputs, **options)), (options, inputs)


# tokens


@pytest.fixture(scope="module")
def tagger(tmp_path_factory):
    return save(tmp_path_factory.mktemp("tokens"), "BertForTokenClassification", TAGS, seed=2)


class Spelled(bertnp.pipelines.TASKS["token-classification"]):
    """The same on probabilities that the test spells out."""

    def __init__(self, rows):
        self.rows = np.array(rows)
        model = bertnp.BertForTokenClassification(tiny_config(id2label=dict(enumerate(TAGS)), num_labels=5))
        super().__init__(model, tiny_tokenizer())

    def outputs(self, examples, read):
        return [self.rows]


def test_five_strategies_by_hand():
    """[CLS] film ##s lovely day [SEP]: the pieces of "films" disagree."""
    tag = Spelled([
        [1.0, 0.0, 0.0, 0.0, 0.0],
        [0.1, 0.5, 0.1, 0.2, 0.1],  # film: B-PER
        [0.0, 0.1, 0.1, 0.8, 0.0],  # ##s: B-LOC
        [0.2, 0.1, 0.6, 0.1, 0.0],  # lovely: I-PER
        [0.6, 0.1, 0.1, 0.1, 0.1],  # day: O
        [1.0, 0.0, 0.0, 0.0, 0.0],
    ])  # fmt: skip

    def found(strategy):
        return tag("films lovely day", aggregation_strategy=strategy)

    def group(kind, score, word, start, end):
        return {"entity_group": kind, "score": pytest.approx(score), "word": word, "start": start, "end": end}

    assert found("none") == [
        {"entity": "B-PER", "score": 0.5, "index": 1, "word": "film", "start": 0, "end": 4},
        {"entity": "B-LOC", "score": 0.8, "index": 2, "word": "##s", "start": 4, "end": 5},
        {"entity": "I-PER", "score": 0.6, "index": 3, "word": "lovely", "start": 6, "end": 12},
    ]
    assert found("simple") == [group("PER", 0.5, "film", 0, 4), group("LOC", 0.8, "##s", 4, 5),
                               group("PER", 0.6, "lovely", 6, 12)]  # fmt: skip
    assert found("first") == [group("PER", 0.55, "films lovely", 0, 12)]
    assert found("average") == [group("LOC", 0.5, "films", 0, 5), group("PER", 0.6, "lovely", 6, 12)]
    assert found("max") == [group("LOC", 0.8, "films", 0, 5), group("PER", 0.6, "lovely", 6, 12)]
    assert len(tag("films lovely day", ignore_labels=[])) == 4


def test_of_entities_that_overlap_the_longest_then_the_surest_stays():
    def entity(start, end, score):
        return {"start": start, "end": end, "score": score}

    windows = [entity(8, 12, 0.9), entity(0, 4, 0.3), entity(2, 7, 0.2), entity(8, 12, 0.95), entity(7, 8, 0.1)]
    assert without_overlaps(windows) == [entity(2, 7, 0.2), entity(7, 8, 0.1), entity(8, 12, 0.95)]
    assert without_overlaps([]) == []


def test_long_texts_are_cut_with_a_warning_or_read_in_windows(tagger, caplog):
    tag = bertnp.pipeline("token-classification", model=tagger, aggregation_strategy="first", ignore_labels=[])
    with caplog.at_level(logging.WARNING, "bertnp"):
        cut = tag([TEXTS[0], LONG])[1]
    assert "1 of 2 texts were cut to 24 tokens" in caplog.text
    whole = tag(LONG, stride=6)
    assert cut[-1]["end"] < len(LONG) == whole[-1]["end"]
    starts = [entity["start"] for entity in whole]
    assert starts == sorted(starts) and LONG[starts[3] :].lower().startswith(whole[3]["word"])


@pytest.mark.oracle("torch", "transformers")
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_tokens_are_transformers(tagger, strategy):
    options = {"aggregation_strategy": strategy}
    ours = bertnp.pipeline("ner", model=tagger, dtype=np.float64, **options)
    other = theirs("ner", "BertForTokenClassification", tagger, **options)
    assert same(ours(TEXTS), other(TEXTS))
    assert same(ours(TEXTS[1], ignore_labels=["PER"]), other(TEXTS[1], ignore_labels=["PER"]))
    assert len(ours(TEXTS)[0]) > 2
    words = TEXTS[0].split()
    assert same(ours(words, is_split_into_words=True, delimiter="--"),
                other(words, is_split_into_words=True, delimiter="--")[0])  # fmt: skip
    if strategy != "none":
        other = theirs("ner", "BertForTokenClassification", tagger, stride=5, **options)
        assert same(ours(LONG, stride=5), other(LONG))


# questions


def test_what_is_cut_by_other_pipelines_is_told(classifier, tmp_path, caplog):
    classify = bertnp.pipeline("text-classification", model=classifier)
    alone = bertnp.pipelines.TextClassifier.from_pretrained(classifier)
    answer = bertnp.pipeline("question-answering", model=save(tmp_path, "BertForQuestionAnswering"))
    encoder = bertnp.SentenceEncoder.from_pretrained(classifier)
    extract = bertnp.pipeline("feature-extraction", model=classifier)
    judge = save(tmp_path / "judge", "BertForSequenceClassification", id2label={0: "entailment", 1: "contradiction"})
    zero_shot = bertnp.pipeline("zero-shot-classification", model=judge, candidate_labels=["film"])
    entails = lambda texts: zero_shot(texts, hypothesis_template="{}")  # noqa: E731
    pairs = bertnp.pipelines.NextSentence.from_pretrained(save(tmp_path / "pairs", "BertForNextSentencePrediction"))
    follow = lambda texts: pairs(texts, ["a", "a"])  # noqa: E731
    caplog.clear()
    with caplog.at_level(logging.WARNING, "bertnp"):
        classify(TEXTS), classify(LONG, stride=4), alone(TEXTS), encoder.encode(TEXTS)
        answer(question=TEXTS[2], context=LONG)
        assert caplog.text == ""
        for read in (classify, alone, encoder.encode, extract, entails, follow):
            read([TEXTS[0], LONG])
            assert "1 of 2 texts fill all 24 tokens; what is longer was cut (see max_length)" in caplog.text
            caplog.clear()
        answer(question=LONG, context=TEXTS[0])
        assert "1 of 1 questions were longer than their share of the window" in caplog.text


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    return save(tmp_path_factory.mktemp("answers"), "BertForQuestionAnswering", seed=2)


@pytest.mark.parametrize("options", [
    {}, {"top_k": 4}, {"top_k": 30, "max_answer_len": 2}, {"handle_impossible_answer": True, "top_k": 3},
    {"max_seq_len": 20, "doc_stride": 3, "top_k": 5},
])  # fmt: skip
def test_answers_are_those_of_the_slow_definition(reader, options):
    """Of transformers 4, whose pipeline for it transformers 5 has dropped."""
    answer = bertnp.pipeline("question-answering", model=reader, dtype=np.float64, batch_size=2)
    question, context = "is it very fine", LONG
    length, stride = options.get("max_seq_len", 24), options.get("doc_stride", 12)
    windows = tiny_tokenizer()(question, context, truncation="only_second", max_length=length, stride=stride,
                               return_overflowing_tokens=True)  # fmt: skip
    logits = []
    for ids, types in zip(windows["input_ids"], windows["token_type_ids"], strict=True):
        out = answer.model(np.array([ids]), token_type_ids=np.array([types]))
        logits.append(np.stack([out.start_logits[0], out.end_logits[0]], axis=-1))
    top_k, longest = options.get("top_k", 1), options.get("max_answer_len", 15)
    expected = slow_answers(windows.encodings, context, logits, top_k, longest, "handle_impossible_answer" in options)
    found = answer(question=question, context=context, **options)
    assert same(found, expected if len(expected) > 1 else expected[0])
    assert len(windows.encodings) > 2
    for row in [found] if isinstance(found, dict) else found:
        assert row["answer"] == context[row["start"] : row["end"]]


def test_questions_come_one_or_many(reader):
    answer = bertnp.pipeline("question-answering", model=reader, max_answer_len=3)
    one = answer(question="very fine ?", context=TEXTS[0])
    assert set(one) == {"score", "start", "end", "answer"}
    assert answer({"question": "very fine ?", "context": TEXTS[0]}) == one
    many = answer(question=["very fine ?", "is it ?"], context=TEXTS[0])
    assert len(many) == 2 and same(many[0], one)
    assert len(answer(question=["a", "b"], context=TEXTS[:2], top_k=2)) == 2
    assert answer([]) == []


# vectors


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return save(tmp_path_factory.mktemp("encoder"), "BertModel")


def test_vectors_of_tokens(encoder):
    extract = bertnp.pipeline("feature-extraction", model=encoder)
    array = extract(TEXTS[2], return_tensors=True)
    ids = tiny_tokenizer()(TEXTS[2])["input_ids"]
    expected = bertnp.BertModel.from_pretrained(encoder)(np.array([ids])).last_hidden_state
    assert array.shape == (1, len(ids), 16) and array == pytest.approx(expected, abs=1e-5)
    assert extract(TEXTS[2]) == array.tolist()
    many = extract(TEXTS, return_tensors=True)
    assert many[2] == pytest.approx(array, abs=1e-5) and many[0].shape != array.shape


@pytest.mark.oracle("torch", "transformers")
def test_vectors_of_tokens_are_transformers(encoder):
    other = theirs("feature-extraction", "BertModel", encoder)
    assert same(bertnp.pipeline("feature-extraction", model=encoder, dtype=np.float64)(TEXTS), other(TEXTS))


def test_similarity_of_sentences(encoder):
    alike = bertnp.pipeline("sentence-similarity", model=encoder)
    found = alike({"source_sentence": TEXTS[0], "sentences": TEXTS})
    vectors = bertnp.SentenceEncoder.from_pretrained(encoder, normalize=True).encode(TEXTS)
    assert found == pytest.approx((vectors @ vectors[0]).tolist(), abs=1e-5) and found[0] == pytest.approx(1, abs=1e-6)
    assert alike(source_sentence=TEXTS[0], sentences=TEXTS) == found
    assert bertnp.pipeline("sentence-similarity", model=bertnp.SentenceEncoder.from_pretrained(encoder))(
        source_sentence=TEXTS[0], sentences=TEXTS
    ) == found  # fmt: skip


# any classes


@pytest.fixture(scope="module")
def entailer(tmp_path_factory):
    return save(tmp_path_factory.mktemp("entails"), "BertForSequenceClassification", ENTAILMENT, seed=3)


def softmax(*logits):
    e = np.exp(np.array(logits))
    return e / e.sum()


def test_any_labels_by_what_is_entailed(entailer):
    classify = bertnp.pipeline("zero-shot-classification", model=entailer, dtype=np.float64)
    labels = ["film", "song", "meal"]
    logits = []
    for label in labels:
        pair = tiny_tokenizer()(TEXTS[0], f"it is a {label} .")
        out = classify.model(np.array([pair["input_ids"]]), token_type_ids=np.array([pair["token_type_ids"]]))
        logits.append(out.logits[0])
    found = classify(TEXTS[0], labels, "it is a {} .")
    assert dict(zip(found["labels"], found["scores"], strict=True)) == pytest.approx(
        dict(zip(labels, softmax(*(row[2] for row in logits)), strict=True)), abs=1e-12
    )
    assert found["sequence"] == TEXTS[0] and found["scores"] == sorted(found["scores"], reverse=True)
    found = classify([TEXTS[0]], "film, song,meal", "it is a {} .", multi_label=True)[0]
    assert dict(zip(found["labels"], found["scores"], strict=True)) == pytest.approx(
        {label: softmax(row[0], row[2])[1] for label, row in zip(labels, logits, strict=True)}, abs=1e-12
    )


def test_of_what_is_too_long_the_text_is_cut_not_the_hypothesis(entailer):
    classify = bertnp.pipeline("zero-shot-classification", model=entailer)
    hypothesis = "it was very very very very very very very very very very fine , a film ."
    (ids,) = classify.encode([TEXTS[1]], [hypothesis]).input_ids
    assert len(ids) == 24
    assert ids[-18:].tolist() == tiny_tokenizer()(hypothesis, add_special_tokens=False)["input_ids"] + [3]
    assert ids[:6].tolist() == tiny_tokenizer()(TEXTS[1])["input_ids"][:5] + [3]


@pytest.mark.oracle("torch", "transformers")
@pytest.mark.parametrize("names", [ENTAILMENT, ["ENTAILMENT", "not"]])
def test_any_labels_are_transformers(tmp_path, names):
    folder = save(tmp_path, "BertForSequenceClassification", names)
    ours = bertnp.pipeline("zero-shot-classification", model=folder, dtype=np.float64, candidate_labels="film,day,you")
    other = theirs("zero-shot-classification", "BertForSequenceClassification", folder)
    for options in ({}, {"multi_label": True}, {"hypothesis_template": "it was a {} ."}):
        for texts in (TEXTS, TEXTS[0], LONG):
            assert same(ours(texts, **options), other(texts, candidate_labels="film,day,you", **options))
    assert same(ours(TEXTS[0], candidate_labels=["film"]), other(TEXTS[0], candidate_labels=["film"]))


# masked words, and what all share


def test_masked_words_are_filled(tmp_path):
    folder = save(tmp_path, "BertForMaskedLM")
    fill = bertnp.pipeline("fill-mask", model=folder, top_k=2)
    assert fill("the [MASK] was fine") == FillMask.from_pretrained(folder)("the [MASK] was fine", top_k=2)


def test_models_instead_of_folders():
    model, tokenizer = bertnp.BertForTokenClassification(tiny_config()), tiny_tokenizer()
    tag = bertnp.pipeline("token-classification", model=model, tokenizer=tokenizer, ignore_labels=[])
    assert [token["word"] for token in tag("the film")] == ["the", "film"]
    with pytest.raises(ValueError, match="tokenizer: a model that is not loaded from files needs one"):
        bertnp.pipeline("token-classification", model=model)
    with pytest.raises(TypeError, match="model: expected a BertForQuestionAnswering, got BertForTokenClassification"):
        bertnp.pipeline("question-answering", model=model, tokenizer=tokenizer)


@pytest.mark.parametrize(("task", "fixture", "inputs"), [
    ("text-classification", "classifier", TEXTS), ("token-classification", "tagger", TEXTS),
    ("question-answering", "reader", {"question": "very fine ?", "context": LONG}),
    ("feature-extraction", "encoder", TEXTS), ("zero-shot-classification", "entailer", TEXTS),
    ("sentence-similarity", "encoder", {"source_sentence": TEXTS[0], "sentences": TEXTS}),
])  # fmt: skip
def test_answers_are_the_same_on_a_device_that_holds_to_its_own_arrays(request, device, task, fixture, inputs):
    folder = request.getfixturevalue(fixture)
    options = {"candidate_labels": ["film", "day"]} if task.startswith("zero") else {}
    here, there = (bertnp.pipeline(task, model=folder, dtype=np.float64, device=d, **options) for d in ("cpu", device))
    assert same(there(inputs), here(inputs))


def test_what_is_wrong_is_named(classifier, tagger, reader, encoder, entailer):
    def refused(error, match, task, folder, *inputs, **options):
        with pytest.raises(error, match=match):
            bertnp.pipeline(task, model=folder)(*inputs, **options)

    with pytest.raises(ValueError, match="task: expected fill-mask, .*, got 'translation'"):
        bertnp.pipeline("translation", model=classifier)
    with pytest.raises(TypeError, match="'topk' is no key of this configuration"):
        bertnp.pipeline("text-classification", model=classifier, topk=3)
    model = bertnp.BertForSequenceClassification.from_pretrained(classifier)
    with pytest.raises(TypeError, match="unknown option 'topk'; there are top_k, function_to_apply, stride"):
        bertnp.pipeline("text-classification", model=model, tokenizer=tiny_tokenizer(), topk=3)

    refused(ValueError, "holds no trained classifier .no classifier.weight in it", "text-classification", encoder, "a")
    refused(ValueError, "no trained head for answers .no qa_outputs.weight", "question-answering", encoder, "a")
    refused(ValueError, "no trained classifier of tokens, but a BertForSequenceClassification", "ner", classifier, "a")
    refused(ValueError, "no trained classifier, but a BertForTokenClassification", "text-classification", tagger, "a")

    refused(ValueError, "top_k: expected at least 1, got 0", "text-classification", classifier, "a", top_k=0)
    refused(ValueError, "function_to_apply: expected softmax, sigmoid, none, got 'tanh'", "text-classification",
            classifier, "a", function_to_apply="tanh")  # fmt: skip
    refused(TypeError, "input 2: expected a text, or a dictionary", "text-classification", classifier, ["a", 3])
    refused(ValueError, "input 1 is a single text, but others are pairs", "text-classification", classifier,
            ["a", {"text": "a", "text_pair": "b"}])  # fmt: skip

    refused(ValueError, "aggregation_strategy: expected none, simple, first, average, max, got 'last'", "ner", tagger,
            "a", aggregation_strategy="last")  # fmt: skip
    refused(ValueError, "stride: windows overlap", "ner", tagger, "a", stride=3)
    refused(ValueError, r"stride: expected 0 to 21 \(there is room for 22 tokens\), got 22", "ner", tagger, "a",
            stride=22, aggregation_strategy="max")  # fmt: skip
    refused(TypeError, "expected a text or a list of texts, got int", "ner", tagger, ["a", 4])
    refused(TypeError, "is_split_into_words: expected a list of words", "ner", tagger, "a b", is_split_into_words=True)

    qa = "question-answering"
    refused(ValueError, "top_k: expected at least 1, got 0", qa, reader, question="a", context="b", top_k=0)
    refused(ValueError, "max_answer_len: expected at least 1", qa, reader, question="a", context="b", max_answer_len=0)
    refused(ValueError, "max_seq_len: .* at most 24, got 99", qa, reader, question="a", context="b", max_seq_len=99)
    refused(ValueError, "context 1 is blank", qa, reader, question="a", context=" ")
    refused(ValueError, "question 2 is blank", qa, reader, question=["a", ""], context="b")
    refused(ValueError, "expected one for each of 2 questions, got 1", qa, reader, question=["a", "b"], context=["c"])
    refused(TypeError, "context 1: expected a text, got int", qa, reader, question=["a"], context=[3])
    refused(TypeError, "expected {\"question\"", qa, reader, {"question": "a"})
    refused(ValueError, "give either question and context or", qa, reader, {"question": "a", "context": "b"}, "a")

    refused(TypeError, "expected a text as source_sentence", "sentence-similarity", encoder, source_sentence="a")
    refused(TypeError, "expected {\"source_sentence\"", "sentence-similarity", encoder, {"source_sentence": "a"})
    zero = "zero-shot-classification"
    refused(ValueError, "candidate_labels: expected at least one", zero, entailer, "a", candidate_labels=" , ")
    refused(ValueError, "hypothesis_template: expected {} where", zero, entailer, "a", ["b"], hypothesis_template="it")
    refused(ValueError, "no class called entailment .it has bad, so-so, good", zero, classifier, "a", ["b"])
