import numpy as np
import pytest
from tiny_model import save_tiny_model, tiny_config, tiny_tokenizer, toy_sentences, write_table

import bertnp
from bertnp.cli import main

WORDS = "the cat dog bird sat ran sang on under over mat hill tree and then it was glad sad tired again".split()


@pytest.fixture
def run(capsys):
    """Run a command line in this process: (exit code, standard output, standard error)."""

    def run(*args):
        capsys.readouterr()
        code = main([str(arg) for arg in args])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def refused(run):
    """Run a command line that ends in one line on stderr and exit code 2, and return that line."""

    def refused(*args):
        code, out, err = run(*args)
        assert code == 2, (out, err)
        assert err.startswith("bertnp: error: ") and err.count("\n") == 1 and err.endswith("\n"), err
        assert out == ""
        return err.removeprefix("bertnp: error: ").rstrip("\n")

    return refused


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    rng = np.random.default_rng(0)
    documents = ["\n".join(" ".join(rng.choice(WORDS, rng.integers(4, 9))) + " ." for _ in range(8)) for _ in range(12)]
    path = tmp_path_factory.mktemp("corpus") / "corpus.txt"
    path.write_text("\n\n".join(documents) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory):
    """The folder of a tiny BERT without a classifier."""
    folder = tmp_path_factory.mktemp("pretrained")
    bertnp.BertModel(tiny_config()).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def classifier(tmp_path_factory):
    """The folder of a tiny classifier that knows "neg" and "pos", untrained."""
    return save_tiny_model(tmp_path_factory.mktemp("classifier"), id2label={0: "neg", 1: "pos"})


@pytest.fixture
def train_file(tmp_path):
    return write_table(tmp_path / "train.tsv", toy_sentences(40))


@pytest.fixture
def without_pictures(monkeypatch):
    """Drawing takes longer than training a tiny model: tests about other things leave it out."""
    for name in ("learning_curve", "confusion_matrix", "predicted_against_true"):
        monkeypatch.setattr(f"bertnp.plotting.{name}", lambda *args: None)
