import json
import shutil

import numpy as np
import pytest
from tiny_model import save_tiny_model, tiny_tokenizer, toy_sentences, write_table

import bertnp
from bertnp.data import encode_texts
from bertnp.training import evaluate

ROWS = toy_sentences(21, seed=2)


@pytest.fixture
def test_file(tmp_path):
    return write_table(tmp_path / "test.tsv", ROWS)


def expected_scores(folder, labels):
    model = bertnp.BertForSequenceClassification.from_pretrained(folder)
    return evaluate(model, encode_texts(tiny_tokenizer(), [text for text, _ in ROWS], labels=labels, max_length=24))


def test_scores_are_those_of_the_model(run, classifier, test_file, tmp_path):
    scores, picture = tmp_path / "scores.json", tmp_path / "matrix.png"
    code, out, err = run("evaluate", test_file, "--model", classifier, "--json", scores, "--picture", picture)
    assert code == 0 and err == ""
    result = json.loads(scores.read_text(encoding="utf-8"))
    expected = expected_scores(classifier, [int(label == "pos") for _, label in ROWS])
    assert result["scores"] == pytest.approx(expected, rel=1e-12)
    assert result["texts"] == 21 and result["confusion_matrix"]["labels"] == ["neg", "pos"]
    assert np.array(result["confusion_matrix"]["true_by_predicted"]).sum(axis=1).tolist() == [10, 11]
    assert picture.read_bytes().startswith(b"\x89PNG")
    shown = dict(line.split() for line in out.splitlines())
    assert shown == {"texts": "21", **{name: f"{value:.4f}" for name, value in expected.items()}}


def test_numbers(run, tmp_path):
    folder = save_tiny_model(tmp_path / "model", id2label={0: "score"}, problem_type="regression")
    labels = [1.5 if label == "pos" else -0.5 for _, label in ROWS]
    file = write_table(tmp_path / "test.tsv", [(text, x) for (text, _), x in zip(ROWS, labels, strict=True)])
    code, out, _ = run("evaluate", file, "--model", folder, "--picture", tmp_path / "a.png")
    assert code == 0
    assert f"pearson   {expected_scores(folder, labels)['pearson']:.4f}" in out
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_labels_without_names_are_known_by_their_numbers(run, tmp_path):
    folder = save_tiny_model(tmp_path / "model")  # LABEL_0, LABEL_1
    numbered = write_table(tmp_path / "a.tsv", [(text, int(label == "pos")) for text, label in ROWS])
    named = write_table(tmp_path / "b.tsv", [(text, f"LABEL_{int(label == 'pos')}") for text, label in ROWS])
    first, second = (run("evaluate", file, "--model", folder) for file in (numbered, named))
    assert first == second and first[0] == 0


def test_what_is_wrong_is_told_in_one_line(refused, classifier, pretrained, test_file, tmp_path):
    def refusal(file=test_file, model=classifier, *options):
        return refused("evaluate", file, "--model", model, *options)

    unknown = write_table(tmp_path / "unknown.tsv", [("the film", "pos"), ("a day", "Pos")])
    assert refusal(unknown) == f"{unknown}, line 3, column 'label': unknown label 'Pos'; known: 'neg', 'pos'"
    empty = tmp_path / "empty.tsv"
    empty.write_bytes(b"")
    assert refusal(empty) == f"{empty}: the file is empty"
    assert refusal(tmp_path / "no.tsv") == f"there is no file {tmp_path / 'no.tsv'}"
    assert "there is no column 'review'" in refusal(test_file, classifier, "--text", "review")
    assert refusal(test_file, pretrained) == (
        f"{pretrained} holds no trained classifier (there is no classifier.weight in it): fine-tune first"
    )
    assert "25 tokens are more than the model's 24 positions" in refusal(test_file, classifier, "--max-length", "25")
    assert "argument --json" in refusal(test_file, classifier, "--json", tmp_path / "no" / "a.json")
    assert "is a folder; expected the name of a file" in refusal(test_file, classifier, "--picture", tmp_path)
    several = save_tiny_model(tmp_path / "several", num_labels=3, problem_type="multi_label_classification")
    assert "test.tsv, line 2: unknown label 'pos'; known: 'LABEL_0', 'LABEL_1'" in refusal(test_file, several)
    cut_off = tmp_path / "cut"
    shutil.copytree(classifier, cut_off)
    weights = cut_off / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    assert str(weights) in refusal(test_file, cut_off)
