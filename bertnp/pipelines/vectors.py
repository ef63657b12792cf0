"""Vectors in the manner of transformers: of every token, and how alike sentences are."""

from bertnp.data import encode_texts
from bertnp.models.bert import BertModel
from bertnp.pipelines.base import Pipeline, each_text
from bertnp.pipelines.checks import warn_of_cut
from bertnp.pipelines.sentence_vectors import SentenceEncoder


class FeatureExtractionPipeline(Pipeline):
    """The last layer's vector of every token, special tokens among them.

        extract = bertnp.pipeline("feature-extraction", model=folder)
        extract("I love you.")                          # [[[0.1, ...], ...]]: 1, its S tokens, H numbers each
        extract("I love you.", return_tensors=True)     # the same as an array, (1, S, H)
    """

    model_class = BertModel

    @classmethod
    def load_model(cls, folder_or_name, **options):
        return BertModel.from_pretrained(folder_or_name, add_pooling_layer=False, **options)

    def predict(self, inputs, return_tensors=False):
        """For a text nested lists of floats, 1 × S × H; for a list of texts a list of such.

        return_tensors: give arrays (1, S, H) instead
        """
        texts, alone = each_text(inputs)
        examples = encode_texts(self.tokenizer, texts, max_length=self.max_length)
        warn_of_cut(examples, self.max_length)
        rows = self.outputs(examples, lambda out: out.last_hidden_state)
        found = [row[None, :n] for row, n in zip(rows, examples.lengths, strict=True)]
        found = found if return_tensors else [row.tolist() for row in found]
        return found[0] if alone else found


class SentenceSimilarityPipeline:
    """How alike sentences are to one: the cosines of their vectors.

        alike = bertnp.pipeline("sentence-similarity", model=folder)
        alike({"source_sentence": "It rains.", "sentences": ["It pours.", "I love you."]})      # [0.81, 0.02]

    encoder: `SentenceEncoder`
    """

    def __init__(self, encoder):
        self.encoder = encoder

    @classmethod
    def from_pretrained(cls, folder_or_name, **options):
        """options: see `SentenceEncoder.from_pretrained`"""
        return cls(SentenceEncoder.from_pretrained(folder_or_name, **options))

    def __call__(self, inputs=None, source_sentence=None, sentences=None):
        """A list of floats, one for each sentence.

        inputs: {"source_sentence": a text, "sentences": a list of texts}, in place of both
        """
        if inputs is not None:
            if not isinstance(inputs, dict) or set(inputs) != {"source_sentence", "sentences"}:
                raise TypeError('expected {"source_sentence": a text, "sentences": a list of texts}')
            source_sentence, sentences = inputs["source_sentence"], inputs["sentences"]
        if not isinstance(source_sentence, str) or isinstance(sentences, str) or sentences is None:
            raise TypeError("expected a text as source_sentence and a list of texts as sentences")
        vectors = self.encoder.encode([source_sentence, *sentences])
        return self.encoder.similarity(vectors[:1], vectors[1:])[0].tolist()
