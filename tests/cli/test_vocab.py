"""`bertnp vocab`: what it writes, what it says, what it refuses."""

import os
import stat
import subprocess
import sys

import pytest

from bertnp import BertTokenizer

SEA = "The sea was calm.\nThe sea was deep.\nHe said: Look at the sea!\n"
TEXT = (SEA + "The boat, a boat of oak, was the boat we had.\n\n") * 3


@pytest.fixture
def corpus(tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "b.txt").write_text(TEXT, encoding="utf-8")
    (folder / "a.md").write_text("# Title\n\nÉlan and calm. Élan!\n\n## Two\n\nThe sea, again.\n", encoding="utf-8")
    return folder


def test_the_files_load_and_the_report_counts(run, corpus, tmp_path):
    code, out, err = run("vocab", corpus, "-o", tmp_path / "v", "--size", 60, "--reserved", 2,
                         "--special", "<x>", "<y>")  # fmt: skip
    assert code == 0 and err == ""
    assert sorted(path.name for path in (tmp_path / "v").iterdir()) == [
        "tokenizer.json", "tokenizer_config.json", "vocab.txt",
    ]  # fmt: skip
    lines = (tmp_path / "v" / "vocab.txt").read_text(encoding="utf-8").split("\n")
    assert lines[:9] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<x>", "<y>", "[unused0]", "[unused1]"]
    assert len(lines) == 61 and lines[-1] == ""
    tokenizer = BertTokenizer.from_pretrained(tmp_path / "v")
    assert tokenizer.tokenize("The SEA<x>") == ["the", "sea", "<x>"]
    said = [" ".join(line.split()) for line in out.splitlines()]
    assert said[0] == "corpus 2 files (1 of lines, 1 of prose), 5 documents, 15 sentences"
    assert said[1] == f"words {3 * (5 + 5 + 8 + 14) + 4 + 2 + 5:,}, 22 different ones"
    assert said[2].startswith("alphabet 22 characters, ")
    assert said[3].startswith("vocabulary 60 tokens: 7 special, 2 reserved, ")
    assert said[4].endswith(" 0 words unknown (0.00%)")
    assert said[5] == "for example h ##e s ##ai ##d : l ##o ##o ##k at the sea !"
    assert said[-1] == f"saved {tmp_path / 'v'}"


def test_the_tokenizer_is_as_asked(run, corpus, tmp_path):
    cased = tmp_path / "cased"
    assert run("vocab", corpus, "-o", cased, "--size", 100, "--cased", "--min-frequency", 1, "--quiet") == (0, "", "")
    tokenizer = BertTokenizer.from_pretrained(cased)
    assert tokenizer.tokenize("Élan The the") == ["Élan", "The", "the"]
    stripped = tmp_path / "stripped"
    assert run("vocab", corpus, "-o", stripped, "--size", 90, "--cased", "--strip-accents", "--quiet")[0] == 0
    assert BertTokenizer.from_pretrained(stripped).tokenize("Élan") == ["Elan"]
    settings = ["--no-strip-accents", "--no-tokenize-chinese-chars", "--quiet"]
    assert run("vocab", corpus, "-o", tmp_path / "kept", "--size", 90, *settings)[0] == 0
    tokenizer = BertTokenizer.from_pretrained(tmp_path / "kept")
    assert tokenizer.tokenize("Élan") == ["élan"] and tokenizer.words("北京") == ["北京"]


def test_pieces_by_likelihood_are_others(run, corpus, tmp_path):
    for score in ("count", "likelihood"):
        assert run("vocab", corpus, "-o", tmp_path / score, "--size", 55, "--score", score)[0] == 0
    files = [(tmp_path / score / "vocab.txt").read_text(encoding="utf-8") for score in ("count", "likelihood")]
    assert files[0] != files[1] and files[0].count("\n") == files[1].count("\n") == 55


def test_fewer_tokens_than_asked_for_is_said(run, corpus, tmp_path):
    code, out, err = run("vocab", corpus, "-o", tmp_path / "v", "--size", 5000)
    count = (tmp_path / "v" / "vocab.txt").read_text(encoding="utf-8").count("\n")
    assert code == 0 and f"vocabulary  {count} tokens" in out
    assert err == (
        f"bertnp: there are {count} tokens, not 5,000: no pair is left to merge that occurs 2 times (--min-frequency)\n"
    )


def test_quiet_is_quiet(run, corpus, tmp_path):
    assert run("vocab", corpus, "-o", tmp_path / "v", "--size", 5000, "--quiet") == (0, "", "")


def test_dropped_characters_are_said(run, corpus, tmp_path):
    code, out, _ = run("vocab", corpus, "-o", tmp_path / "v", "--size", 50, "--limit-alphabet", 10)
    assert code == 0 and "alphabet    10 characters of 22, " in out
    tokenizer = BertTokenizer.from_pretrained(tmp_path / "v")
    assert tokenizer.tokenize("the look") == ["the", "[UNK]"]


def test_the_same_files_come_out_under_any_hash_seed_and_without_utf8(corpus, tmp_path):
    (corpus / "c.txt").write_text("日本語。テスト！\nété\n", encoding="utf-8")
    contents = []
    for seed, encoding in (("1", "utf-8"), ("77", "cp1252"), ("9", "ascii")):
        folder = tmp_path / seed
        subprocess.run(
            [sys.executable, "-m", "bertnp", "vocab", str(corpus), "-o", str(folder), "--size", "100"],
            check=True, capture_output=True, timeout=60,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": encoding},
        )  # fmt: skip
        contents.append([path.read_bytes() for path in sorted(folder.iterdir())])
    assert len(contents[0]) == 3 and contents == [contents[0]] * 3


def test_what_is_refused(refused, corpus, tmp_path):
    out = tmp_path / "out"
    empty = tmp_path / "empty.txt"
    empty.write_text("\n \n", encoding="utf-8")
    assert "there is no sentence in this corpus" in refused("vocab", empty, "-o", out)
    binary = tmp_path / "binary.txt"
    binary.write_bytes(b"ab\0c\n")
    assert f"{binary} is no text file: it holds NUL bytes" in refused("vocab", corpus, binary, "-o", out)
    binary.write_bytes(b"ab\n\xff\xfe\n")
    assert f"{binary}, line 2: byte 0xff is not UTF-8" in refused("vocab", corpus, binary, "-o", out)
    assert "no file or folder" in refused("vocab", tmp_path / "none", "-o", out)
    line = refused("vocab", corpus, "-o", out, "--size", 20)
    assert "alphabet of 37 (22 characters, 15 of them" in line and "--limit-alphabet" in line and "--size" in line
    assert "is given twice" in refused("vocab", corpus, "-o", out, "--special", "[CLS]")
    assert "above" not in refused("vocab", corpus, "-o", out, "--size", 0)
    assert not out.exists()
    assert f"{empty} is a file; expected a folder" in refused("vocab", corpus, "-o", empty)
    assert f"{corpus} is not empty; give another folder, or --overwrite" in refused("vocab", corpus, "-o", corpus)


def test_overwriting_leaves_nothing_of_another_tokenizer(run, corpus, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "special_tokens_map.json").write_text('{"cls_token": "<s>"}', encoding="utf-8")
    (out / "other.bin").write_bytes(b"x")
    assert run("vocab", corpus, "-o", out, "--size", 60, "--overwrite")[0] == 0
    assert BertTokenizer.from_pretrained(out).cls_token == "[CLS]"
    assert (out / "other.bin").exists()


@pytest.mark.skipif(os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="needs permissions")
def test_a_folder_that_cannot_be_written_is_said(refused, corpus, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    out.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        assert "files can't be written there" in refused("vocab", corpus, "-o", out)
    finally:
        out.chmod(stat.S_IRWXU)


@pytest.mark.oracle("transformers")
def test_transformers_tokenizes_alike(run, corpus, tmp_path):
    from transformers import AutoTokenizer

    run("vocab", corpus, "-o", tmp_path / "v", "--size", 60, "--special", "<x>")
    theirs, ours = AutoTokenizer.from_pretrained(tmp_path / "v"), BertTokenizer.from_pretrained(tmp_path / "v")
    texts = ["The sea<x> of oak", "[MASK] élan!", "boats 北"]
    assert theirs(texts)["input_ids"] == ours(texts)["input_ids"]
