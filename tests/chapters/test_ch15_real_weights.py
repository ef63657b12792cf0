"""What chapter 15 says that transformers computes is what transformers computes."""

import logging
import runpy

import numpy as np
import pytest
from formula_table import ROOT


@pytest.fixture(scope="module")
def chapter(tmp_path_factory):
    """The names of the chapter after it has run."""
    logger = logging.getLogger("bertnp")
    level = logger.level
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("BERTNP_FIGURES", str(tmp_path_factory.mktemp("figures")))
        patched.setattr("sys.argv", ["ch15_real_weights.py"])
        yield runpy.run_path(str(ROOT / "chapters" / "ch15_real_weights.py"))
    logger.setLevel(level)


@pytest.mark.oracle
def test_stored_numbers_are_those_of_transformers(chapter, tmp_path):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    folder = chapter["write_checkpoint"](tmp_path / "published", chapter["old_tensors"]())
    model = transformers.BertForPreTraining.from_pretrained(folder, attn_implementation="eager").double().eval()
    inputs = {name: torch.tensor(values) for name, values in {**chapter["batch"], **chapter["labels"]}.items()}
    out = model(**inputs, output_hidden_states=True)
    out.loss.backward()
    close = {"rtol": 0, "atol": 2e-9}
    picked = chapter["picked"]([x.detach().numpy() for x in out.hidden_states])
    np.testing.assert_allclose(chapter["HIDDEN_STATES"], picked, **close)
    np.testing.assert_allclose(chapter["WORD_SCORES"], out.prediction_logits[0, 2, :4].detach().numpy(), **close)
    np.testing.assert_allclose(chapter["NEXT_SCORES"], out.seq_relationship_logits.detach().numpy(), **close)
    np.testing.assert_allclose(chapter["LOSS"], out.loss.item(), **close)
    parameters = dict(model.named_parameters())
    for name, expected in chapter["GRADIENTS"].items():
        found = chapter["fingerprint"](parameters[name].grad.numpy())
        np.testing.assert_allclose(expected, found, **close, err_msg=name)


def test_compares_a_checkpoint_without_transformers(chapter, tmp_path, monkeypatch, capsys):
    folder = chapter["write_checkpoint"](tmp_path / "published", chapter["old_tensors"]())
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    chapter["compare_published"](folder)
    said = capsys.readouterr().out
    assert "transformers is not installed" in said and said.count("after layer") == 13


@pytest.mark.oracle
def test_compares_a_checkpoint_with_transformers(chapter, tmp_path, capsys):
    pytest.importorskip("torch"), pytest.importorskip("transformers")
    tensors = chapter["old_tensors"]()
    folder = chapter["write_checkpoint"](tmp_path / "published", tensors)
    chapter["compare_published"](folder)
    said = capsys.readouterr().out
    assert "not installed" not in said and said.count("after layer") == 13
