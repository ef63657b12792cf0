"""Which words fit where a text says [MASK]?"""

import numpy as np

import bertnp.functional as F
from bertnp.backend import to_numpy
from bertnp.data import batches_by_length, encode_texts
from bertnp.models.heads import BertForMaskedLM, BertForPreTraining
from bertnp.nn import inference
from bertnp.pipelines.base import Pipeline


class FillMask(Pipeline):
    """Predicts the words behind the [MASK]s of texts, with a model that was pre-trained to do so.

        fill = FillMask.from_pretrained(folder)
        fill("The [MASK] sat on the mat.")
        # [{"score": 0.41, "token": 4937, "token_str": "cat", "sequence": "the cat sat on the mat."}, ...]

    A score is the probability softmax(logits) over the whole vocabulary. Of several [MASK]s in one text each is
    predicted for itself, the others staying masked. Scores are computed at the [MASK]s alone.

    model: BertForMaskedLM or BertForPreTraining; the rest as in `Pipeline`
    """

    model_class = BertForMaskedLM, BertForPreTraining
    head = "head for masked words"
    head_weights = ("cls.",)

    def __init__(self, model, tokenizer, max_length=None, batch_size=32, **defaults):
        super().__init__(model, tokenizer, max_length, batch_size, **defaults)
        if tokenizer.mask_token is None or tokenizer.mask_token_id == tokenizer.unk_token_id:
            raise ValueError(f"the tokenizer has no token for a masked word (mask_token: {tokenizer.mask_token!r})")

    def predict(self, texts, top_k=5, targets=None):
        """For one text its predictions, for a list of texts a list of them.

        The predictions for a text with one [MASK] are top_k dictionaries, the most probable first: "score", "token"
        (its id), "token_str" and "sequence", the text with it filled in. With several [MASK]s they are a list of such
        lists, one for each.

        targets: the only words to choose from; each must be a single token. Their probabilities stay those among
            all words, and there are no more predictions than targets

        Raises ValueError for a text without [MASK], for one that is cut before its last [MASK], and for a target
        that is no token.
        """
        if isinstance(texts, str):
            return self.predict([texts], top_k, targets)[0]
        return self.fill(self.encode(texts), top_k, targets)

    def encode(self, texts):
        """The texts as token ids, cut to max_length; ValueError where that leaves out a [MASK], or there is none."""
        texts = list(texts)
        examples = encode_texts(self.tokenizer, texts, max_length=self.max_length)
        mask = self.tokenizer.mask_token
        for row, ids in enumerate(examples.input_ids):
            found = int((ids == self.tokenizer.mask_token_id).sum())
            there = found
            if len(ids) >= self.max_length:
                whole = self.tokenizer(texts[row], verbose=False)["input_ids"]
                there = whole.count(self.tokenizer.mask_token_id)
            if there == 0:
                raise ValueError(f"there is no {mask} to fill in text {row + 1}: {texts[row]!r:.60}")
            if found < there:
                raise ValueError(f"text {row + 1} is cut to {self.max_length} tokens, which leaves {found} of its "
                                 f"{there} {mask}: shorten it before them")  # fmt: skip
        return examples

    def fill(self, examples, top_k=5, targets=None):
        """The predictions for texts already encoded, in their order."""
        words = np.arange(self.model.config.vocab_size) if targets is None else self.target_ids(targets)
        if top_k < 1:
            raise ValueError(f"top_k: expected at least 1, got {top_k}")
        results = [None] * len(examples)
        with inference():
            for rows in batches_by_length(examples.lengths, self.batch_size):
                batch = examples.batch(rows)
                masked = batch["input_ids"] == self.tokenizer.mask_token_id  # (B, S)
                probabilities = to_numpy(F.softmax(self.logits(batch, masked)))[:, words]  # (N, targets or V)
                firsts = np.cumsum(masked.sum(axis=1))[:-1]
                for row, of_text in zip(rows, np.split(probabilities, firsts), strict=True):
                    results[row] = self.predictions(examples.input_ids[row], of_text, words, top_k)
        return results

    def logits(self, batch, masked):
        """The scores of all words at the masked positions alone: (N, V).

        batch: what a model takes   masked: (B, S) truth values
        """
        inputs = batch["input_ids"], batch["attention_mask"], batch["token_type_ids"], None, None
        h, _, packing, _ = self.model.encode(inputs, output_hidden_states=False, output_attentions=False)  # (T, H)
        rows = np.flatnonzero(masked.reshape(-1)[packing.rows])  # (N,)
        return self.model.cls.predictions(F.gather_rows(h, rows))

    def predictions(self, ids, probabilities, words, top_k):
        """What `predict` gives for one text: ids (S,), probabilities (masks, targets or V)."""
        places = np.flatnonzero(ids == self.tokenizer.mask_token_id)
        results = []
        for place, scores in zip(places, probabilities, strict=True):
            results.append([])
            for best in np.argsort(-scores, kind="stable")[:top_k]:
                filled = ids.copy()
                filled[place] = words[best]
                filled = filled[filled != self.tokenizer.pad_token_id]
                # Of several [MASK]s the others stay to be seen, and with them [CLS] and [SEP].
                sequence = self.tokenizer.decode(filled, skip_special_tokens=len(places) == 1)
                results[-1].append({
                    "score": float(scores[best]),
                    "token": int(words[best]),
                    "token_str": self.tokenizer.decode([int(words[best])]),
                    "sequence": sequence,
                })  # fmt: skip
        return results[0] if len(results) == 1 else results

    def target_ids(self, targets):
        """The ids of the words to choose from, each once; ValueError for one that is not a single token."""
        vocabulary = self.tokenizer.get_vocab()
        ids = {}
        for target in [targets] if isinstance(targets, str) else targets:
            found = vocabulary.get(target)
            if found is None:  # it may become one: "Cat" of a lower-cased vocabulary
                pieces = self.tokenizer.tokenize(target)
                if len(pieces) != 1 or pieces[0] == self.tokenizer.unk_token:
                    became = " ".join(pieces) or "nothing"
                    raise ValueError(f"targets: {target!r} is not one token of the vocabulary (it becomes {became})")
                found = vocabulary[pieces[0]]
            ids[found] = target
        if not ids:
            raise ValueError("targets: expected at least one word")
        return np.array(list(ids))
