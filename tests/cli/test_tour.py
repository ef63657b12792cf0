"""The tour on a small scale; tests/tour_goals.py holds a whole one to what it must show."""

import json
import math

import numpy as np
import pytest

from bertnp import BertForPreTraining, BertTokenizer
from bertnp.cli import tour
from bertnp.cli.arguments import program
from bertnp.cli.tour import FROM_SCRATCH, PRETRAINED, Settings, Tour, take_tour
from bertnp.data import read_documents, read_table
from bertnp.data.world import feelings, valley
from bertnp.pipelines import FillMask, TextClassifier
from bertnp.training import Trainer

SMALL = {
    "stories": 150, "held_out_stories": 20, "dupe_factor": 1, "hidden": 16, "heads": 2, "intermediate": 16,
    "steps": 6, "evaluations": 3, "labels": (4, 8), "seeds": 2, "test_sentences": 20, "finetune_steps": 2,
    "finetune_epochs": 1,
}  # fmt: skip
FILES = ["accuracy.png", "attention.png", "classifier", "feelings.tsv", "loss.png", "pretrained", "stories.txt",
         "tour.json"]  # fmt: skip


@pytest.fixture(scope="module")
def taken(tmp_path_factory):
    """A small tour: (its folder, its figures, what it said)."""
    folder, said = tmp_path_factory.mktemp("tour") / "mine", []
    figures = take_tour(folder, settings=Settings(**SMALL), say=said.append)
    return folder, figures, "\n".join(said)


def test_every_step_says_something_that_any_terminal_can_show(taken):
    folder, _, said = taken
    titles = ["A world", "Words", "Pre-training", "Filling in words", "Attention", "Fine-tuning", "What is there now"]
    places = [said.index(f"\n{number}  {title}\n") for number, title in enumerate(titles, 1)]
    assert places == sorted(places)
    assert "I love you." in said and "I hate you." in said
    said.encode("cp1252")
    assert max(len(line) for line in said.split("\n") if str(folder) not in line) < 160


def test_what_is_left_can_be_used(taken):
    folder, figures, _ = taken
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert json.loads((folder / "tour.json").read_text(encoding="utf-8")) == json.loads(json.dumps(figures))
    assert list(read_documents([folder / "stories.txt"])) == valley().stories(150, "stories 0")
    table = read_table(folder / "feelings.tsv")
    assert (table.texts, table.classes(["bad", "good"]).tolist()) == feelings(8, "labelled 0")
    filled = FillMask.from_pretrained(folder / "pretrained")(tour.MASKED, top_k=3)
    for text, guesses in zip(tour.MASKED, filled, strict=True):
        assert guesses == figures["filled"][text]
    classify = TextClassifier.from_pretrained(folder / "classifier")
    assert classify.labels == ["bad", "good"]
    assert classify(tour.SENTENCES) == [figures["finetuning"]["answers"][text] for text in tour.SENTENCES]
    assert BertTokenizer.from_pretrained(folder / "pretrained").tokenize("Tilda smiled.") == ["tilda", "smiled", "."]
    for name in ("loss", "attention", "accuracy"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_figures_hang_together(taken):
    _, figures, _ = taken
    found = figures["pretraining"]
    first, *_, last = found["history"]
    assert first["masked_lm_loss"] == pytest.approx(math.log(figures["vocabulary"]), rel=0.02)
    assert found["loss"] == min(entry["masked_lm_loss"] for entry in found["history"]) == last["masked_lm_loss"]
    assert [entry["step"] for entry in found["history"]] == [0, 2, 4, 6]
    assert 0 < found["floor"] < found["unigram_entropy"] < first["masked_lm_loss"]
    gap = found["unigram_entropy"] - found["floor"]
    assert found["gap_closed"] == pytest.approx((found["unigram_entropy"] - found["loss"]) / gap)
    assert 0.5 <= found["next_sentence_guessing"] < found["next_sentence_best"] <= 1
    runs = figures["finetuning"]
    assert runs["labels"] == [4, 8]
    for kind in ("accuracy", "accuracy_on_labelled"):
        assert {side: np.shape(runs[kind][side]) for side in runs[kind]} == {FROM_SCRATCH: (2, 2), PRETRAINED: (2, 2)}
    assert set(figures["seconds"]) == {"world", "words", "pretraining", "filling", "attention", "feelings", "end"}


def test_the_words_that_are_held_out_are_all_masked(taken, monkeypatch, tmp_path):
    """None is kept or replaced, the stories are others than those learnt from, and none is cut."""
    seen = {}

    def stop(self):
        seen.update(train=self.train_set, held_out=self.evaluation_set)
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "train", stop)
    with pytest.raises(KeyboardInterrupt):
        take_tour(tmp_path, settings=Settings(**SMALL), say=lambda line: None)
    tokenizer = BertTokenizer.from_pretrained(taken[0] / "pretrained")
    batch = seen["held_out"].batch(range(len(seen["held_out"])))
    chosen = batch["labels"] != -100
    assert (batch["input_ids"][chosen] == tokenizer.mask_token_id).all()
    assert (batch["input_ids"] == tokenizer.mask_token_id).sum() == chosen.sum() > 50
    batch = seen["train"].batch(range(len(seen["train"])))
    chosen = batch["labels"] != -100
    assert 0.7 < (batch["input_ids"][chosen] == tokenizer.mask_token_id).mean() < 0.9
    told, held_out = valley().stories(150, "stories 0"), valley().stories(20, "held-out stories 0")
    assert not any(story in told for story in held_out)


def test_a_seed_gives_the_same_tour(taken, tmp_path, without_pictures):
    folder, figures, _ = taken
    again = take_tour(tmp_path, settings=Settings(**SMALL), say=lambda line: None)
    for name in ("pretraining", "finetuning", "filled", "vocabulary"):
        assert without_seconds(again[name]) == without_seconds(figures[name])
    for name in ("pretrained", "classifier"):
        weights = [(where / name / "model.safetensors").read_bytes() for where in (folder, tmp_path)]
        assert weights[0] == weights[1]


@pytest.fixture
def without_pictures(monkeypatch):
    for name in ("loss_and_floor", "attention", "accuracy_by_labels"):
        monkeypatch.setattr(f"bertnp.plotting.{name}", lambda *args: None)


def without_seconds(found):
    return {name: value for name, value in found.items() if name != "seconds"} if isinstance(found, dict) else found


def test_both_sides_differ_in_the_weights_they_begin_with_alone(taken, tmp_path):
    folder = taken[0]
    small = Tour(tmp_path, 0, Settings(**SMALL), lambda line: None, False)
    small.model = BertForPreTraining.from_pretrained(folder / "pretrained")
    models = [small.fresh_classifier(side, 7) for side in (FROM_SCRATCH, PRETRAINED)]
    scratch, pretrained = (dict(model.named_parameters()) for model in models)
    learnt = dict(small.model.named_parameters())
    assert set(scratch) == set(pretrained)
    assert {name for name in scratch if name not in learnt} == {"classifier.weight", "classifier.bias"}
    for name in scratch:
        assert np.array_equal(pretrained[name].data, (learnt if name in learnt else scratch)[name].data)
    name = "bert.encoder.layer.0.attention.self.query.weight"
    assert not np.allclose(scratch[name].data, pretrained[name].data)


# the command


@pytest.fixture
def small(monkeypatch, without_pictures):
    smallest = {"steps": 1, "evaluations": 1, "labels": (2,), "seeds": 1, "finetune_steps": 1}
    monkeypatch.setattr(tour, "Settings", lambda: Settings(**SMALL | smallest))


def figures_in(folder):
    return json.loads((folder / "tour.json").read_text(encoding="utf-8"))


def test_the_command_writes_over_an_earlier_tour_and_over_nothing_else(run, refused, tmp_path, small, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run("tour")
    assert code == 0 and "1  A world" in out and err == ""
    before = figures_in(tmp_path / "bertnp-tour")
    assert run("tour", "--seed", "3", "--quiet")[0] == 0
    after = figures_in(tmp_path / "bertnp-tour")
    assert after["seed"] == 3 and after["pretraining"]["floor"] != before["pretraining"]["floor"]
    assert [path.name for path in tmp_path.iterdir()] == ["bertnp-tour"]

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("Dear Oona", encoding="utf-8")
    assert refused("tour", "-o", "mine") == "mine is not empty, and not of a tour; give another folder, or --overwrite"
    assert run("tour", "-o", "mine", "--overwrite")[0] == 0
    assert (tmp_path / "mine" / "letter.txt").read_text(encoding="utf-8") == "Dear Oona"
    assert refused("tour", "-o", "mine/letter.txt").endswith("letter.txt is a file; expected a folder to write to")
    assert "--seed" in refused("tour", "--seed", "-1")


def test_an_interrupted_tour_can_be_taken_again(run, tmp_path, small, monkeypatch):
    def interrupted(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train", interrupted)
        assert run("tour", "-o", tmp_path / "mine")[0] == 130
    assert run("tour", "-o", tmp_path / "mine")[0] == 0


def test_what_to_type_next(monkeypatch):
    monkeypatch.setattr("sys.argv", [".venv/bin/bertnp", "tour"])
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert program() == ".venv/bin/bertnp"
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/bertnp")
    assert program() == "bertnp"
    monkeypatch.setattr("sys.argv", ["/usr/lib/bertnp/__main__.py", "tour"])
    assert program() == "python -m bertnp"
