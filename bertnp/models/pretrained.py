"""Models that come from files and go to files: `from_pretrained`, `save_pretrained`, and the load report."""

import inspect
import logging
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bertnp.backend import to_numpy
from bertnp.models.configuration import CONFIG_FILE, BertConfig
from bertnp.models.weight_files import SAFETENSORS_PATTERNS, TORCH_PATTERNS, WeightFiles, save_weights
from bertnp.nn import Dropout, DropoutStreams, Module

logger = logging.getLogger("bertnp")

# Old checkpoints follow TensorFlow's names for the weight and bias of a LayerNorm.
OLD_ENDINGS = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
# Constants (0, 1, 2, ... and zeros) that some checkpoints hold beside their weights.
CONSTANTS = ("embeddings.position_ids", "embeddings.token_type_ids")


@dataclass
class LoadReport:
    """What became of every tensor when a model was filled from a checkpoint.

    loaded: names of the model's parameters that came from the files
    newly_initialised: names of parameters that the files don't have
    unused: names of tensors in the files that the model has no place for
    wrong_shape: {parameter: (shape in the file, shape in the model)}; these are newly initialised, too
    """

    model: str
    source: str
    loaded: list = field(default_factory=list)
    newly_initialised: list = field(default_factory=list)
    unused: list = field(default_factory=list)
    wrong_shape: dict = field(default_factory=dict)

    @property
    def complete(self):
        """Whether each parameter came from the files, and each tensor of the files was used."""
        return not (self.newly_initialised or self.unused or self.wrong_shape)

    def __str__(self):
        total = len(self.loaded) + len(self.newly_initialised) + len(self.wrong_shape)
        lines = [f"{self.model} from {self.source}: {len(self.loaded)} of {total} tensors loaded"]
        if self.newly_initialised:
            lines.append(f"{_listing(self.newly_initialised)} newly initialised: fine-tune before you predict")
        for name, (found, expected) in self.wrong_shape.items():
            lines.append(f"{name} is newly initialised: it has shape {found} in the file and {expected} in the model")
        if self.unused:
            lines.append(f"{_listing(self.unused)} in the file but not used by {self.model}")
        return "\n  ".join(lines)


class PreTrainedModel(Module):
    """A Module with a configuration: made from one, or loaded from checkpoint files; it can be saved to them.

    config: the configuration   seed: of fresh weights and of dropout   dtype, device: of the parameters
    init: False leaves the weights zero, for a loader to fill
    """

    config_class = BertConfig
    base_model_prefix = "bert"  # what the names of the encoder's parameters begin with in a model with a head
    load_report = None

    def __init__(self, config, *, seed=0, dtype=np.float32, device=None, init=True):
        self.config = config
        self.seed = seed
        self.initializer_range = config.initializer_range
        self.dropout_streams = DropoutStreams(seed)
        self.build(config)
        for site, dropout in enumerate(m for _, m in self.named_modules() if isinstance(m, Dropout)):
            dropout.site = site
        self.allocate(dtype, device)
        if init:
            self.init_weights()

    def build(self, config):
        """Declare the parts of the model."""
        raise NotImplementedError

    @property
    def tied_names(self):
        """Names under which checkpoints may hold a parameter once more -> its own name."""
        return {}

    def no_loss(self):
        return RuntimeError(
            f"backward of {type(self).__name__}: no loss to start from; give the forward labels, or backward a gradient"
        )

    @classmethod
    def from_pretrained(
        cls,
        folder_or_name,
        *,
        config=None,
        dtype=np.float32,
        device=None,
        seed=0,
        ignore_mismatched_sizes=False,
        revision=None,
        cache_dir=None,
        local_files_only=False,
        output_loading_info=False,
        **overrides,
    ):
        """A model with the configuration and weights of a folder, or of a published checkpoint by its name.

        Reads model.safetensors, its shards, or pytorch_model.bin (both its forms) or its shards, in this order; a
        model with a head takes a bare encoder's weights, and the other way round. Weights that the files don't have
        are drawn from `seed`. What became of each tensor stands in `model.load_report`; unless everything was loaded
        and used, it is also logged as a warning of the logger "bertnp". The model is in eval mode.

        config: used in place of the folder's config.json   overrides: keys of the configuration, such as num_labels=3
        dtype, device: of the parameters, whatever the files hold
        ignore_mismatched_sizes: initialise tensors of the wrong shape newly; otherwise they are an error
        revision, cache_dir, local_files_only: for a name, see `bertnp.backend.hub.fetch_pretrained`
        output_loading_info: return (model, load report)

        Raises FileNotFoundError for a missing folder or file, OSError or ImportError if a name can't be fetched, and
        ValueError, naming the file and the tensor or key, for what can't be read or doesn't fit.
        """
        folder = Path(folder_or_name)
        if not folder.is_dir():
            folder = _fetch(folder_or_name, revision, cache_dir, local_files_only)
        arguments = {key: overrides.pop(key) for key in list(overrides) if key in inspect.signature(cls).parameters}
        if config is None:
            config = cls.config_class.from_pretrained(folder, **overrides)
        else:
            config = config.copy(**overrides)
        with WeightFiles(folder) as files:
            model = cls(config, seed=seed, dtype=dtype, device=device, init=False, **arguments)
            model._fill(files, ignore_mismatched_sizes)
        model.eval()
        return (model, model.load_report) if output_loading_info else model

    def load_weights(self, folder, ignore_mismatched_sizes=False):
        """Fill this model from the weight files of a folder, as `from_pretrained` does; returns the load report."""
        with WeightFiles(folder) as files:
            self._fill(files, ignore_mismatched_sizes)
        return self.load_report

    def save_pretrained(self, folder, max_shard_size=None):
        """Write config.json and model.safetensors into `folder`, which is made if it isn't there.

        max_shard_size: bytes or a text such as "500MB": split the weights into several files, with an index.
        Tied parameters are written once, by their own name. A crash half-way leaves the files that were there before.
        """
        folder = Path(folder)
        config = self.config.copy()
        config.architectures = [type(self).__name__]
        config.dtype = np.dtype(self.host_dtype).name
        if hasattr(config, "torch_dtype"):  # the same under its older name
            config.torch_dtype = config.dtype
        arrays = {
            name: (parameter.shape, np.dtype(self.host_dtype).itemsize, lambda p=parameter: to_numpy(p.master))
            for name, parameter in self.named_parameters()
        }
        if not getattr(self.config, "tie_word_embeddings", True):  # transformers then looks for each name by itself
            arrays |= {copy: arrays[name] for copy, name in self.tied_names.items()}
        folder.mkdir(parents=True, exist_ok=True)
        save_weights(folder, arrays, max_shard_size, also={CONFIG_FILE: config.to_json_string()})

    def _fill(self, files, ignore_mismatched_sizes):
        """Copy each tensor of the files to its parameter, one at a time, and initialise what is left."""
        parameters = dict(self.named_parameters())
        sources, unused = self._match(files, parameters)
        if not any(self._is_base(name) for name in sources):
            some = ", ".join(map(repr, files.names[:3])) or "none"
            raise ValueError(f"{files.folder}: its weights ({some} ...) are of another architecture: no tensor of "
                             f"{type(self).__name__}'s encoder is among them")  # fmt: skip
        report = LoadReport(type(self).__name__, str(files.folder), unused=unused)
        for name, parameter in parameters.items():
            if name in sources and files.shape(sources[name][0]) != parameter.shape:
                report.wrong_shape[name] = (files.shape(sources[name][0]), parameter.shape)
        if report.wrong_shape and not ignore_mismatched_sizes:
            name, (found, expected) = next(iter(report.wrong_shape.items()))
            raise ValueError(f"{files.file(sources[name][0])}: {sources[name][0]} has shape {found}, but the model "
                             f"expects {expected}; ignore_mismatched_sizes=True would initialise it newly")  # fmt: skip
        for name, parameter in parameters.items():
            if name in report.wrong_shape:
                continue
            if name not in sources:
                report.newly_initialised.append(name)
                continue
            source, *copies = sources[name]
            values = _read(files, source)
            for copy in copies:
                if not np.array_equal(_read(files, copy), values, equal_nan=True):
                    raise ValueError(f"{files.file(copy)}: {copy} differs from {source}, but the configuration ties "
                                     "the two; tie_word_embeddings=False keeps them apart")  # fmt: skip
            parameter.data = values
            report.loaded.append(name)
        self.init_weights(set(report.newly_initialised) | set(report.wrong_shape))
        self.load_report = report
        if not report.complete:
            logger.warning("%s", report)

    def _match(self, files, parameters):
        """{parameter: [tensor of the files, ... further copies of it]} and the tensors that belong nowhere."""
        sources, copies, unused = {}, [], []
        for source in files.names:
            if source.endswith(CONSTANTS):
                continue
            for name in self._possible_names(source):
                if name in self.tied_names:
                    copies.append((self.tied_names[name], source))
                    break
                if name in parameters and name not in sources:
                    sources[name] = [source]
                    break
            else:
                unused.append(source)
        for name, source in copies:
            if getattr(self.config, "tie_word_embeddings", True):
                sources.setdefault(name, []).append(source)
            else:  # nothing is tied in such a file, and transformers computes with what is called a copy here
                sources[name] = [source]
        return sources, unused

    def _possible_names(self, source):
        """What a tensor of a file may be called in this model."""
        prefix = f"{self.base_model_prefix}."
        for old, new in OLD_ENDINGS.items():
            if source.endswith(old):
                source = source.removesuffix(old) + new
        yield source
        yield source.removeprefix(prefix) if source.startswith(prefix) else prefix + source

    def _is_base(self, name):
        """Whether a parameter belongs to the encoder: in a bare encoder, all do."""
        prefix = f"{self.base_model_prefix}."
        return name.startswith(prefix) or not any(other.startswith(prefix) for other, _ in self.named_parameters())


def _fetch(name, revision, cache_dir, local_files_only):
    """The folder of a published checkpoint; its pytorch_model.bin is fetched only if it has no safetensors."""
    from bertnp.backend.hub import fetch_pretrained

    for patterns in (SAFETENSORS_PATTERNS, TORCH_PATTERNS):
        folder = fetch_pretrained(
            name, [CONFIG_FILE, *patterns], revision=revision, cache_dir=cache_dir, local_files_only=local_files_only
        )
        if any(path for pattern in patterns for path in folder.glob(pattern)):
            break
    return folder


def _read(files, name):
    values = files.read(name)
    if values.dtype.kind != "f":
        raise ValueError(f"{files.file(name)}: {name} is of type {values.dtype}, expected a floating-point type")
    return values


def _listing(names, most=8):
    """'a is', 'a and b are', 'a, b, c and 5 more are'."""
    names = [name if name.isprintable() else repr(name) for name in names]  # a file may hold any name
    if len(names) == 1:
        return f"{names[0]} is"
    if len(names) > most:
        return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more are"
    return f"{', '.join(names[:-1])} and {names[-1]} are"
