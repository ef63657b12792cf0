import json

import pytest
from tiny_model import tiny_config, tiny_tokenizer, write_table

import bertnp
from bertnp.pipelines import NextSentence

PAIRS = [("the film was great", "it was lovely"), ("i love you", "the book is dull , and sour")]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The folder of a tiny BERT with its pre-training heads, untrained."""
    folder = tmp_path_factory.mktemp("heads")
    bertnp.BertForPreTraining(tiny_config(initializer_range=0.5)).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def expected(model):
    probabilities = NextSentence.from_pretrained(model)(*map(list, zip(*PAIRS, strict=True)))
    return [f"{p:.4f}\t{a}\t{b}" for p, (a, b) in zip(probabilities, PAIRS, strict=True)]


def test_two_sentences(run, model, expected):
    for pair, line in zip(PAIRS, expected, strict=True):
        assert run("next-sentence", *pair, "--model", model) == (0, line + "\n", "")


def test_pairs_from_a_file(run, model, expected, tmp_path):
    file = write_table(tmp_path / "a.tsv", PAIRS[1:], PAIRS[0])
    assert run("next-sentence", "--file", file, "--no-header", "--model", model)[1].splitlines() == expected
    file = write_table(tmp_path / "b.tsv", [(b, 1, a) for a, b in PAIRS], ("later", "id", "earlier"))
    columns = ("--text", "earlier", "--pair", "later")
    assert run("next-sentence", "--file", file, *columns, "--model", model)[1].splitlines() == expected
    out = run("next-sentence", "--file", file, *columns, "--model", model, "--format", "jsonl")[1]
    records = [json.loads(line) for line in out.splitlines()]
    assert [f"{r['probability']:.4f}\t{r['text']}\t{r['pair']}" for r in records] == expected


def test_what_is_wrong_is_told_in_one_line(refused, model, pretrained, tmp_path):
    said = "give either two sentences or --file, got"
    assert refused("next-sentence", "a", "--model", model) == f"{said} 1 sentence"
    assert refused("next-sentence", "a", "b", "c", "--model", model) == f"{said} 3 sentences"
    assert refused("next-sentence", "a", "--file", "b", "--model", model) == f"{said} 1 sentence and --file"
    assert refused("next-sentence", "a", " ", "--model", model) == "a text is blank; there is nothing to read"
    assert refused("next-sentence", *PAIRS[0], "--model", pretrained).startswith(
        f"{pretrained} holds no trained head for next sentences"
    )
    file = write_table(tmp_path / "a.tsv", [("the film",), ("the day",)], ("sentence",))
    assert "there is no column 2; there are 1" in refused("next-sentence", "--file", file, "--model", model)


def test_a_cut_pair_is_told(run, model):
    code, _, err = run("next-sentence", "very " * 30, "the film", "--model", model)
    assert code == 0
    assert err == "bertnp: 1 of 1 pairs fill all 24 tokens; what is longer was cut (see --max-length)\n"
