"""Does the second sentence follow the first?"""

import numpy as np

import bertnp.functional as F
from bertnp.backend import to_numpy
from bertnp.data import batches_by_length, encode_texts
from bertnp.models.heads import BertForNextSentencePrediction
from bertnp.nn import inference
from bertnp.pipelines.base import Pipeline
from bertnp.pipelines.checks import warn_of_cut


class NextSentence(Pipeline):
    """The probability that B follows A, from a model that was pre-trained on next sentences.

        follows = NextSentence.from_pretrained(folder)
        follows("He went to the shop.", "He bought milk.")     # 0.98

    It is softmax(logits)[0]: class 0 says that B is the sentence after A, class 1 that it is from elsewhere (Devlin et
    al. 2019, section 3.1).

    model: BertForNextSentencePrediction; the rest as in `Pipeline`, for pairs
    """

    model_class = BertForNextSentencePrediction
    head = "head for next sentences"
    head_weights = ("cls.", "bert.pooler.")

    def predict(self, first, second):
        """A float for two texts; a list of floats for two lists of texts."""
        if isinstance(first, str):
            return self.predict([first], [second])[0]
        examples = encode_texts(self.tokenizer, first, second, max_length=self.max_length)
        warn_of_cut(examples, self.max_length)
        return self.probabilities(examples).tolist()

    def probabilities(self, examples):
        """That B follows A, for pairs already encoded: (n,), in their order, on the host."""
        probabilities = np.zeros(len(examples), self.model.host_dtype)
        with inference():
            for rows in batches_by_length(examples.lengths, self.batch_size):
                logits = self.model(**examples.batch(rows)).logits  # (B, 2)
                probabilities[rows] = to_numpy(F.softmax(logits))[:, 0]
        return probabilities
