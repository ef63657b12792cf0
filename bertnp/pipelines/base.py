"""What all pipelines share: a model, its tokenizer, and options for every call."""

import inspect

from bertnp import blas
from bertnp.backend import share, to_numpy
from bertnp.backend.threads import get_threads
from bertnp.data import batches_by_length
from bertnp.nn import inference
from bertnp.pipelines.checks import check_batch_size, check_vocabulary, longest_input, missing_weights
from bertnp.tokenization import BertTokenizer


class Pipeline:
    """Text in, answers out. A subclass says with which model, and what `predict` does.

    model: of the subclass's model_class   tokenizer: BertTokenizer   batch_size: texts put through the model together
    max_length: longer texts are cut to so many tokens; None: what model and tokenizer allow
    defaults: options of `predict` for all calls that don't say otherwise
    """

    model_class = None  # or several, the first of which is loaded from files
    head = ""  # what its own weights are for, and how their names begin
    head_weights = ()

    def __init__(self, model, tokenizer, max_length=None, batch_size=32, **defaults):
        if not isinstance(model, self.model_class):
            expected = " or a ".join(kind.__name__ for kind in self.model_classes())
            raise TypeError(f"model: expected a {expected}, got {type(model).__name__}")
        check_batch_size(batch_size)
        check_vocabulary(model.config, tokenizer)
        known = list(self.call_options())
        unknown = [name for name in defaults if name not in known]
        if unknown:
            raise TypeError(f"{type(self).__name__}: unknown option {unknown[0]!r}; there are {', '.join(known)}")
        self.model = model
        self.tokenizer = tokenizer
        self.max_length = longest_input(model.config, tokenizer, max_length)
        self.batch_size = batch_size
        self.defaults = defaults

    @classmethod
    def call_options(cls):
        """The names of the options of `predict`: its arguments that need not be given."""
        parameters = inspect.signature(cls.predict).parameters.values()
        return [parameter.name for parameter in parameters if parameter.default is not parameter.empty]

    @classmethod
    def from_pretrained(cls, folder_or_name, *, max_length=None, batch_size=32, tokenizer=None, **options):
        """From the folder of a trained model, or a published one's name.

        tokenizer: None: the folder's   options: those of `predict`, for all calls, and those of the model's
            `from_pretrained`

        Raises ValueError where the files hold no trained weights for the task.
        """
        defaults = {name: options.pop(name) for name in cls.call_options() if name in options}
        tokenizer = BertTokenizer.from_pretrained(folder_or_name) if tokenizer is None else tokenizer
        model = cls.load_model(folder_or_name, **options)
        missing = missing_weights(model, *cls.head_weights) if cls.head_weights else []
        if missing:
            raise ValueError(f"{folder_or_name} holds no trained {cls.head} (no {missing[0]} in it)")
        others = [name for name in model.config.architectures or () if same_head(name, type(model).__name__)]
        if others:
            raise ValueError(f"{folder_or_name} holds no trained {cls.head}, but a {others[0]}")
        return cls(model, tokenizer, max_length, batch_size, **defaults)

    @classmethod
    def model_classes(cls):
        return cls.model_class if isinstance(cls.model_class, tuple) else (cls.model_class,)

    @classmethod
    def load_model(cls, folder_or_name, **options):
        return cls.model_classes()[0].from_pretrained(folder_or_name, **options)

    def __call__(self, *inputs, **options):
        """The same as `predict`, with the defaults this pipeline was made with."""
        return self.predict(*inputs, **self.defaults | options)

    def predict(self, inputs):
        raise NotImplementedError(f"{type(self).__name__} has no predict")

    def outputs(self, examples, read):
        """For each example its row of an output, on the host: a list, in their order. Texts of like length go together.

        read: from what the model returns to the output, (B, ...)
        """
        results = [None] * len(examples)

        def put(rows):
            values = to_numpy(read(self.model(**examples.inputs(rows))))
            for row, value in zip(rows, values, strict=True):
                results[row] = value

        for_each_batch(self.model, examples.lengths, self.batch_size, put)
        return results


def for_each_batch(model, lengths, batch_size, function):
    """Call function(rows) for batches of texts of like length, saving nothing for a backward.

    On the processor, where there are enough, each core takes batches of its own: while one multiplies matrices another
    does what waits for memory, and none waits for the others after every step. That needs a BLAS that can be told to
    leave the other cores alone.
    """
    batches = list(batches_by_length(lengths, batch_size))[::-1]  # the longest first: none is waited for in the end

    def one(number):
        with inference():
            function(batches[number])

    if model.device == "numpy" and len(batches) > get_threads() > 1 and blas.kernels() is not None:
        with blas.threads(1):
            share(one, len(batches))
    else:
        for number in range(len(batches)):
            one(number)


HEADS_ALIKE = ("BertForSequenceClassification", "BertForTokenClassification", "BertForMultipleChoice")


def same_head(name, expected):
    """Whether one head's weights bear the names of another's, which can't be told from them then."""
    return name in HEADS_ALIKE and expected in HEADS_ALIKE and name != expected


def each_text(inputs):
    """A list of texts, and whether it was but one; TypeError for anything else."""
    alone = isinstance(inputs, str)
    texts = [inputs] if alone else list(inputs) if hasattr(inputs, "__iter__") else inputs
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        wrong = next((text for text in texts if not isinstance(text, str)), texts) if isinstance(texts, list) else texts
        raise TypeError(f"expected a text or a list of texts, got {type(wrong).__name__}")
    return texts, alone
