"""The same steps with transformers and PyTorch's AdamW, in double precision and without dropout: the same weights."""

import numpy as np
import pytest
from tiny_model import BAD, GOOD, THINGS, tiny_config, tiny_tokenizer, toy_sentences

import bertnp
from bertnp.data import encode_choices, encode_questions, encode_words, epoch_order
from bertnp.training import Trainer

pytestmark = pytest.mark.oracle("torch", "transformers")
STILL = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "num_hidden_layers": 2}
OPTIONS = {"batch_size": 6, "lr": 3e-3, "weight_decay": 0.1, "warmup": 2, "clip": 0.5, "epochs": 2, "seed": 4}


def words():
    sentences = [text.split() * 3 for text, _ in toy_sentences(11)]
    classes = [np.array([2 if w in GOOD + BAD else int(w in THINGS) for w in sentence]) for sentence in sentences]
    return encode_words(tiny_tokenizer(), sentences, classes, max_length=12, stride=3)


def spans():
    questions, contexts, answers = [], [], []
    for text, label in toy_sentences(13):
        questions.append(f"was it {'lovely' if label == 'pos' else 'awful'}")
        contexts.append(f"i love it , {text} and it is a day")
        answers.append([(text.split()[1], 16)])
    return encode_questions(tiny_tokenizer(), questions, contexts, answers, max_length=18, stride=4)


def choices():
    texts = [text for text, _ in toy_sentences(12)]
    return encode_choices(tiny_tokenizer(), texts, [["a", "very sweet"]] * 12, [i % 2 for i in range(12)])


CASES = {
    "TokenClassification": (words, {"num_labels": 3}, {}),
    "TokenClassification weighed and smoothed": (words, {"num_labels": 3}, {"class_weights": [0.3, 2.0, 1.5],
                                                                            "label_smoothing": 0.1}),
    "QuestionAnswering": (spans, {}, {}),
    "MultipleChoice": (choices, {}, {}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_same_steps_lead_to_the_same_weights(case, tmp_path):
    import torch
    import transformers

    make, sizes, loss = CASES[case]
    head, examples = f"BertFor{case.split()[0]}", make()
    ours = getattr(bertnp, head)(tiny_config(**STILL, **sizes), seed=1, dtype=np.float64)
    ours.save_pretrained(tmp_path)
    theirs = getattr(transformers, head).from_pretrained(tmp_path, dtype=torch.float64).train()
    if loss:
        ours.set_loss(**loss)
    trainer = Trainer(ours, examples, None, micro_batch_size=4, **OPTIONS)
    trainer.train()

    decayed = [p for p in theirs.parameters() if p.ndim > 1]
    others = [p for p in theirs.parameters() if p.ndim == 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=OPTIONS["lr"])
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, 2, trainer.total_steps)
    for epoch in range(2):
        for rows in np.split(epoch_order(len(examples), 4, epoch), range(6, len(examples), 6)):
            batch = {name: torch.from_numpy(values) for name, values in examples.batch(rows).items()}
            out = theirs(**batch)
            value = out.loss
            if loss:
                weight = torch.tensor(loss["class_weights"], dtype=torch.float64)
                value = torch.nn.functional.cross_entropy(
                    out.logits.flatten(0, 1), batch["labels"].flatten(), weight, label_smoothing=0.1
                )
            value.backward()
            torch.nn.utils.clip_grad_norm_(theirs.parameters(), OPTIONS["clip"])
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    state = {name: values.numpy() for name, values in theirs.state_dict().items()}
    names = [name for name, _ in ours.named_parameters()]
    assert len(names) > 30 and trainer.total_steps >= 4
    for name, parameter in ours.named_parameters():
        if not name.endswith("key.bias"):  # its true gradient is zero: Adam makes steps of rounding errors
            np.testing.assert_allclose(parameter.data, state[name], rtol=0, atol=1e-10, err_msg=name)
