import io
import json
import sys

import pytest
from tiny_model import tiny_config, tiny_tokenizer, write_table

import bertnp
from bertnp.pipelines import FillMask

TEXTS = ["the [MASK] was lovely", "i [MASK] the [MASK]"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The folder of a tiny BERT with its pre-training heads, untrained."""
    folder = tmp_path_factory.mktemp("heads")
    bertnp.BertForPreTraining(tiny_config(initializer_range=0.5)).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def lines(predictions):
    return [f"{p['score']:.4f}\t{p['token_str']}\t{p['sequence']}" for p in predictions]


def test_words_for_every_mask(run, model):
    fill = FillMask.from_pretrained(model)
    code, out, err = run("fill-mask", *TEXTS, "--model", model)
    assert (code, err) == (0, "")
    first, (second, third) = fill(TEXTS)
    assert out.splitlines() == [*lines(first), "", *lines(second), "", *lines(third)]
    assert run("fill-mask", TEXTS[0], "--model", model, "--top-k", "2")[1].splitlines() == lines(first[:2])
    targets = ["film", "song", "day", "meal", "book", "you"]
    _, out, _ = run("fill-mask", TEXTS[0], "--model", model, "--targets", *targets)
    assert out.splitlines() == lines(fill(TEXTS[0], top_k=6, targets=targets))


def test_json_lines(run, model):
    fill = FillMask.from_pretrained(model)
    _, out, _ = run("fill-mask", *TEXTS, "--model", model, "--format", "jsonl", "--top-k", "2")
    records = [json.loads(line) for line in out.splitlines()]
    first, second = fill(TEXTS, top_k=2)
    assert records == [{"text": TEXTS[0], "masks": [first]}, {"text": TEXTS[1], "masks": second}]


def test_files_and_standard_input(run, model, tmp_path, monkeypatch):
    expected = run("fill-mask", *TEXTS, "--model", model)[1]
    file = tmp_path / "a.txt"
    file.write_bytes("\n".join(TEXTS).encode())
    table = write_table(tmp_path / "a.tsv", [(1, text) for text in TEXTS], ("id", "review"))
    assert run("fill-mask", "--file", file, "--model", model)[1] == expected
    assert run("fill-mask", "--file", table, "--text", "review", "--model", model)[1] == expected
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(file.read_bytes()), encoding="ascii"))
    assert run("fill-mask", "-", "--model", model)[1] == expected


def test_a_cut_text_is_told(run, model):
    code, out, err = run("fill-mask", "[MASK] " + "very " * 30, "--model", model)
    assert code == 0 and len(out.splitlines()) == 5
    assert err == "bertnp: 1 of 1 texts fill all 24 tokens; what is longer was cut (see --max-length)\n"


def test_what_is_wrong_is_told_in_one_line(refused, model, classifier):
    assert refused("fill-mask", "the film", "--model", model) == "there is no [MASK] to fill in text 1: 'the film'"
    assert refused("fill-mask", "very " * 30 + "[MASK]", "--model", model) == (
        "text 1 is cut to 24 tokens, which leaves 0 of its 1 [MASK]: shorten it before them"
    )
    assert refused("fill-mask", TEXTS[0], "--targets", "films", "--model", model).startswith("targets: 'films' is not")
    assert refused("fill-mask", TEXTS[0], "--model", classifier).startswith(
        f"{classifier} holds no trained head for masked words"
    )
    assert refused("fill-mask", "--model", model).startswith("give either texts, or - for standard input, or --file")
    assert "--top-k: expected a whole number of at least 1, got '0'" in refused("fill-mask", "a", "--top-k", "0")
