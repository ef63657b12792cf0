"""The configuration of a BERT: its sizes and switches, and the config.json they are kept in."""

import copy
import inspect
import json
import math
import numbers
from pathlib import Path

from bertnp.backend.files import write_text

CONFIG_FILE = "config.json"
GOOGLE_CONFIG_FILE = "bert_config.json"  # the name in Google's own releases
SIZES = (  # every array of the model follows from these; a file that lacks one describes no model
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
)
ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "gelu_fast", "relu", "silu", "swish", "tanh", "linear")
PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")


class PreTrainedConfig:
    """What configurations share: copying, comparing, and the config.json they are kept in.

    A subclass has a model_type, the names of its `sizes`, an __init__ whose last argument is **other, and `validate`.
    """

    model_type = None
    sizes = ()  # keys that every file has: each array of the model follows from them

    @classmethod
    def keys(cls):
        """The names of all keys that bertnp knows."""
        return tuple(inspect.signature(cls).parameters)[:-1]  # without **other

    def validate(self):
        """Raise TypeError or ValueError, one line naming the key, if some value makes no model."""
        raise NotImplementedError

    def check_model_type(self, other):
        """Take the model type out of the other keys. ValueError where it is not this one."""
        model_type = other.pop("model_type", self.model_type)
        if model_type != self.model_type:
            raise ValueError(f"model_type is {model_type!r}, but this is a configuration for {self.model_type!r}")

    def keep(self, other):
        """Keep keys that bertnp doesn't use as attributes. ValueError where one has the name of a method."""
        for key, value in other.items():
            if hasattr(type(self), key):
                name = type(self).__name__
                raise ValueError(f"{key!r} is a method of {name} and can't be a key of a configuration")
            setattr(self, key, value)

    # what `validate` is made of; NumPy numbers become Python's own, which JSON can hold

    def check_sizes(self):
        """That the sizes are positive, the heads share the hidden size evenly, and the activation is known."""
        for key in self.sizes:
            self.check_size(key)
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size must be a multiple of num_attention_heads, got {self.hidden_size} "
                f"and {self.num_attention_heads} heads"
            )
        _check_choice("hidden_act", self.hidden_act, ACTIVATIONS)

    def check_size(self, key):
        value = getattr(self, key)
        if not _is_integer(value):
            raise TypeError(f"{key} must be a whole number, got {value!r}")
        if value < 1:
            raise ValueError(f"{key} must be at least 1, got {value}")
        setattr(self, key, int(value))

    def check_shares(self, *keys):
        for key in keys:
            value = getattr(self, key)
            if not _is_number(value):
                raise TypeError(f"{key} must be a number, got {value!r}")
            if not 0 <= value < 1:
                raise ValueError(f"{key} must be at least 0 and below 1, got {value}")
            setattr(self, key, float(value))

    def check_positive(self, key, zero=False):
        value = getattr(self, key)
        if not _is_number(value):
            raise TypeError(f"{key} must be a number, got {value!r}")
        if not 0 <= value < math.inf or (value == 0 and not zero):
            raise ValueError(f"{key} must be a positive number, got {value}")
        setattr(self, key, float(value))

    def check_token(self, key, vocab_size, otherwise=""):
        value = getattr(self, key)
        if not _is_integer(value):
            raise TypeError(f"{key} must be a whole number{otherwise}, got {value!r}")
        if not 0 <= value < vocab_size:
            raise ValueError(f"{key} must lie in 0 to {vocab_size - 1}, got {value}")
        setattr(self, key, int(value))

    def check_switches(self, *keys):
        for key in keys:
            if not isinstance(getattr(self, key), bool):
                raise TypeError(f"{key} must be true or false, got {getattr(self, key)!r}")

    def check_architectures(self):
        names = self.architectures
        if names is not None and not (isinstance(names, (list, tuple)) and all(isinstance(n, str) for n in names)):
            raise TypeError(f"architectures must be a list of class names, got {names!r}")

    def to_dict(self):
        """All keys with their values, as config.json holds them (but label ids as integers)."""
        return {"model_type": self.model_type, **copy.deepcopy(vars(self))}

    def copy(self, **overrides):
        """A configuration like this one but for `overrides`, checked afresh."""
        return type(self).from_dict(self.to_dict(), **overrides)

    @classmethod
    def from_dict(cls, values, **overrides):
        """The configuration that a dictionary of keys describes; `overrides` count more than `values`.

        Unlike `values`, which may hold anything, `overrides` are refused if their key is not known.
        """
        values = dict(values)
        for key in overrides:
            if key not in values and key not in cls.keys():
                raise TypeError(f"{key!r} is no key of this configuration")
        return cls(**{**values, **overrides})

    @classmethod
    def from_json_file(cls, path, **overrides):
        """Read one config.json. Raises FileNotFoundError, or ValueError naming the file and the key."""
        path = Path(path)
        try:
            values = json.loads(path.read_bytes().decode("utf-8"))
        except FileNotFoundError:
            raise FileNotFoundError(f"there is no file {path}") from None
        except (UnicodeDecodeError, RecursionError, ValueError) as error:
            raise ValueError(f"{path}: not a JSON file ({error})") from None
        if not isinstance(values, dict):
            raise ValueError(f"{path}: expected a JSON object with the keys of a configuration")
        model_type = values.get("model_type", cls.model_type)
        if model_type != cls.model_type:
            raise ValueError(f"{path}: model_type is {model_type!r}, but only {cls.model_type!r} can be loaded")
        missing = [key for key in cls.sizes if key not in values and key not in overrides]
        if missing:
            raise ValueError(f"{path}: the key {missing[0]!r} is missing")
        try:
            return cls.from_dict(values, **overrides)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{path}: {error}") from None

    @classmethod
    def from_pretrained(
        cls, folder_or_name, *, revision=None, cache_dir=None, local_files_only=False, **overrides
    ):
        """Read the config.json of a folder, or of a published checkpoint by its name; `overrides` replace keys.

        Google's bert_config.json is read where there is no config.json.

        revision, cache_dir, local_files_only: for a name, see `bertnp.backend.hub.fetch_pretrained`.
        """
        folder = Path(folder_or_name)
        if folder.is_file():
            return cls.from_json_file(folder, **overrides)
        if not folder.is_dir():
            from bertnp.backend.hub import fetch_pretrained

            folder = fetch_pretrained(
                folder_or_name, [CONFIG_FILE], revision=revision, cache_dir=cache_dir, local_files_only=local_files_only
            )
        if not (folder / CONFIG_FILE).is_file() and (folder / GOOGLE_CONFIG_FILE).is_file():
            return cls.from_json_file(folder / GOOGLE_CONFIG_FILE, **overrides)
        return cls.from_json_file(folder / CONFIG_FILE, **overrides)

    def save_pretrained(self, folder):
        """Write config.json into `folder`, which is made if it isn't there."""
        self.validate()
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / CONFIG_FILE, self.to_json_string())

    def to_json_string(self):
        """The text of config.json: keys sorted, label ids as strings, as JSON wants them."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"

    def __eq__(self, other):
        return isinstance(other, type(self)) and self.to_dict() == other.to_dict()

    __hash__ = None

    def __repr__(self):
        return f"{type(self).__name__} {self.to_json_string()}"


class BertConfig(PreTrainedConfig):
    """The sizes and switches of a BERT, with the names and defaults of the published config.json files.

    vocab_size V, hidden_size H, num_hidden_layers L, num_attention_heads A, intermediate_size I: see the letters
    of the design. H must be a multiple of A.
    hidden_act: one of gelu (exact, by erf), gelu_new, gelu_pytorch_tanh, gelu_fast, relu, silu, swish, tanh, linear.
    classifier_dropout: dropout before a classifier; None means hidden_dropout_prob.
    pad_token_id: the id whose word embedding starts as zero and gets no gradient from the lookup; None for no such id.
    problem_type: regression, single_label_classification, multi_label_classification, or None: told from the labels.
    num_labels, id2label, label2id: C and the names of the classes. `num_labels` is the number of names. Given both
    and disagreeing, `num_labels` counts and the names become LABEL_0, LABEL_1, ... With none given there are two.
    other: keys that bertnp doesn't use. They become attributes, and are written back by `save_pretrained`.

    Raises TypeError or ValueError with one line for a value that makes no model.
    """

    model_type = "bert"
    sizes = SIZES

    def __init__(
        self,
        vocab_size=30522,
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=3072,
        hidden_act="gelu",
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.1,
        max_position_embeddings=512,
        type_vocab_size=2,
        initializer_range=0.02,
        layer_norm_eps=1e-12,
        pad_token_id=0,
        position_embedding_type="absolute",
        classifier_dropout=None,
        tie_word_embeddings=True,
        is_decoder=False,
        add_cross_attention=False,
        problem_type=None,
        num_labels=None,
        id2label=None,
        label2id=None,
        architectures=None,
        output_hidden_states=False,
        output_attentions=False,
        **other,
    ):
        self.check_model_type(other)
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.hidden_act = hidden_act
        self.hidden_dropout_prob = hidden_dropout_prob
        self.attention_probs_dropout_prob = attention_probs_dropout_prob
        self.max_position_embeddings = max_position_embeddings
        self.type_vocab_size = type_vocab_size
        self.initializer_range = initializer_range
        self.layer_norm_eps = layer_norm_eps
        self.pad_token_id = pad_token_id
        self.position_embedding_type = position_embedding_type
        self.classifier_dropout = classifier_dropout
        self.tie_word_embeddings = tie_word_embeddings
        self.is_decoder = is_decoder
        self.add_cross_attention = add_cross_attention
        self.problem_type = problem_type
        self.architectures = architectures
        self.output_hidden_states = output_hidden_states
        self.output_attentions = output_attentions
        self.id2label, self.label2id = _label_names(num_labels, id2label, label2id)
        self.keep(other)
        self.validate()

    @classmethod
    def from_dict(cls, values, **overrides):
        """As for every configuration. `num_labels` that differs renames the labels; `id2label` or `label2id` alone
        replaces the other as well.
        """
        if "id2label" in overrides or "label2id" in overrides:
            values = {k: v for k, v in values.items() if k not in ("num_labels", "id2label", "label2id")}
        return super().from_dict(values, **overrides)

    @property
    def num_labels(self):
        """C: how many classes there are names for. Setting another number names them LABEL_0, LABEL_1, ..."""
        return len(self.id2label)

    @num_labels.setter
    def num_labels(self, num_labels):
        if num_labels != self.num_labels:
            self.id2label, self.label2id = _label_names(num_labels, None, None)

    def validate(self):
        """Raise TypeError or ValueError, one line naming the key, if some value makes no model.

        NumPy numbers become Python's own, which JSON can hold.
        """
        self.check_sizes()
        _check_choice("position_embedding_type", self.position_embedding_type, ("absolute",))
        if self.problem_type is not None:
            _check_choice("problem_type", self.problem_type, PROBLEM_TYPES)
        if self.problem_type == "single_label_classification" and self.num_labels == 1:
            raise ValueError("problem_type 'single_label_classification' needs at least 2 labels, got num_labels 1")
        self.check_shares("hidden_dropout_prob", "attention_probs_dropout_prob")
        if self.classifier_dropout is not None:
            self.check_shares("classifier_dropout")
        self.check_positive("layer_norm_eps")
        self.check_positive("initializer_range", zero=True)
        if self.pad_token_id is not None:
            self.check_token("pad_token_id", self.vocab_size, " or None")
        self.check_switches(
            "tie_word_embeddings", "is_decoder", "add_cross_attention", "output_hidden_states", "output_attentions"
        )
        for key in ("is_decoder", "add_cross_attention"):
            if getattr(self, key):
                raise ValueError(f"{key} is true, but only the encoder form of BERT is built here")
        self.check_architectures()


def _is_integer(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _is_number(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _check_choice(key, value, choices):
    if not isinstance(value, str):
        raise TypeError(f"{key} must be a name, got {value!r}")
    if value not in choices:
        raise ValueError(f"{key} {value!r} is not known; expected {' or '.join(map(repr, choices))}")


def _label_names(num_labels, id2label, label2id):
    """The names of the classes both ways round: {id: name} and {name: id}."""
    if num_labels is not None:
        if not _is_integer(num_labels):
            raise TypeError(f"num_labels must be a whole number, got {num_labels!r}")
        if num_labels < 1:
            raise ValueError(f"num_labels must be at least 1, got {num_labels}")
    for key, value in (("id2label", id2label), ("label2id", label2id)):
        if value is not None and not isinstance(value, dict):
            raise TypeError(f"{key} must be a dictionary, got {value!r}")
    if id2label is None and label2id is not None:
        id2label = {label_id: name for name, label_id in label2id.items()}
    if id2label is not None:
        try:
            id2label = {int(label_id): name for label_id, name in id2label.items()}  # JSON knows only string keys
        except (TypeError, ValueError):
            raise ValueError(f"id2label must have whole numbers for keys, got {list(id2label)!r}") from None
        if not id2label:
            raise ValueError("id2label must name at least 1 label, got none")
    if id2label is None or (num_labels is not None and len(id2label) != num_labels):
        id2label = {label_id: f"LABEL_{label_id}" for label_id in range(2 if num_labels is None else num_labels)}
        label2id = None
    if label2id is None:
        label2id = {name: label_id for label_id, name in id2label.items()}
    try:
        label2id = {name: int(label_id) for name, label_id in label2id.items()}
    except (TypeError, ValueError):
        raise ValueError(f"label2id must have whole numbers for values, got {list(label2id.values())!r}") from None
    return id2label, label2id
