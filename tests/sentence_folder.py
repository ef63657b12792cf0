"""A folder as sentence-transformers writes them, around a tiny BERT."""

import json

from tiny_model import tiny_config, tiny_tokenizer

from bertnp import BertModel

TEXTS = ["the film was lovely", "it is a day and i hate you", "", "very", "awful, poor, dull and sour!"]


def save_encoder(folder, seed=3, **changes):
    """The files of a tiny BERT of three layers."""
    BertModel(tiny_config(num_hidden_layers=3, initializer_range=0.4, **changes), seed=seed).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def save_sentence_model(folder, pooling=None, normalize=True, max_length=8, within="", prompts=None, default=None):
    """The files of a sentence-transformers model.

    pooling: the contents of 1_Pooling/config.json   within: the folder of its BERT   prompts, default: as it names them
    """
    (folder / within).mkdir(parents=True, exist_ok=True)
    (folder / "1_Pooling").mkdir()
    save_encoder(folder / within)
    kinds = ["Transformer", "Pooling", *(["Normalize"] if normalize else [])]
    paths = [within, "1_Pooling", "2_Normalize"]
    modules = [
        {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for place, (path, kind) in enumerate(zip(paths, kinds, strict=False))
    ]
    pooling = {"pooling_mode_mean_tokens": True} if pooling is None else pooling
    contents = {
        "modules.json": modules,
        "1_Pooling/config.json": {"word_embedding_dimension": 16, **pooling},
        f"{within or '.'}/sentence_bert_config.json": {"max_seq_length": max_length, "do_lower_case": False},
        "config_sentence_transformers.json": {"prompts": prompts or {}, "default_prompt_name": default},
    }
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return folder
