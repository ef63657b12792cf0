"""How well a model translates a set of pairs."""

import numpy as np

import bertnp.functional as F
from bertnp.backend import as_array, to_numpy
from bertnp.data import batches_by_length
from bertnp.data.batches import IGNORED
from bertnp.nn import inference


def evaluate_translation(model, pairs, batch_size=64, most=None):
    """{"loss", "token_accuracy", "exact_match"} of a Transformer. Dropout is off.

    loss: the mean cross-entropy of the targets' tokens in nats, without label smoothing, each token given those before
    token_accuracy: the share of them that is the likeliest
    exact_match: the share of sources that greedy search translates token by token as in the set

    pairs: such as `EncodedPairs`   most: translate only so many of them, at even distances; None: all
    """
    total = correct = tokens = 0
    with inference():
        for rows in batches_by_length(pairs.lengths, batch_size):
            batch = pairs.batch(rows)
            logits = model(**batch).logits
            labels = batch["labels"].reshape(-1)
            logits = logits.reshape(len(labels), -1)
            items = int((labels != IGNORED).sum())
            loss, _ = F.cross_entropy(logits, labels)
            total += float(to_numpy(loss)) * items
            correct += int(to_numpy((logits.argmax(axis=-1) == as_array(labels, like=logits)).sum()))
            tokens += items
    n = len(pairs)
    chosen = np.linspace(0, n - 1, n if most is None else min(n, most)).astype(int)
    found = translate(model, pairs, chosen, batch_size)
    end = model.config.eos_token_id
    exact = sum(is_exact(one, pairs.target_ids[row], end) for one, row in zip(found, chosen, strict=True))
    return {"loss": total / tokens, "token_accuracy": correct / tokens, "exact_match": exact / len(chosen)}


def translate(model, pairs, rows=None, batch_size=64, **options):
    """The best `Hypothesis` for each of these sources (None: all), those of like length together.

    options: of `Transformer.generate`
    """
    rows = np.arange(len(pairs)) if rows is None else np.asarray(rows)
    found = [None] * len(rows)
    for places in batches_by_length(pairs.lengths[rows], batch_size):
        batch = pairs.batch(rows[places])
        written = model.generate(batch["input_ids"], batch["attention_mask"], **options)
        for place, one in zip(places, written, strict=True):
            found[place] = one
    return found


def is_exact(hypothesis, target_ids, eos_token_id):
    """Whether what was written is the target, token by token, the end token with it."""
    return hypothesis.finished and np.array_equal([*hypothesis.token_ids, eos_token_id], target_ids)


def bleu(hypotheses, references, tokenize="13a"):
    """The BLEU score of a set (Papineni et al. 2002), 0 to 100, by sacrebleu.

    hypotheses, references: texts   tokenize: "13a" for languages with spaces, "char" by characters, "zh", ...

    Raises ImportError saying what to install where sacrebleu isn't.
    """
    try:
        import sacrebleu
    except ImportError:
        raise ImportError("BLEU needs sacrebleu: pip install 'bertnp[translate]'") from None
    return sacrebleu.corpus_bleu(list(hypotheses), [list(references)], tokenize=tokenize, force=True).score
