"""One vector for each text, and how alike two texts are by it."""

import json
import math
import operator
from pathlib import Path

import numpy as np

from bertnp.backend import array_module, as_array, to_numpy
from bertnp.backend.hub import fetch_pretrained
from bertnp.data import encode_texts
from bertnp.models.bert import BertModel
from bertnp.pipelines.base import for_each_batch
from bertnp.pipelines.checks import check_batch_size, check_vocabulary, longest_input, missing_weights, warn_of_cut
from bertnp.tokenization import BertTokenizer

MODULES = "modules.json"  # what a folder of sentence-transformers has beside the files of a BERT
FILES = (MODULES, "config_sentence_transformers.json", "sentence_bert_config.json", "*/config.json")


def cls_pooling(h, packing):
    """v = h₀, the vector of [CLS]

    h: (T, H) rows of tokens  ->  v: (B, H), as for all poolings
    """
    return h[as_array(packing.starts, like=h)]


def max_pooling(h, packing):
    """v_j = max over the n tokens of h_tj"""
    xp, tokens = array_module(h), packing.to_core(h)  # (B, K, H)
    return xp.where(as_array(packing.in_front, like=h)[..., None], tokens, -math.inf).max(axis=1)


def mean_pooling(h, packing):
    """v = (Σ h_t) / n over the n tokens, [CLS] and [SEP] among them                    Reimers & Gurevych 2019"""
    return packing.to_core(h).sum(axis=1) / as_array(packing.lengths, like=h, dtype=h.dtype)[:, None]


def mean_sqrt_length_pooling(h, packing):
    """v = (Σ h_t) / √n over the n tokens: longer texts have longer vectors"""
    return packing.to_core(h).sum(axis=1) / as_array(np.sqrt(packing.lengths), like=h, dtype=h.dtype)[:, None]


POOLINGS = {  # by the names of sentence-transformers
    "cls": cls_pooling,
    "max": max_pooling,
    "mean": mean_pooling,
    "mean_sqrt_len_tokens": mean_sqrt_length_pooling,
}
OLD_NAMES = {  # how older files of sentence-transformers name them, in the order in which several are put side by side
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


def normalize_rows(v):
    """y = v / ‖v‖ for each row; a row of zeros stays as it is"""
    length = array_module(v).sqrt((v * v).sum(axis=-1, keepdims=True))
    return v / length.clip(1e-12)


def cosine_similarity(a, b):
    """cos(a_i, b_j) = a_i · b_j / (‖a_i‖ ‖b_j‖)

    a: (n, H)   b: (m, H)  ->  (n, m)
    """
    return normalize_rows(np.asarray(a)) @ normalize_rows(np.asarray(b)).T


class SentenceEncoder:
    """Turns texts into vectors: those of their tokens, pooled.

        encoder = SentenceEncoder.from_pretrained(folder)
        vectors = encoder.encode(["I love you.", "I adore you.", "It rains."])      # (3, H)
        encoder.similarity(vectors, vectors)                                        # cosines, (3, 3)

    model: BertModel   tokenizer: BertTokenizer   batch_size: texts put through the model together
    pooling: one of POOLINGS, or several, whose vectors are put side by side
    normalize: whether vectors get length 1, so that their products are cosines
    layers: whose vectors of tokens are added up: numbers of layers, 0 for the embeddings and L or -1 for the last layer
    max_length: longer texts are cut to so many tokens; None: what model and tokenizer allow
    prompts: {name: text} to put before texts, see `encode`   default_prompt: the name of the usual one, or None
    """

    def __init__(self, model, tokenizer, pooling="mean", normalize=False, layers=-1, max_length=None, batch_size=32,
                 prompts=None, default_prompt=None):  # fmt: skip
        check_batch_size(batch_size)
        check_vocabulary(model.config, tokenizer)
        self.model, self.tokenizer = model, tokenizer
        self.pooling = checked_poolings(pooling)
        self.normalize = normalize
        self.layers = checked_layers(layers, model.config.num_hidden_layers)
        self.max_length = longest_input(model.config, tokenizer, max_length)
        self.batch_size = batch_size
        self.prompts = prompts or {}
        self.default_prompt = default_prompt

    @classmethod
    def from_pretrained(cls, folder_or_name, *, pooling=None, normalize=None, layers=-1, max_length=None, batch_size=32,
                        **options):  # fmt: skip
        """From the folder of any BERT or of a sentence-transformers model, or a published one's name.

        pooling, normalize, max_length: None takes what a sentence-transformers folder says, and else the mean, not
            normalised, of as many tokens as the model allows
        options: see `BertModel.from_pretrained`

        Raises ValueError where the folder asks for a step that is not known here.
        """
        folder = Path(folder_or_name)
        if not folder.is_dir():
            hub = {name: options[name] for name in ("revision", "cache_dir", "local_files_only") if name in options}
            folder = fetch_pretrained(folder_or_name, list(FILES), **hub)
        recipe = read_recipe(folder) if (folder / MODULES).is_file() else {}
        within = recipe.pop("path", "")
        source = Path(folder_or_name) / within if within else folder_or_name
        casing = {"do_lower_case": True} if recipe.pop("do_lower_case", False) else {}
        tokenizer = BertTokenizer.from_pretrained(source, **casing)
        model = BertModel.from_pretrained(source, add_pooling_layer=False, **options)
        missing = missing_weights(model, "")
        if missing:
            raise ValueError(f"{folder_or_name} does not hold the whole encoder (no {missing[0]} in it)")
        given = {"pooling": pooling, "normalize": normalize, "max_length": max_length}
        recipe |= {name: value for name, value in given.items() if value is not None}
        if max_length is None and "max_length" in recipe:
            recipe["max_length"] = min(recipe["max_length"], longest_input(model.config, tokenizer))
        return cls(model, tokenizer, layers=layers, batch_size=batch_size, **recipe)

    @property
    def size(self):
        """How many numbers a vector has."""
        return self.model.config.hidden_size * len(self.pooling)

    def __call__(self, texts, prompt=None, progress=False):
        """The same as `encode`."""
        return self.encode(texts, prompt, progress)

    def encode(self, texts, prompt=None, progress=False):
        """The vectors of texts, (n, size), in their order, on the host; of one text its vector, (size,).

        What is longer than max_length is cut, with a warning.

        prompt: what to put before each text; None: the default prompt, if the model has one; "": nothing
        progress: show how far it is, if it takes longer than two seconds
        """
        if isinstance(texts, str):
            return self.encode([texts], prompt)[0]
        examples = self.tokenize(texts, prompt)
        warn_of_cut(examples, self.max_length)
        return self.encode_examples(examples, progress)

    def tokenize(self, texts, prompt=None):
        """The texts as token ids, cut to max_length; prompt as in `encode`."""
        if prompt is None:
            prompt = self.prompts.get(self.default_prompt, "")
        texts = list(texts)
        for number, text in enumerate(texts, 1):
            if not isinstance(text, str):
                raise TypeError(f"text {number}: expected a text, got {type(text).__name__}")
        return encode_texts(self.tokenizer, [prompt + text for text in texts], max_length=self.max_length)

    def encode_examples(self, examples, progress=False):
        """The vectors of texts already turned into ids, (n, size), in their order, on the host."""
        from tqdm import tqdm

        vectors = np.zeros((len(examples), self.size), self.model.host_dtype)
        bar = tqdm(total=len(examples), unit=" texts", desc="embedding", delay=2, leave=False,
                   disable=None if progress else True)  # fmt: skip

        def put(rows):
            vectors[rows] = to_numpy(self.pool(examples.batch(rows)))
            bar.update(len(rows))

        with bar:
            for_each_batch(self.model, examples.lengths, self.batch_size, put)
        return vectors

    def pool(self, batch):
        """The vectors of one batch: (B, size) on the model's device."""
        inputs = batch["input_ids"], batch["attention_mask"], batch["token_type_ids"], None, None
        last_alone = self.layers == [self.model.config.num_hidden_layers]
        only_first = False if self.pooling == ["cls"] else None  # then nothing reads the other positions
        h, _, packing, extras = self.model.encode(inputs, not last_alone, False, read=only_first)  # (T, H)
        if not last_alone:
            states = [packing.unpad(extras["hidden_states"][layer]) for layer in self.layers]
            h = sum(states[1:], start=states[0])
        pooled = [POOLINGS[name](h, packing) for name in self.pooling]
        v = pooled[0] if len(pooled) == 1 else array_module(h).concatenate(pooled, axis=-1)
        return normalize_rows(v) if self.normalize else v

    def similarity(self, a, b):
        """The cosines of vectors: (n, H) and (m, H)  ->  (n, m)"""
        return cosine_similarity(a, b)

    def rank(self, query, texts, top_k=None, query_prompt=None, prompt=None, progress=False):
        """The texts most like a query: [{"index": its place, "text", "score": the cosine}], the most alike first.

        query_prompt: of the query; None: the model's prompt "query", if it has one, else as prompt
        prompt: of the texts, as in `encode`; None: the model's prompt "document", "passage" or "corpus" first
        """
        query_prompt, prompt = self.ranking_prompts(query_prompt, prompt)
        if top_k is not None and top_k < 1:
            raise ValueError(f"top_k: expected at least 1, got {top_k}")
        texts = list(texts)
        scores = cosine_similarity(self.encode([query], query_prompt), self.encode(texts, prompt, progress))[0]
        order = np.argsort(-scores, kind="stable")[:top_k]
        return [{"index": int(row), "text": texts[row], "score": float(scores[row])} for row in order]

    def ranking_prompts(self, query_prompt=None, prompt=None):
        """The prompts of a query and of texts as `rank` has them."""
        if query_prompt is None:
            query_prompt = self.prompts.get("query")
        if prompt is None:
            prompt = next((self.prompts[n] for n in ("document", "passage", "corpus") if n in self.prompts), None)
        return query_prompt, prompt


def checked_poolings(pooling):
    """A list of names of poolings; ValueError for one that is not known."""
    names = [pooling] if isinstance(pooling, str) else list(pooling)
    unknown = [name for name in names if name not in POOLINGS]
    if unknown or not names:
        found = repr(unknown[0]) if unknown else "none"
        raise ValueError(f"pooling: expected {', '.join(POOLINGS)}, or several of them, got {found}")
    return names


def checked_layers(layers, last):
    """A list of numbers of layers, 0..last; ValueError for one that the model does not have."""
    numbers = list(layers) if isinstance(layers, (list, tuple)) else [layers]
    found = []
    for number in map(operator.index, numbers):
        if not -last - 1 <= number <= last:
            raise ValueError(f"layers: {number} is none of the model's, which are 0 (embeddings) to {last} (or -1)")
        found.append(number % (last + 1))
    if not found:
        raise ValueError("layers: expected at least one")
    return found


def read_recipe(folder):
    """What a folder of sentence-transformers says, as arguments of `SentenceEncoder`; "path": where its BERT is.

    Raises ValueError, naming the file, where it can't be read or asks for something that is not known here.
    """
    file = folder / MODULES
    modules = read_json(file, list)
    kinds = [str(module.get("type")).rpartition(".")[2] for module in modules]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        found = ", ".join(kinds) or "none"
        raise ValueError(f"{file}: expected the steps Transformer, Pooling and perhaps Normalize, got {found}")
    recipe = {"path": modules[0].get("path", ""), "normalize": kinds[-1] == "Normalize"}
    recipe["pooling"], include_prompt = read_pooling(folder / modules[1]["path"] / "config.json")
    settings = folder / recipe["path"] / "sentence_bert_config.json"
    if settings.is_file():
        settings = read_json(settings, dict)
        recipe["do_lower_case"] = settings.get("do_lower_case", False)
        if settings.get("max_seq_length") is not None:
            recipe["max_length"] = settings["max_seq_length"]
    about = folder / "config_sentence_transformers.json"
    if about.is_file():
        about = read_json(about, dict)
        recipe["prompts"] = {name: text for name, text in (about.get("prompts") or {}).items() if text}
        recipe["default_prompt"] = about.get("default_prompt_name")
        if recipe["prompts"] and not include_prompt:
            raise ValueError(f"{about}: prompts are left out of the pooling (include_prompt), which is not known here")
    return recipe


def read_pooling(file):
    """The names of the poolings in a Pooling module's config.json, and whether prompts are pooled with the rest."""
    config = read_json(file, dict)
    if "pooling_mode" in config:
        names = config["pooling_mode"]
    else:
        names = [name for old, name in OLD_NAMES.items() if config.get(old)] or ["mean"]
    try:
        return checked_poolings(names), config.get("include_prompt", True)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def read_json(file, kind):
    """What a JSON file holds; ValueError where that is not a `kind` (list or dict)."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file}: not JSON ({error})") from None
    if not isinstance(found, kind):
        raise ValueError(f"{file}: expected a {kind.__name__}, got {type(found).__name__}")
    return found
