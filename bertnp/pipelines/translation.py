"""Texts into another language, or another form."""

from dataclasses import dataclass

import numpy as np

from bertnp.backend import to_numpy
from bertnp.data import EncodedPairs
from bertnp.models.transformer import Transformer
from bertnp.nn import inference
from bertnp.pipelines.checks import check_batch_size
from bertnp.tokenization import PairTokenizer


@dataclass
class Translation:
    """A text, and what became of it.

    tokens: of the translation   score: its log-probability over the length penalty
    finished: whether the model ended it; else it was cut off at its maximum length
    """

    source: str
    text: str
    tokens: list
    log_probability: float
    score: float
    finished: bool


class Translator:
    """Translates texts with a Transformer that `bertnp translate train` made.

        translator = Translator.from_pretrained(folder)
        translator("3 March 1994").text            # "1994-03-03"

    model: Transformer   tokenizer: PairTokenizer   batch_size: texts computed together
    """

    def __init__(self, model, tokenizer, batch_size=64):
        check_batch_size(batch_size)
        for name, size, known in (
            ("vocab_size", model.config.vocab_size, tokenizer.source),
            ("target vocabulary", model.config.words_out, tokenizer.target),
        ):
            if len(known) > size:
                raise ValueError(f"the tokenizer has {len(known)} tokens, but the model only {size} ({name}): they "
                                 "don't belong together")  # fmt: skip
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.batch_size = batch_size

    @classmethod
    def from_pretrained(cls, folder, *, batch_size=64, **options):
        """From the folder of a trained model. options: see `Transformer.from_pretrained`"""
        tokenizer = PairTokenizer.from_pretrained(folder)
        return cls(Transformer.from_pretrained(folder, **options), tokenizer, batch_size)

    def __call__(self, texts, num_beams=4, length_penalty=0.6, max_length=None):
        """For one text its `Translation`, for a list of texts a list of them.

        num_beams: 1: greedy search; more: beam search   length_penalty, max_length: see `Transformer.generate`
        """
        if isinstance(texts, str):
            return self([texts], num_beams, length_penalty, max_length)[0]
        texts = list(texts)
        for row, text in enumerate(texts):
            if not isinstance(text, str):
                raise TypeError(f"texts: expected texts, got {type(text).__name__} in place {row}")
        return list(self.stream(texts, num_beams, length_penalty, max_length))

    def stream(self, texts, num_beams=4, length_penalty=0.6, max_length=None):
        """The same one after the other, batch by batch."""
        for start in range(0, len(texts), self.batch_size):
            some = texts[start : start + self.batch_size]
            batch = self.encode(some)
            found = self.model.generate(*batch, num_beams, length_penalty, max_length)
            for text, one in zip(some, found, strict=True):
                tokens = self.tokenizer.tokens(one.token_ids)
                written = self.tokenizer.decode(one.token_ids)
                yield Translation(text, written, tokens, one.log_probability, one.score, one.finished)

    def encode(self, texts):
        """Token ids and mask of sources, (B, S)."""
        ids = self.tokenizer.encode_sources(texts)
        batch = EncodedPairs(ids, ids, self.model.config.pad_token_id).batch(np.arange(len(ids)))
        return batch["input_ids"], batch["attention_mask"]

    def attentions(self, source, translation):
        """How much each token that was written looked at each token of the source.

        translation: what the call gave for this source
        ->  the source's tokens (S,), the translation's (U,), and for each layer the shares (A, U, S)
        """
        input_ids, _ = self.encode([source])
        target = self.tokenizer.target.convert_tokens_to_ids([*translation.tokens, "[SEP]"])
        with inference():
            out = self.model(input_ids, labels=np.array([target]), output_attentions=True)
        source_tokens = self.tokenizer.tokens(input_ids[0], "source")
        return source_tokens, [*translation.tokens, "[SEP]"], [to_numpy(shares[0]) for shares in out.cross_attentions]
