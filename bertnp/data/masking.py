"""Masks drawn anew each time an instance is seen, in place of those that were drawn once and stored."""

import copy

import numpy as np

from bertnp.data.batches import IGNORED
from bertnp.data.instances import is_continuation


def mask_tokens(
    input_ids,
    special_tokens_mask,
    rng,
    mask_token_id,
    vocab_size,
    mlm_probability=0.15,
    mask_replace_prob=0.8,
    random_replace_prob=0.1,
    continues=None,
):
    """Choose tokens to be predicted and hide them: (input_ids with masks, labels with -100 elsewhere).

    Each token is chosen with probability mlm_probability. A chosen one becomes [MASK] with mask_replace_prob, any id
    below vocab_size with random_replace_prob, and stays otherwise. There is no upper limit, and none may be chosen.

    input_ids: (B, S)   special_tokens_mask: (B, S), true where nothing may be chosen: special tokens and padding
    rng: numpy.random.Generator, from which the same is drawn in the same order as by DataCollatorForLanguageModeling
      of transformers 5.23 (return_tensors="np", seed): three Bernoulli matrices (B, S), then the random ids
    continues: (B, S), true for pieces that continue the word before them: then whole words are chosen, by the draw
      of their first piece, and each of their pieces is replaced by itself. None: single tokens
    """
    input_ids, special = np.array(input_ids, np.int64), np.asarray(special_tokens_mask).astype(bool)
    if input_ids.ndim != 2 or special.shape != input_ids.shape:
        raise ValueError(
            f"input_ids, special_tokens_mask: expected one shape (B, S), got {input_ids.shape} and {special.shape}"
        )
    probabilities = {"mlm_probability": mlm_probability, "mask_replace_prob": mask_replace_prob,
                     "random_replace_prob": random_replace_prob}  # fmt: skip
    for name, value in probabilities.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name}: expected a probability from 0 to 1, got {value!r}")
    if mask_replace_prob + random_replace_prob > 1:
        raise ValueError(f"mask_replace_prob + random_replace_prob: expected at most 1, got "
                         f"{mask_replace_prob} + {random_replace_prob}")  # fmt: skip
    shape = input_ids.shape
    chosen = rng.binomial(1, np.where(special, 0.0, mlm_probability), shape).astype(bool)
    if continues is not None:
        chosen = np.take_along_axis(chosen, first_pieces(special, continues), axis=1)
    labels = np.where(chosen, input_ids, IGNORED)
    hidden = chosen & rng.binomial(1, mask_replace_prob, shape).astype(bool)
    input_ids[hidden] = mask_token_id
    if mask_replace_prob < 1 and random_replace_prob > 0:
        share = min(1.0, random_replace_prob / (1 - mask_replace_prob))  # of those that were not hidden
        replaced = rng.binomial(1, share, shape).astype(bool) & chosen & ~hidden
        input_ids[replaced] = rng.integers(0, vocab_size, np.count_nonzero(replaced))
    return input_ids, labels


def first_pieces(special, continues):
    """For each token the position of the first piece of its word: (B, S).

    A piece after a special token begins a word, whatever it looks like: what was before it has been cut off.
    """
    special, continues = np.asarray(special, bool), np.asarray(continues, bool)
    begins = ~continues | special
    begins[:, 0] = True
    begins[:, 1:] |= special[:, :-1]
    return np.maximum.accumulate(np.where(begins, np.arange(begins.shape[1]), 0), axis=1)


class DynamicMasking:
    """Pre-training instances with masks drawn anew for each batch, as RoBERTa's are (Liu et al. 2019, section 4.1).

    One generator, numpy.random.default_rng(seed), runs on from batch to batch, so the same batches in the same order
    get the masks that transformers' collator draws: see `mask_tokens`. Special tokens, [UNK] among them, and padding
    are never chosen. `state_dict` tells where the generator is, for JSON, and `load_state_dict` goes on from there.

    instances: has len, lengths and unmasked_batch(rows), such as `PretrainingInstances`; its own masks don't count
    whole_word: choose words with all their "##" pieces. transformers 4 had this rule; version 5 takes words from
      character offsets instead (so that "don't" is one word), and hides every chosen one with [MASK]
    the others: see `mask_tokens`
    """

    def __init__(
        self,
        instances,
        tokenizer,
        seed,
        mlm_probability=0.15,
        mask_replace_prob=0.8,
        random_replace_prob=0.1,
        whole_word=False,
    ):
        if tokenizer.mask_token is None:
            raise ValueError("masking needs a mask_token, and the tokenizer has none")
        self.instances = instances
        self.rng = np.random.default_rng(seed)
        self.mask_token_id = tokenizer.mask_token_id
        self.vocab_size = len(tokenizer)
        self.probabilities = mlm_probability, mask_replace_prob, random_replace_prob
        vocabulary = tokenizer.vocab
        self.is_special = np.zeros(max(vocabulary.values()) + 1, bool)  # by id
        self.is_special[tokenizer.all_special_ids] = True
        self.continues = None
        if whole_word:
            self.continues = np.zeros(len(self.is_special), bool)
            self.continues[[identity for token, identity in vocabulary.items() if is_continuation(token)]] = True

    def __len__(self):
        return len(self.instances)

    @property
    def lengths(self):
        return self.instances.lengths

    def batch(self, rows):
        """The instances of these rows with new masks, as `PretrainingInstances.batch` gives them."""
        batch = self.instances.unmasked_batch(rows)
        ids = batch["input_ids"]
        special = self.is_special[ids] | (batch["attention_mask"] == 0)
        continues = None if self.continues is None else self.continues[ids]
        batch["input_ids"], batch["labels"] = mask_tokens(
            ids, special, self.rng, self.mask_token_id, self.vocab_size, *self.probabilities, continues
        )
        return batch

    def state_dict(self):
        """Where the generator is."""
        return {"generator": copy.deepcopy(self.rng.bit_generator.state)}

    def load_state_dict(self, state):
        """Go on from where `state_dict` was called."""
        self.rng.bit_generator.state = state["generator"]
