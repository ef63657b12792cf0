# %% [markdown]
# # 00 · Quickstart: two sentences, a classifier, ten epochs
#
# Needs: nothing. Runtime: 1 second.
#
# At the end you will have loaded a BERT, trained it on two sentences and asked it about one of them, and you will
# know which line of code is responsible for what. Everything under `model(...)`, `model.backward()` and
# `optimizer.step()` is written out by hand in NumPy; the later chapters open these lines one by one.
#
# Run it as it is (a small BERT is made on the spot, no download), or on a published checkpoint:
#
#     python chapters/ch00_quickstart.py
#     python chapters/ch00_quickstart.py path/to/a/bert/folder
#     python chapters/ch00_quickstart.py bert-base-uncased         # downloads it; needs the extra: bertnp[hub]
#
# With BERT-base it takes about a minute.

# %%
import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

import bertnp
from bertnp import plotting
from bertnp.functional import softmax
from bertnp.learn import draw

# %% [markdown]
# ## The data
#
# Two sentences and what we want to hear about them: 1 for love, 0 for hate. A dataset is anything that knows its
# length and can hand out its i-th example.


# %%
class MyDataset:
    def __init__(self, sentences, labels):
        self.sentences = sentences
        self.labels = labels

    def __len__(self):
        return len(self.sentences)

    def __getitem__(self, index):
        return self.sentences[index], self.labels[index]


dataset = MyDataset(["I love you.", "I hate you."], [1, 0])

# %% [markdown]
# ## A small BERT, made on the spot
#
# `from_pretrained` reads a folder: a vocabulary, a configuration and the weights. A real one comes from a
# pre-training that took days. This one has two layers of width 256, twelve words and random weights: it knows nothing,
# but it is a BERT in every detail, and it is enough to see the machinery turn. So small and so short of training, it
# needs two allowances: weights drawn with standard deviation 0.05 instead of 0.02, so that the difference of one word
# comes through to the end, and no dropout.


# %%
def make_small_bert(folder):
    """Write a small untrained BERT to a folder, in the files that published checkpoints consist of."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "i", "you", "love", "hate", "him", ".", "!"]
    tokenizer = bertnp.BertTokenizer({word: number for number, word in enumerate(words)})
    config = bertnp.BertConfig(
        vocab_size=len(words),
        hidden_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=1024,
        max_position_embeddings=32,
        initializer_range=0.05,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    tokenizer.save_pretrained(folder)
    bertnp.BertForSequenceClassification(config, seed=0).save_pretrained(folder)
    return folder


# %% [markdown]
# ## Load, train, predict
#
# If you have fine-tuned with PyTorch, compare line by line. What differs:
#
# * the labels go into the model beside the inputs, so that it computes the loss:
#   $L = -\log \operatorname{softmax}(\text{logits})_{\text{label}}$;
# * there is no graph behind `outputs.loss` that could call `backward` on itself. The *model* knows its backward pass,
#   because somebody wrote it down: `model.backward()`;
# * `model.train()` and `model.eval()` say when dropout is on: while learning, never while predicting.


# %%
def quickstart(folder, epochs=10):
    """Train on the two sentences, print the loss of each epoch.

    Returns the class predicted for "I love you.", and the losses.
    """
    tokenizer = bertnp.BertTokenizer.from_pretrained(folder)
    model = bertnp.BertForSequenceClassification.from_pretrained(folder)
    optimizer = bertnp.Adam(model, lr=5e-5)

    model.train()
    losses = []
    for epoch in range(epochs):
        total = 0.0
        for sentence, label in dataset:
            inputs = tokenizer(sentence, return_tensors="np", padding=True, truncation=True)
            outputs = model(**inputs, labels=[label])
            model.backward()
            optimizer.step()
            optimizer.zero_grad()
            total += float(outputs.loss)
        losses.append(total / len(dataset))
        print(f"epoch {epoch + 1:2d}   mean loss {losses[-1]:.4f}")

    model.eval()
    print()
    predictions = []
    for sentence in dataset.sentences:
        inputs = tokenizer(sentence, return_tensors="np", padding=True, truncation=True)
        outputs = model(**inputs)
        probabilities = bertnp.to_numpy(softmax(outputs.logits))[0]
        predictions.append(int(probabilities.argmax()))
        print(f"{sentence:12s} P(0) = {probabilities[0]:.3f}   P(1) = {probabilities[1]:.3f}   ->  {predictions[-1]}")
    return predictions[0], losses


# %% [markdown]
# A model that has learnt nothing is indifferent between two classes, and then the loss is $\ln 2 = 0.693$. Below
# that, it knows something; here, it learns two sentences by heart, which is all we ask of it.


# %%
def main(arguments):
    parser = argparse.ArgumentParser(description="Train a BERT classifier on two sentences.")
    parser.add_argument("model", nargs="?", help="a folder or a name; default: a small BERT made on the spot")
    model = parser.parse_args(arguments).model
    if model:
        return quickstart(model)[0]
    with tempfile.TemporaryDirectory() as folder:
        prediction, losses = quickstart(make_small_bert(Path(folder)))
    print()
    draw(
        plotting.curves,
        "ch00_quickstart.png",
        panels=[
            {
                "series": {"mean loss of both sentences": (np.arange(len(losses)) + 1, losses)},
                "levels": {"indifferent: ln 2": np.log(2)},
                "xlabel": "epoch",
                "ylabel": "loss",
                "markers": True,
                "ylim": (0, 1.1 * max(losses)),
            }
        ],
        width=4.5,
    )
    return prediction


if __name__ == "__main__":
    pred = main([] if "ipykernel" in sys.modules else sys.argv[1:])
    print(pred)  # prints: 1

# %% [markdown]
# ## Where this script comes from, and four mistakes to learn from
#
# It follows a well-known kind of introduction to BERT whose script reads almost like this one, for PyTorch and
# transformers, and does not run. What is wrong there is worth knowing, because each mistake is a common one:
#
# 1. **The labels never reach the model.** It is called as `model(**inputs)`, so `outputs.loss` is `None`, and
#    `None.backward()` fails at the first step. A model computes a loss only from labels.
# 2. **`torch` is not imported**, only two names out of it, so the last line, `torch.softmax(...)`, fails as well.
# 3. **Dropout is never set.** The script calls neither `train()` nor `eval()`. Where a model begins in training mode,
#    as a freshly constructed one does, dropout would still be on when it predicts, and the answer would change from
#    call to call; where it comes from `from_pretrained`, it begins in evaluation mode, and would be fine-tuned without
#    the dropout it was pre-trained with. Say which you mean.
# 4. **The data loader is imported and unused.** The loop feeds one sentence at a time; a loader would make batches of
#    them, which is faster, and padded, which is what the attention mask is for.
