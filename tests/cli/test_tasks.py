"""Each task from its file to its predictions, and what is said about files with errors in them."""

import json

import pytest
from task_files import choice_file, squad_file, tagged_file
from tiny_model import save_tiny_model, tiny_config, tiny_tokenizer, toy_sentences, write_table

import bertnp
from bertnp.tasks import TASKS, task_of

LEARN = ("--epochs", "14", "--batch-size", "8", "--lr", "2e-2", "--hold-out", "0.25", "--quiet")
BRIEF = ("--epochs", "1", "--batch-size", "8", "--lr", "1e-3", "--quiet")


@pytest.fixture
def no_pictures(monkeypatch):
    for name in ("learning_curve", "confusion_matrix", "predicted_against_true", "sweep"):
        monkeypatch.setattr(f"bertnp.plotting.{name}", lambda *args: None)


def record_of(folder):
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def test_words_are_tagged(run, pretrained, tmp_path):
    file, output = tagged_file(tmp_path / "train.conll"), tmp_path / "out"
    code, out, err = run("finetune", file, "--task", "token", "--model", pretrained, "-o", output, *LEARN)
    assert code == 0 and err == ""
    record = record_of(output)
    assert record["best"]["f1"] > 0.95 and record["settings"]["task"] == "token"
    assert record["settings"]["labels"] == ["O", "B-feel", "I-feel", "B-thing", "I-thing"]
    assert set(record["per_type"]) == {"feel", "thing"} and (output / "confusion_matrix.png").exists()
    test = tagged_file(tmp_path / "test.conll", 20, seed=5)
    scores, predicted = tmp_path / "scores.json", tmp_path / "predicted.conll"
    code, out, _ = run("evaluate", test, "--model", output, "--json", scores, "--predictions", predicted)
    found = json.loads(scores.read_text(encoding="utf-8"))
    assert code == 0 and found["scores"]["f1"] > 0.9 and f"f1         {found['scores']['f1']:.4f}" in out
    from bertnp.data import read_tagged
    from bertnp.training.metrics import entity_scores

    by_hand = entity_scores(read_tagged(test).tags, read_tagged(predicted).tags)
    assert by_hand["f1"] == found["scores"]["f1"] and by_hand["per_type"] == found["per_type"]
    code, out, _ = run("predict", "The film,was lovely", "--model", output, "--format", "jsonl")
    told = json.loads(out)
    assert told["tokens"] == ["The", "film", ",", "was", "lovely"] and told["offsets"][1] == [4, 8]
    assert told["tags"][1] == "B-thing" and told["tags"][4].endswith("-feel") and min(told["probabilities"]) > 0.2
    code, out, _ = run("predict", "--file", test, "--model", output)
    assert code == 0 and out.strip() == predicted.read_text(encoding="utf-8").strip()


def test_words_of_long_sentences_are_learned_in_windows(run, pretrained, tmp_path, no_pictures):
    """A sentence three times as long as the model's input: no word is left out, and the model learns."""
    words = [line for line in tagged_file(tmp_path / "a.conll", 160).read_text(encoding="utf-8").split("\n") if line]
    long = "\n\n".join("\n".join(words[i : i + 60]) for i in range(0, len(words), 60))
    (tmp_path / "long.conll").write_text(long, encoding="utf-8")
    output = tmp_path / "out"
    run("finetune", tmp_path / "long.conll", "--task", "token", "--model", pretrained, "-o", output, *LEARN, "--lr",
        "1e-2", "--batch-size", "4", "--epochs", "40")  # fmt: skip
    record = record_of(output)
    assert record["best"]["f1"] > 0.8 and record["settings"]["stride"] == 6
    predicted = tmp_path / "predicted.conll"
    run("evaluate", tmp_path / "long.conll", "--model", output, "--predictions", predicted, "--max-length", "12")
    lines = predicted.read_text(encoding="utf-8").split("\n")
    assert [line.split("\t")[0] for line in lines if line] == [word.split("\t")[0] for word in words]


@pytest.mark.usefixtures("no_pictures")
def test_parts_of_speech_need_no_scheme(run, pretrained, tmp_path):
    text = tagged_file(tmp_path / "a.conll").read_text(encoding="utf-8")
    file = tmp_path / "pos.conll"
    file.write_text(text.replace("B-", "").replace("I-", ""), encoding="utf-8")
    output = tmp_path / "out"
    assert run("finetune", file, "--task", "token", "--model", pretrained, "-o", output, *LEARN)[0] == 0
    assert record_of(output)["best"]["accuracy"] > 0.95 and "per_type" not in record_of(output)


@pytest.mark.usefixtures("no_pictures")
def test_answers_are_found(run, pretrained, tmp_path):
    file, output = squad_file(tmp_path / "train.json"), tmp_path / "out"
    command = ("finetune", file, "--task", "span", "--model", pretrained, "-o", output, "--stride", "4")
    code, _, err = run(*command, *LEARN)
    assert code == 0 and err == ""
    record = record_of(output)
    assert record["best"]["exact"] > 0.7 and record["settings"]["held_out_examples"] == 10
    answers, scores = tmp_path / "answers.json", tmp_path / "scores.json"
    command = ("evaluate", file, "--model", output, "--stride", "4", "--predictions", answers, "--json", scores)
    code, out, _ = run(*command)
    assert code == 0 and "exact" in out
    told = json.loads(answers.read_text(encoding="utf-8"))
    found = json.loads(scores.read_text(encoding="utf-8"))["scores"]
    gold = bertnp.data.read_questions(file).gold()
    assert found["exact"] == sum(told[i] == gold[i][0] for i in gold) / len(gold)
    context = "it is very book and a film was sweet ."
    command = ("predict", context, "--question", "what was it", "--model", output, "--stride", "4")
    code, out, _ = run(*command, "--top", "2")
    assert code == 0 and out.split("\t")[0] == "film" and len(out.splitlines()) == 2
    code, out, _ = run("predict", "--file", file, "--model", output, "--stride", "4", "--format", "jsonl")
    assert [json.loads(line)["answers"][0]["answer"] for line in out.splitlines()] == list(told.values())


@pytest.mark.usefixtures("no_pictures")
def test_questions_may_have_no_answer(run, pretrained, tmp_path):
    file, output = squad_file(tmp_path / "train.json", 60, unanswerable=3), tmp_path / "out"
    run("finetune", file, "--task", "span", "--model", pretrained, "-o", output, "--stride", "4", *LEARN, "--lr",
        "1e-2", "--epochs", "40")  # fmt: skip
    best = record_of(output)["best"]
    assert {"HasAns_f1", "NoAns_f1", "best_f1", "best_f1_thresh"} <= set(best) and best["best_f1"] >= best["f1"]
    assert best["NoAns_exact"] > 0.7 and best["HasAns_exact"] > 0.7
    context = "it is very book and a film was sweet ."
    command = ("--question", "what was it", "--model", output, "--stride", "4", "--no-answer")
    assert run("predict", context, *command)[1].startswith("film\t")
    assert run("predict", context.replace("was", "is"), *command)[1].startswith("\t")


@pytest.mark.usefixtures("no_pictures")
def test_choices_are_made(run, pretrained, tmp_path):
    file, output = choice_file(tmp_path / "train.jsonl"), tmp_path / "out"
    assert run("finetune", file, "--task", "choice", "--model", pretrained, "-o", output, *LEARN)[0] == 0
    assert record_of(output)["best"]["accuracy"] > 0.9
    code, out, _ = run("evaluate", file, "--model", output)
    assert code == 0 and "accuracy" in out
    command = ("predict", "the film", "--choice", "was awful", "--choice", "was lovely", "--model", output)
    assert run(*command)[1].split("\t")[0] == "was lovely"
    told = json.loads(run("predict", "--file", file, "--model", output, "--format", "jsonl")[1].splitlines()[0])
    assert set(told) == {"context", "choices", "label", "probabilities"} and len(told["probabilities"]) == 3


@pytest.mark.usefixtures("no_pictures")
def test_several_labels_at_once(run, tmp_path):
    """Also as lists in JSON lines; a text may have none."""
    wider = tmp_path / "wider"
    sizes = {"hidden_size": 64, "num_attention_heads": 4, "hidden_dropout_prob": 0.0, "initializer_range": 0.1}
    bertnp.BertModel(tiny_config(**sizes)).save_pretrained(wider)
    tiny_tokenizer().save_pretrained(wider)
    texts = [f"{a} and {b}" for (a, _), (b, _) in zip(toy_sentences(80), toy_sentences(80, 1), strict=True)]
    rows = [(text, ",".join(thing for thing in ("book", "film") if thing in text)) for text in texts]
    file, output = write_table(tmp_path / "train.tsv", rows), tmp_path / "out"
    lines = tmp_path / "train.jsonl"
    told = ({"text": t, "labels": s.split(",") if s else []} for t, s in rows)
    lines.write_text("".join(json.dumps(one) + "\n" for one in told), encoding="utf-8")
    assert {labels for _, labels in rows} == {"", "book", "film", "book,film"}
    for one, folder in ((file, output), (lines, tmp_path / "b")):
        code, _, err = run("finetune", one, "--task", "multilabel", "--model", wider, "-o", folder, *LEARN,
                           "--class-weights", "balanced", "--lr", "3e-3")  # fmt: skip
        assert code == 0 and err == ""
    record = record_of(output)
    assert record["settings"]["labels"] == ["book", "film"] and record["best"]["f1_micro"] > 0.9
    assert record["settings"]["best_by"] == "accuracy" and record_of(tmp_path / "b")["best"] == record["best"]
    code, out, _ = run("evaluate", file, "--model", output)
    assert code == 0 and "f1_macro" in out
    told = run("predict", "the film was great", "--model", output)[1].split("\t")[0].split()
    assert told[0].startswith("book=0.") and told[1].startswith("film=") and told[0] < "book=0.5" < "book" + told[1][4:]


@pytest.mark.usefixtures("no_pictures")
def test_pairs_by_their_usual_names(run, refused, pretrained, tmp_path):
    rows = [(text, text, label) for text, label in toy_sentences(24)]
    file, output = write_table(tmp_path / "pairs.tsv", rows, ("premise", "hypothesis", "label")), tmp_path / "out"
    run("finetune", file, "--task", "pair", "--model", pretrained, "-o", output, *BRIEF)
    settings = record_of(output)["settings"]
    assert settings["columns"] == {"text": "premise", "pair": "hypothesis", "label": "label"}
    assert run("evaluate", file, "--model", output)[0] == 0
    assert run("predict", "the film", "--second", "it was fine", "--model", output)[0] == 0
    assert run("predict", "--file", file, "--text", "premise", "--pair", "hypothesis", "--model", output)[0] == 0
    assert "is for pairs of sentences: give a --second" in refused("predict", "the film", "--model", output)
    single = write_table(tmp_path / "single.tsv", toy_sentences(24))
    assert "say which column holds the pair" in refused("evaluate", single, "--model", output)
    assert "say which column holds the pair" in refused("finetune", single, "--task", "pair", "--model", pretrained,
                                                        "-o", tmp_path / "b")  # fmt: skip


@pytest.mark.usefixtures("no_pictures")
def test_long_texts_in_windows(run, pretrained, tmp_path):
    """What decides stands at the end, which cutting leaves out; windows see it."""
    rows = [("it is a day and " * 6 + text, label) for text, label in toy_sentences(64)]
    file = write_table(tmp_path / "train.tsv", rows)
    scores = {}
    for name, options in (("cut", ()), ("windows", ("--stride", "4"))):
        command = ("finetune", file, "--model", pretrained, "-o", tmp_path / name, *LEARN, *options)
        code, _, err = run(*command)
        assert code == 0 and ("what is longer was cut" in err) == (name == "never")
        scores[name] = record_of(tmp_path / name)["best"]["accuracy"]
    assert scores["cut"] == 0.5 and scores["windows"] > 0.9
    assert record_of(tmp_path / "windows")["settings"]["train_examples"] == 2 * 48
    out = run("evaluate", file, "--model", tmp_path / "windows", "--stride", "4")[1]
    assert "texts     64" in out and float(out.split("accuracy")[1].split()[0]) > 0.9


@pytest.mark.usefixtures("no_pictures")
def test_sweeps_make_a_table_and_go_on(run, pretrained, train_file, tmp_path):
    output = tmp_path / "out"
    command = ("finetune", train_file, "--model", pretrained, "-o", output, *BRIEF, "--seeds", "2", "--sweep",
               "lr=1e-3,3e-2", "batch=4,20")  # fmt: skip
    code, out, err = run(*command)
    assert code == 0 and err == ""
    lines = [line.split("\t") for line in (output / "sweep.tsv").read_text(encoding="utf-8").splitlines()]
    assert lines[0][:4] == ["lr", "batch_size", "loss", "loss ±"]
    assert [line[:2] for line in lines[1:]] == [["1e-3", "4"], ["1e-3", "20"], ["3e-2", "4"], ["3e-2", "20"]]
    single = record_of(output / "lr=3e-2,batch_size=4")
    assert lines[3][2:4] == [f"{single[name]['loss']:.4f}" for name in ("mean", "deviation")]
    rows = json.loads((output / "sweep.json").read_text(encoding="utf-8"))
    scores = [each["accuracy"] for row in rows["runs"] for each in row["each"]]
    models = list(output.glob("*/*/model.safetensors"))
    assert rows["best_by"] == "accuracy" and len(models) == 1
    best = json.loads((models[0].parent / "metrics.json").read_text(encoding="utf-8"))["best"]["accuracy"]
    assert best == max(scores) and str(models[0].parent) in out.splitlines()[-1]
    before = (output / "lr=1e-3,batch_size=4" / "seed-0" / "metrics.json").read_bytes()
    (output / "lr=3e-2,batch_size=20" / "seed-1" / "metrics.json").unlink()  # as if it had been stopped before
    code, again, _ = run(*command, "--resume")
    assert code == 0 and again.count("has finished already") == 7
    assert (output / "lr=1e-3,batch_size=4" / "seed-0" / "metrics.json").read_bytes() == before
    assert [line.split("\t") for line in (output / "sweep.tsv").read_text(encoding="utf-8").splitlines()] == lines


@pytest.mark.usefixtures("no_pictures")
def test_class_weights_and_none_can_be_compared(run, pretrained, train_file, tmp_path):
    command = ("finetune", train_file, "--model", pretrained, "-o", tmp_path, "--overwrite", *BRIEF)
    assert run(*command, "--sweep", "class-weights=none,balanced,pos=9")[0] == 0
    weights = [record_of(tmp_path / f"class_weights={name}")["settings"]["class_weights"]
               for name in ("none", "balanced", "pos=9")]  # fmt: skip
    assert weights == [None, "balanced", {"pos": 9}]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("freeze=1,7", "freeze=7: layers: expected 0 to 1 layers to freeze, got 7"),
        ("max-length=8,900", "max_length=900: max_length: 900 tokens are more than the model's 24 positions"),
        ("stride=2,30", "stride=30: stride=30 must be smaller than"),
        ("fraction=1,0.001", "fraction=0.001: 0.001 of 30 examples is none"),
        ("class-weights=pos=1,other=2", "class_weights=other=2: --class-weights: there is no class 'other'"),
        ("layer-decay=1,1.5", "layer_decay=1.5: layer_decay: expected a number above 0, up to 1, got 1.5"),
    ],
)
def test_all_settings_of_a_sweep_are_looked_at_first(refused, pretrained, train_file, tmp_path, setting, message):
    command = ("finetune", train_file, "--model", pretrained, "-o", tmp_path / "out", "--hold-out", "0.25", "--quiet")
    assert f"--sweep lr=1,{message}" in refused(*command, "--sweep", "lr=1", setting)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("no_pictures")
def test_amounts_of_data_with_and_without_changed_copies(run, pretrained, train_file, tmp_path):
    output = tmp_path / "out"
    code, _, err = run("finetune", train_file, "--model", pretrained, "-o", output, *BRIEF, "--fractions", "0.25,1",
                       "--sweep", "copies=0,2", "--augment", "swap=0.3,dropout=0.1")  # fmt: skip
    assert code == 0 and err == ""
    rows = json.loads((output / "sweep.json").read_text(encoding="utf-8"))["runs"]
    assert [row["train_texts"] for row in rows] == [9, 9, 36, 36]
    records = [record_of(output / row["run"])["settings"]["train_examples"] for row in rows]
    assert records == [9, 27, 36, 108]


@pytest.mark.usefixtures("no_pictures")
def test_words_are_replaced_by_predictions(run, refused, pretrained, train_file, tmp_path):
    filler = tmp_path / "filler"
    bertnp.BertForMaskedLM(tiny_config(), seed=3).save_pretrained(filler)
    tiny_tokenizer().save_pretrained(filler)
    command = ("finetune", train_file, "--model", pretrained, *BRIEF, "--augment", "replace=0.5")
    assert run(*command, "-o", tmp_path / "a", "--augment-model", filler)[0] == 0
    assert record_of(tmp_path / "a")["settings"]["train_examples"] == 72
    assert "holds no trained head for masked words" in refused(*command, "-o", tmp_path / "b")


def test_what_a_model_is_for(tmp_path):
    configs = {
        "token": {"architectures": ["BertForTokenClassification"]},
        "span": {"architectures": ["BertForQuestionAnswering"]},
        "choice": {"architectures": ["BertForMultipleChoice"]},
        "multilabel": {"problem_type": "multi_label_classification"},
        "regression": {"problem_type": "regression"},
        "sequence": {"architectures": ["BertForSequenceClassification"]},
        "pair": {"finetuning_task": "pair"},
    }
    assert {name: task_of(tiny_config(**options)).name for name, options in configs.items()} == {n: n for n in TASKS}
    assert task_of(tiny_config(num_labels=1)).name == "multilabel"


# files with errors in them


CONLL = "the\tO\nfilm\tB-thing\n\na\tO\nday\tB-thing\n\nit\tO\n\nsong\tB-thing\n"
SQUAD = {"data": [{"paragraphs": [{"context": "the film was great", "qas": [
    {"id": "a", "question": "what", "answers": [{"text": "film", "answer_start": 4}]}]}]}]}  # fmt: skip


def squad_with(**changes):
    data = json.loads(json.dumps(SQUAD))
    data["data"][0]["paragraphs"][0]["qas"][0] |= changes
    return json.dumps(data)


@pytest.mark.parametrize(
    ("task", "content", "options", "message"),
    [
        ("token", CONLL + "book\n", (), "line 10: a word without a tag: 'book'"),
        ("token", CONLL + "book\tX-thing\n", (), "line 10: the tag 'X-thing' is not of the scheme BIO"),
        ("token", CONLL.replace("\n\n", "\n").replace("\t", " was it\t"), (), "6 of 6 lines have a text in"),
        ("token", CONLL, ("--text", "word"), "--text: expected the number of a column, from 1, got 'word'"),
        ("token", CONLL, ("--delimiter", ";"), "--delimiter: files of the task token have no such option"),
        ("token", CONLL, ("--augment", "swap=0.1"), "--augment: the task token needs its words as they are"),
        ("token", CONLL, ("--class-weights", "B-day=2"), "--class-weights: there is no class 'B-day'; there are O, B-"),
        ("token", CONLL, ("--hold-out", "0.1"), "holding out 0.1 of 4 leaves 4 to train on and 0 to evaluate on"),
        ("span", squad_with(answers=[{"text": "song", "answer_start": 4}]), (), "the answer 'song' is not in its"),
        ("span", "{}", (), "not a file of SQuAD"),
        ("span", json.dumps(SQUAD), ("--text", "context"), "--text: files of the task span have no such option"),
        ("span", json.dumps(SQUAD), ("--class-weights", "balanced"), "--class-weights: the task span has no classes"),
        ("span", json.dumps(SQUAD), ("--max-length", "8", "--stride", "7"), "stride=7 must be smaller than"),
        ("choice", '{"context": "a", "choices": ["b", "c"], "label": 5}\n', (), "line 1: expected as label"),
        ("choice", "", (), "the file is empty"),
        ("multilabel", "text\tlabel\nthe film\t\n", (), "no row has a label"),
        ("regression", "text\tlabel\nthe film\tx\n", (), "expected a number, got 'x'"),
        ("regression", "text\tlabel\nthe film\t1\na\t2\n", ("--label-smoothing", "0.1"), "has no classes to smooth"),
        ("sequence", "text\tlabel\na\tx\nb\ty\n", ("--sweep", "speed=1"), "argument --sweep: expected NAME=VALUE"),
        ("sequence", "text\tlabel\na\tx\nb\ty\n", ("--sweep", "lr=fast"), "--lr: expected a number of at least 0"),
        ("sequence", "text\tlabel\na\tx\nb\ty\n", ("--sweep", "lr=1", "lr=2"), "lr is given twice"),
        ("sequence", "text\tlabel\na\tx\nb\ty\n", ("--sweep", "lr=1e-3,1,0.001"), "lr=0.001 is given twice"),
        ("sequence", "text\tlabel\na\tx\nb\ty\n", ("--sweep", "lr=1,2"), "--hold-out 0 there is nothing to compare"),
        ("sequence", "text\tlabel\na\tx\nb\ty\n", ("--fractions", "0,1"), "--fraction: expected a number above 0"),
        ("sequence", "text\tlabel\na\tx\nb\ty\n", ("--augment", "shout=1"), "expected dropout, swap, replace with"),
        ("sequence", "text\tlabel\na\tx\nb\ty\n", ("--freeze", "2"), "expected 0 to 1 layers to freeze, got 2"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_first(refused, pretrained, tmp_path, task, content, options, message):
    file = tmp_path / f"train.{'conll' if task == 'token' else 'json' if task == 'span' else 'tsv'}"
    file.write_text(content, encoding="utf-8")
    hold = () if "--hold-out" in options else ("--hold-out", "0")
    found = refused("finetune", file, "--task", task, "--model", pretrained, "-o", tmp_path / "out", *hold, *options)
    assert message in found
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


@pytest.mark.usefixtures("no_pictures")
def test_what_was_repaired_is_told_and_counted(run, pretrained, tmp_path):
    conll = tmp_path / "a.conll"
    conll.write_text("film\tI-thing\nday\tO\n\nbook\tI-thing\n\n\u200b\tO\n", encoding="utf-8")
    command = ("--model", pretrained, "--epochs", "1", "--hold-out", "0")
    _, _, err = run("finetune", conll, "--task", "token", "-o", tmp_path / "a", *command)
    assert "a.conll: 2 I- tags without a B- before them were read as B-, the first in line 1" in err
    assert "1 words have no token" in err
    squad = tmp_path / "b.json"
    data = json.loads(squad_with(question="was it very " * 30, answers=[{"text": "film", "answer_start": 0}]))
    data["data"][0]["paragraphs"].append({"context": "", "qas": []})
    squad.write_text(json.dumps(data), encoding="utf-8")
    _, _, err = run("finetune", squad, "--task", "span", "-o", tmp_path / "b", *command)
    assert "b.json: 1 answers were not where the file says" in err and "b.json: 1 empty paragraphs" in err
    assert "1 questions were longer than their share of the window and were cut" in err
    code, out, err = run("evaluate", squad, "--model", tmp_path / "b")
    assert code == 0 and "1 questions were longer" in err and "1 empty paragraphs" in err


@pytest.mark.usefixtures("no_pictures")
def test_answers_longer_than_any_window_are_told_and_not_learned(run, pretrained, tmp_path):
    squad, long = squad_file(tmp_path / "a.json", 4), tmp_path / "long.json"
    data = json.loads(squad.read_text(encoding="utf-8"))
    question = data["data"][0]["paragraphs"][2]["qas"][0]
    question["answers"] = [{"text": data["data"][0]["paragraphs"][2]["context"], "answer_start": 0}]
    long.write_text(json.dumps(data), encoding="utf-8")
    command = ("--task", "span", "--model", pretrained, "--hold-out", "0", "--max-length", "12", *BRIEF[:-1])
    _, _, err = run("finetune", squad, "-o", tmp_path / "a", *command)
    assert "window" not in err
    _, _, err = run("finetune", long, "-o", tmp_path / "b", *command)
    assert "1 questions have an answer that no window holds whole" in err
    windows = [record_of(tmp_path / name)["settings"]["train_examples"] for name in "ab"]
    assert windows[0] == 4 * windows[1] // 3 > 4
    code, out, err = run("evaluate", long, "--model", tmp_path / "b", "--max-length", "12")
    assert code == 0 and out.startswith("texts  4\n") and "1 questions have an answer that no window holds" in err


@pytest.mark.usefixtures("no_pictures")
def test_labels_unseen_in_training_are_refused(run, refused, pretrained, tmp_path):
    file = tmp_path / "a.conll"
    file.write_text(CONLL, encoding="utf-8")
    run("finetune", file, "--task", "token", "--model", pretrained, "-o", tmp_path / "m", "--hold-out", "0", *BRIEF)
    other = tmp_path / "b.conll"
    other.write_text("you\tB-per\nlove\tO\nyou\tI-per\n", encoding="utf-8")
    expected = "b.conll, line 1: unknown tag 'B-per' (2 words with tags that the model does not know); known: O, B-"
    assert expected in refused("evaluate", other, "--model", tmp_path / "m")
    assert expected in refused("finetune", file, "--task", "token", "--model", pretrained, "-o", tmp_path / "n",
                               "--eval", other)  # fmt: skip


def test_options_of_other_tasks_are_refused(refused, tmp_path):
    folder = save_tiny_model(tmp_path / "m", id2label={0: "neg", 1: "pos"})
    for options, message in (
        (("--question", "what"), "--question: the model in"),
        (("--choice", "a"), "is for the task sequence, not choice"),
        (("--no-answer",), "is for the task sequence, not span"),
    ):
        assert message in refused("predict", "the film", "--model", folder, *options)
    reader = tmp_path / "reader"
    bertnp.BertForQuestionAnswering(tiny_config()).save_pretrained(reader)
    tiny_tokenizer().save_pretrained(reader)
    assert "give a --question about the texts" in refused("predict", "the film", "--model", reader)
    assert "give either texts" in refused("predict", "--question", "what", "--model", reader)
    assert "pairs of texts are nothing for the task span" in refused("predict", "a", "--second", "b", "--model", reader)


@pytest.mark.usefixtures("no_pictures")
def test_scores_with_intervals(run, pretrained, tmp_path):
    makers = {
        "sequence": lambda: write_table(tmp_path / "a.tsv", toy_sentences(24)),
        "token": lambda: tagged_file(tmp_path / "b.conll", 24),
        "span": lambda: squad_file(tmp_path / "c.json", 12, unanswerable=3),
        "choice": lambda: choice_file(tmp_path / "d.jsonl", 12),
    }
    for task, make in makers.items():
        file, output, scores = make(), tmp_path / task, tmp_path / f"{task}-scores.json"
        run("finetune", file, "--task", task, "--model", pretrained, "-o", output, *BRIEF, "--hold-out", "0",
            "--stride", "3", "--epochs", "4", "--lr", "1e-2")  # fmt: skip
        command = ("evaluate", file, "--model", output, "--stride", "3", "--confidence", "0.9", "--json", scores)
        code, out, _ = run(*command)
        told = json.loads(scores.read_text(encoding="utf-8"))
        assert code == 0 and told["intervals"].pop("confidence") == 0.9 and " to " in out
        assert set(told["intervals"]) <= set(told["scores"])
        for name, (low, high) in told["intervals"].items():
            assert low <= told["scores"][name] <= high
