"""Does the second sentence follow the first?"""

import numpy as np

import bertnp.functional as F
from bertnp.backend import to_numpy
from bertnp.data import batches_by_length, encode_texts
from bertnp.models.heads import BertForNextSentencePrediction
from bertnp.nn import inference
from bertnp.pipelines.checks import check_batch_size, check_vocabulary, longest_input, missing_weights
from bertnp.tokenization import BertTokenizer


class NextSentence:
    """The probability that B follows A, from a model that was pre-trained on next sentences.

        follows = NextSentence.from_pretrained(folder)
        follows("He went to the shop.", "He bought milk.")     # 0.98

    It is softmax(logits)[0]: class 0 says that B is the sentence after A, class 1 that it is from elsewhere (Devlin et
    al. 2019, section 3.1).

    model: BertForNextSentencePrediction   tokenizer: BertTokenizer   batch_size: pairs computed together
    max_length: longer pairs are cut to so many tokens; None: what model and tokenizer allow
    """

    def __init__(self, model, tokenizer, max_length=None, batch_size=32):
        check_batch_size(batch_size)
        check_vocabulary(model.config, tokenizer)
        self.model = model
        self.tokenizer = tokenizer
        self.max_length = longest_input(model.config, tokenizer, max_length)
        self.batch_size = batch_size

    @classmethod
    def from_pretrained(cls, folder_or_name, *, max_length=None, batch_size=32, **options):
        """From the folder of a model pre-trained on next sentences, or a published one's name.

        options: see `BertForNextSentencePrediction.from_pretrained`

        Raises ValueError where the files hold no head for next sentences.
        """
        tokenizer = BertTokenizer.from_pretrained(folder_or_name)
        model = BertForNextSentencePrediction.from_pretrained(folder_or_name, **options)
        missing = missing_weights(model, "cls.", "bert.pooler.")
        if missing:
            raise ValueError(
                f"{folder_or_name} holds no trained head for next sentences (no {missing[0]} in it)"
            )
        return cls(model, tokenizer, max_length, batch_size)

    def __call__(self, first, second):
        """A float for two texts; a list of floats for two lists of texts."""
        if isinstance(first, str):
            return self([first], [second])[0]
        return self.probabilities(encode_texts(self.tokenizer, first, second, max_length=self.max_length)).tolist()

    def probabilities(self, examples):
        """That B follows A, for pairs already encoded: (n,), in their order, on the host."""
        probabilities = np.zeros(len(examples), self.model.host_dtype)
        with inference():
            for rows in batches_by_length(examples.lengths, self.batch_size):
                logits = self.model(**examples.batch(rows)).logits  # (B, 2)
                probabilities[rows] = to_numpy(F.softmax(logits))[:, 0]
        return probabilities
