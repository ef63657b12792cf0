import json
import shutil

import pytest
from tiny_model import VOCABULARY, tiny_config, tiny_tokenizer

import bertnp


def fields(out):
    """The first line of each entry."""
    return {line[:10].strip(): line[12:] for line in out.splitlines() if line[:1].strip()}


def test_a_classifier(run, classifier):
    code, out, err = run("info", classifier)
    found = fields(out)
    assert code == 0 and err == ""
    assert found["model"] == "BertForSequenceClassification (classes or numbers for texts)"
    assert found["sizes"] == (
        "1 layers, 2 heads, hidden size 16, intermediate 32, 24 positions, activation gelu"
    )
    H, I, V = 16, 32, len(VOCABULARY)
    encoder = (V + 24 + 2) * H + 2 * H + 4 * (H * H + H) + 2 * H * I + I + H + 4 * H
    assert found["parameters"] == f"{encoder + H * H + H + 2 * H + 2:,}"
    assert found["vocabulary"] == f"{V} tokens, lower-cased"
    assert found["labels"] == "neg, pos" and found["loaded"] == "25 of 25 tensors loaded"
    size = (classifier / "model.safetensors").stat().st_size
    assert any("model.safetensors" in line and f"{size:,} bytes" in line for line in out.splitlines())


def test_every_tensor(run, classifier):
    _, out, _ = run("info", classifier, "--tensors")
    lines = [line.split() for line in out.splitlines()]
    assert ["classifier.weight", "(2,", "16)", "float32"] in lines
    assert "25 tensors: " in out


@pytest.mark.parametrize("name", [
    "BertModel", "BertForPreTraining", "BertForMaskedLM", "BertForNextSentencePrediction", "BertForTokenClassification",
    "BertForQuestionAnswering", "BertForMultipleChoice",
])  # fmt: skip
def test_every_kind_of_model(run, tmp_path, name):
    getattr(bertnp, name)(tiny_config()).save_pretrained(tmp_path)
    code, out, _ = run("info", tmp_path)
    assert code == 0 and fields(out)["model"].startswith(f"{name} (")
    assert fields(out)["vocabulary"] == "34 words in the model; no tokenizer files in the folder"
    report = fields(out)["loaded"].split()
    assert report[0] == report[2]


@pytest.mark.parametrize("name", ["BertForMaskedLM", "BertForPreTraining", "BertForQuestionAnswering"])
def test_what_config_does_not_say_is_told_by_the_tensors(run, tmp_path, name):
    getattr(bertnp, name)(tiny_config()).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    del config["architectures"]
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert fields(run("info", tmp_path)[1])["model"].startswith(f"{name} (")


def test_what_does_not_fit_is_listed(run, tmp_path):
    bertnp.BertModel(tiny_config()).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    config["architectures"] = ["BertForSequenceClassification"]
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    _, out, err = run("info", tmp_path)
    assert "23 of 25 tensors loaded" in out and err == ""
    assert "classifier.weight and classifier.bias are newly initialised" in out


def test_what_is_wrong_is_told_in_one_line(refused, classifier, tmp_path):
    assert refused("info", tmp_path / "no") == f"there is no folder {tmp_path / 'no'}"
    assert "config.json" in refused("info", tmp_path)
    shutil.copytree(classifier, tmp_path / "cut")
    weights = tmp_path / "cut" / "model.safetensors"
    weights.write_bytes(b"")
    assert str(weights) in refused("info", tmp_path / "cut")
