"""Two toy tasks that show what attention and sines can do, and what they can't.

    python tests/models/copy_tasks.py -o copy-tasks

Recall: the answer is the first letter of 21 to 41, and the model must fetch it. Beside it a bag of the last five
letters, the best that looking at neighbours can do. Copy: letters written once more, learnt on rows of up to 20, then
tried on rows of lengths never seen.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[2])]

from bertnp import Adam, Trainer, Transformer, TransformerConfig  # noqa: E402
from bertnp.data import EncodedPairs, copy_pairs, recall_pairs  # noqa: E402
from bertnp.pipelines import Translator  # noqa: E402
from bertnp.plotting import cross_attention  # noqa: E402
from bertnp.tokenization import PairTokenizer  # noqa: E402
from bertnp.training import EvaluationLines, ProgressBar, evaluate_translation  # noqa: E402


def train(pairs, steps, lr=3e-3, batch_size=64, seed=0):
    """A small model that has seen these pairs, and its tokenizer."""
    tokenizer = PairTokenizer.train(pairs, 50, True, "characters", "characters")
    config = TransformerConfig(
        vocab_size=len(tokenizer.source), hidden_size=64, num_hidden_layers=1, num_attention_heads=4,
        intermediate_size=128, hidden_dropout_prob=0.0, label_smoothing=0.0,
    )  # fmt: skip
    model = Transformer(config, seed=seed)
    Trainer(
        model, encode(tokenizer, pairs), steps=steps, batch_size=batch_size, lr=lr, seed=seed,
        optimizer=Adam(model, lr, betas=(0.9, 0.98), eps=1e-9), evaluate_every=max(steps // 4, 1),
        callbacks=[ProgressBar(), EvaluationLines()],
    ).train()  # fmt: skip
    return model, tokenizer


def encode(tokenizer, pairs):
    return EncodedPairs(tokenizer.encode_sources(pairs.sources), tokenizer.encode_targets(pairs.targets))


def bag_of_neighbours(train_pairs, test_pairs, last=5):
    """The accuracy of naive Bayes on the last letters: what can be told from near the end."""
    answers, letters = sorted(set(train_pairs.targets)), sorted(set("".join(train_pairs.sources)))
    counts = np.ones((len(answers), len(letters)))
    for source, target in zip(train_pairs.sources, train_pairs.targets, strict=True):
        for letter in source[-last:]:
            counts[answers.index(target), letters.index(letter)] += 1
    scores = np.log(counts / counts.sum(axis=1, keepdims=True))
    found = [answers[scores[:, [letters.index(letter) for letter in source[-last:]]].sum(axis=1).argmax()]
             for source in test_pairs.sources]  # fmt: skip
    return float(np.mean([a == b for a, b in zip(found, test_pairs.targets, strict=True)]))


def recall(output, steps):
    pairs, test = recall_pairs(4000, seed=0), recall_pairs(500, seed=1)
    model, tokenizer = train(pairs, steps)
    accuracy = evaluate_translation(model, encode(tokenizer, test))["exact_match"]
    bag = bag_of_neighbours(pairs, test)
    print(f"recall: the Transformer {accuracy:.1%}, a bag of the last five letters {bag:.1%}, guessing 10.0%")
    translator = Translator(model, tokenizer)
    one = translator(test.sources[0])
    source, target, attentions = translator.attentions(one.source, one)
    cross_attention(source, target, attentions, output / "recall.png", each_head=True)
    print(f"  {one.source} -> {one.text}; shares of attention on the first letter, head by head: "
          + " ".join(f"{share:.2f}" for share in attentions[-1][:, 0, 0]))  # fmt: skip


def copy(steps):
    model, tokenizer = train(copy_pairs(20000, seed=0), steps)
    for least, most in ((1, 5), (6, 10), (11, 15), (16, 20), (21, 21), (22, 22), (24, 24), (28, 28), (40, 40)):
        test = copy_pairs(200, seed=1, least=max(least, 3), most=most)
        found = evaluate_translation(model, encode(tokenizer, test))
        print(f"copy, {least} to {most} letters: {found['exact_match']:.1%} whole, "
              f"{found['token_accuracy']:.1%} of the letters, given those before", flush=True)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--recall-steps", type=int, default=400)
    parser.add_argument("--copy-steps", type=int, default=1500)
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    recall(args.output, args.recall_steps)
    copy(args.copy_steps)


if __name__ == "__main__":
    main()
