import json
from types import SimpleNamespace

import numpy as np
import pytest
from task_files import choice_file, squad_file, tagged_file
from tiny_model import save_tiny_model, tiny_config, tiny_tokenizer, toy_sentences, write_table

import bertnp
from bertnp.cli.reading import load_task, read_labelled
from bertnp.data import encode_texts
from bertnp.models.head_masks import head_mask
from bertnp.pipelines import TextClassifier
from bertnp.training.head_importance import head_importance


@pytest.fixture
def file(tmp_path):
    return write_table(tmp_path / "test.tsv", toy_sentences(12))


def test_numbers_pictures_and_a_record(run, classifier, file, tmp_path):
    code, out, err = run("head-importance", file, "--model", classifier, "-o", tmp_path / "heads", "--steps", "2")
    assert (code, err) == (0, "")
    found = json.loads((tmp_path / "heads" / "head_importance.json").read_text(encoding="utf-8"))
    loaded = TextClassifier.from_pretrained(classifier)
    texts, labels = zip(*toy_sentences(12), strict=True)
    examples = encode_texts(loaded.tokenizer, texts, labels=[["neg", "pos"].index(label) for label in labels])
    assert np.array(found["importance"]) == pytest.approx(head_importance(loaded.model, examples), rel=1e-4)
    assert found["texts"] == 12 and found["metric"] == "accuracy"
    curves = found["ablation"]
    assert list(curves) == ["the least important", "the most important", "any (random order)"]
    assert all([taken for taken, _ in curve] == [0, 1, 2] for curve in curves.values())
    first, last = ({tuple(curve[i]) for curve in curves.values()} for i in (0, -1))
    assert len(first) == len(last) == 1, "with all heads, and with none, the order plays no part"
    lines = out.splitlines()
    assert lines[0].split() == ["layer", "head", "1", "head", "2"]
    assert [float(value) for value in lines[1].split()[1:]] == pytest.approx(found["importance"][0], abs=1e-2)
    assert lines[-1] == f"written: {tmp_path / 'heads'}"
    pictures = sorted(path.name for path in (tmp_path / "heads").iterdir())
    assert pictures == ["head_ablation.png", "head_importance.json", "head_importance.png"]


def test_gradients_alone_of_some_texts(run, classifier, file, tmp_path):
    options = ["--no-ablation", "--examples", "5", "--raw", "-o", tmp_path / "a"]
    assert run("head-importance", file, "--model", classifier, *options)[0] == 0
    found = json.loads((tmp_path / "a" / "head_importance.json").read_text(encoding="utf-8"))
    assert found["texts"] == 5 and not found["by_layer"] and "ablation" not in found
    assert not (tmp_path / "a" / "head_ablation.png").exists()
    again = run("head-importance", file, "--model", classifier, *options[:4])[1]
    assert again == run("head-importance", file, "--model", classifier, *options[:4])[1]
    assert again != run("head-importance", file, "--model", classifier, *options[:4], "--seed", "1")[1]


def test_models_of_a_number_are_measured_by_correlation(run, tmp_path):
    folder = save_tiny_model(tmp_path / "number", id2label={0: "score"}, problem_type="regression")
    rows = [(text, 1.5 if label == "pos" else -0.5) for text, label in toy_sentences(12)]
    _, out, _ = run("head-importance", write_table(tmp_path / "a.tsv", rows), "--model", folder)
    assert "pearson with heads taken out" in out


def test_what_is_wrong_is_told_in_one_line(refused, classifier, file, tmp_path):
    assert "there is no file" in refused("head-importance", tmp_path / "no.tsv", "--model", classifier)
    wrong = write_table(tmp_path / "wrong.tsv", [("the film", "pos"), ("a day", "odd")])
    assert "odd" in refused("head-importance", wrong, "--model", classifier)
    assert "expected a whole number of at least 1" in refused(
        "head-importance", file, "--model", classifier, "--steps", "0"
    )


TASKS = {
    "token": (bertnp.BertForTokenClassification, ["O", "B-feel", "I-feel", "B-thing", "I-thing"], "f1"),
    "span": (bertnp.BertForQuestionAnswering, ["start", "end"], "f1"),
    "choice": (bertnp.BertForMultipleChoice, ["one"], "accuracy"),
    "multilabel": (bertnp.BertForSequenceClassification, ["loud", "long"], "accuracy"),
}


@pytest.mark.parametrize("task", TASKS)
def test_of_every_task(run, tmp_path, task):
    """Also where a text is cut into windows, and where a row has several labels."""
    head, names, metric = TASKS[task]
    kind = {"problem_type": "multi_label_classification"} if task == "multilabel" else {}
    model = head(tiny_config(id2label=dict(enumerate(names)), initializer_range=0.3, **kind), seed=1)
    model.save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    file = {
        "token": lambda: tagged_file(tmp_path / "a.conll", 9),
        "span": lambda: squad_file(tmp_path / "a.json", 9),
        "choice": lambda: choice_file(tmp_path / "a.jsonl", 9),
        "multilabel": lambda: write_table(tmp_path / "a.tsv", [("a film", "loud"), ("a day", ""), ("it", "long,loud")]),
    }[task]()
    options = ["--max-length", "12", "--stride", "2"] if task == "span" else []
    command = ["head-importance", file, "--model", tmp_path / "model", "--raw", "--steps", "1", *options]
    code, out, err = run(*command, "-o", tmp_path / "out")
    assert (code, err) == (0, "")
    found = json.loads((tmp_path / "out" / "head_importance.json").read_text(encoding="utf-8"))
    assert found["metric"] == metric and found["texts"] == (3 if task == "multilabel" else 9)
    args = SimpleNamespace(
        model=tmp_path / "model", file=file, file_format=None, batch_size=4, device="cpu", precision="float32",
        max_length=12 if options else None, stride=2 if options else None,
    )  # fmt: skip
    loaded = load_task(args)
    task, data, names = read_labelled(args, loaded)
    examples = task.encode(loaded.tokenizer, data, names, loaded.max_length, loaded.stride)
    assert (len(examples) > 9) == bool(options)
    expected = np.zeros((1, 2))
    for row in range(len(examples)):  # the gradient by a head's factor is the slope of the row's loss
        for place in range(2):
            losses = []
            for h in (-1e-2, 1e-2):
                mask = np.ones((1, 2))
                mask[0, place] += h
                with head_mask(loaded.model, mask):
                    losses.append(float(loaded.model(**examples.batch(np.array([row]))).loss))
            expected[0, place] += abs(losses[1] - losses[0]) / 2e-2 / len(examples)
    assert expected.min() > 1e-4
    assert np.array(found["importance"]) == pytest.approx(expected, rel=1e-2, abs=1e-5)
