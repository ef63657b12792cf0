"""What `bertnp finetune` learns, transformers and PyTorch learn too: the same weights where no dropout differs."""

import argparse
import json

import numpy as np
import pytest
from task_files import squad_file, tagged_file
from tiny_model import tiny_config, tiny_tokenizer

import bertnp

pytestmark = pytest.mark.oracle("torch", "transformers", "seqeval")

# A softmax doesn't see what is added to all it chooses from; AdamW moves such weights by their rounding errors.
WITHOUT_GRADIENT = {
    "token": ("key.bias",),
    "span": ("key.bias", "layer.0.output.LayerNorm.bias", "qa_outputs.bias"),
}


@pytest.mark.parametrize("task", ["token", "span"])
def test_the_same_is_learned(run, task, tmp_path):
    from finetune_with_torch import Spans, Tags, predict, train
    from transformers import BertTokenizerFast

    start, output, scores = tmp_path / "start", tmp_path / "out", tmp_path / "scores.json"
    config = tiny_config(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, initializer_range=0.2)
    bertnp.BertModel(config).save_pretrained(start)
    tiny_tokenizer().save_pretrained(start)
    kind, write = {"token": (Tags, tagged_file), "span": (Spans, squad_file)}[task]
    file = write(tmp_path / "train")
    sizes = "--max-length", "20", "--stride", "4"
    code, _, _ = run("finetune", file, "--task", task, "--model", start, "-o", output, "--hold-out", "0", "--epochs",
                     "2", "--lr", "1e-2", "--batch-size", "7", "--seed", "3", "--quiet", *sizes)  # fmt: skip
    assert code == 0
    data = kind(file, file, BertTokenizerFast.from_pretrained(start), 20, 4)
    model, _ = train(data, start, 3, argparse.Namespace(epochs=2, lr=1e-2, batch_size=7))

    before, ours = weights(data.head(start, 3)), weights(data.head(output, 3))
    theirs = {name: value.numpy() for name, value in model.state_dict().items()}
    for name in ours:
        if not name.endswith(WITHOUT_GRADIENT[task]):
            moved = np.linalg.norm(theirs[name] - before[name])
            assert moved > 0.05 and np.linalg.norm(theirs[name] - ours[name]) < 2e-5 * moved, name

    assert run("evaluate", file, "--model", output, "--json", scores, *sizes)[0] == 0
    found = json.loads(scores.read_text(encoding="utf-8"))["scores"]
    read = data.model.from_pretrained(output)
    for name, expected in data.scores(predict(read, data.features[1])).items():
        assert expected > 0.2 and found[name] == pytest.approx(expected, abs=1e-9), name


def weights(model):
    return {name: bertnp.to_numpy(parameter.data) for name, parameter in model.named_parameters()}
