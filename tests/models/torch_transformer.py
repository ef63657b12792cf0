"""The same Transformer from PyTorch's own layers, filled with a bertnp model's weights: something to compare with."""

import math

import torch
from torch import nn

OURS = {  # what PyTorch calls the parts of a layer -> what they are called here
    "self_attn.out_proj": "attention.output.dense",
    "multihead_attn.out_proj": "crossattention.output.dense",
    "linear1": "intermediate.dense",
    "linear2": "output.dense",
}
NORMS = {  # the LayerNorms of an encoder layer and of a decoder layer, in PyTorch's order
    2: ("attention.output", "output"),
    3: ("attention.output", "crossattention.output", "output"),
}
HEADS = {"self_attn": "attention.self", "multihead_attn": "crossattention.self"}


def own_name(name):
    """What one of PyTorch's parameters is called here, or the three names of one that holds query, key and value."""
    side, _, number, rest = name.split(".", 3)
    prefix = f"{side}.layer.{number}"
    part, _, kind = rest.rpartition(".")
    for attention, ours in HEADS.items():
        if part == attention:  # in_proj_weight, in_proj_bias
            return [f"{prefix}.{ours}.{which}.{kind.removeprefix('in_proj_')}" for which in ("query", "key", "value")]
    if part.startswith("norm"):
        return [f"{prefix}.{NORMS[2 if side == 'encoder' else 3][int(part[4:]) - 1]}.LayerNorm.{kind}"]
    return [f"{prefix}.{OURS[part]}.{kind}"]


class TorchTransformer(nn.Module):
    """Stacks of nn.TransformerEncoderLayer and nn.TransformerDecoderLayer between embeddings and a tied projection."""

    def __init__(self, model):
        """model: a bertnp.Transformer, whose configuration and weights are taken"""
        super().__init__()
        config = self.config = model.config
        p = config.hidden_dropout_prob
        options = {
            "dim_feedforward": config.intermediate_size, "activation": config.hidden_act, "batch_first": True,
            "layer_norm_eps": config.layer_norm_eps, "norm_first": config.norm_first, "dropout": p,
        }  # fmt: skip
        sizes = config.hidden_size, config.num_attention_heads
        decoder_layers = config.num_decoder_layers or config.num_hidden_layers
        self.encoder = nn.ModuleDict({"layers": nn.ModuleList(
            nn.TransformerEncoderLayer(*sizes, **options) for _ in range(config.num_hidden_layers))})  # fmt: skip
        self.decoder = nn.ModuleDict({"layers": nn.ModuleList(
            nn.TransformerDecoderLayer(*sizes, **options) for _ in range(decoder_layers))})  # fmt: skip
        for module in self.modules():  # PyTorch also drops probabilities and what the activation gives
            if isinstance(module, nn.MultiheadAttention):
                module.dropout = config.attention_probs_dropout_prob
            elif isinstance(module, (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)):
                module.dropout.p = 0.0
        self.embedding_dropout = nn.ModuleDict({side: nn.Dropout(p) for side in ("encoder", "decoder")})
        self.tables = nn.ModuleDict({"source": nn.Embedding(config.vocab_size, config.hidden_size)})
        if config.target_vocab_size is not None:
            self.tables["target"] = nn.Embedding(config.target_vocab_size, config.hidden_size)
        if not config.tie_word_embeddings:
            self.tables["output"] = nn.Embedding(config.words_out, config.hidden_size)
        if config.norm_first:
            self.norms = nn.ModuleDict({
                side: nn.LayerNorm(config.hidden_size, config.layer_norm_eps) for side in ("encoder", "decoder")
            })  # fmt: skip
        self.to(torch.float64 if model.dtype == "float64" else torch.float32)
        values = {name: parameter.data for name, parameter in model.named_parameters()}
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                parts = [torch.from_numpy(values[own].copy()) for own in self.own_names(name)]
                parameter.copy_(torch.cat(parts))

    def own_names(self, name):
        """What one of these parameters is called in the bertnp model, in one or three parts."""
        tables = {
            "tables.source.weight": "encoder.embeddings.word_embeddings.weight",
            "tables.target.weight": "decoder.embeddings.word_embeddings.weight",
            "tables.output.weight": "output_embeddings.weight",
        }
        if name in tables:
            return [tables[name]]
        if name.startswith("norms."):
            _, side, kind = name.split(".")
            return [f"{side}.LayerNorm.{kind}"]
        return own_name(name)

    def own_gradients(self):
        """The gradients under the bertnp model's names."""
        found = {}
        for name, parameter in self.named_parameters():
            names = self.own_names(name)
            found |= {own: part.numpy() for own, part in zip(names, parameter.grad.chunk(len(names)), strict=True)}
        return found

    def embed(self, ids, table, side):
        H = self.config.hidden_size
        wavelengths = 10000.0 ** (torch.arange(0, H, 2, dtype=torch.float64) / H)
        angles = torch.arange(ids.shape[1])[:, None] / wavelengths
        positions = torch.stack([angles.sin(), angles.cos()], -1).flatten(1)
        return self.embedding_dropout[side](table(ids) * math.sqrt(H) + positions.to(table.weight.dtype))

    def encode(self, ids, mask):
        """ids, mask: (B, S)  ->  memory: (B, S, H)"""
        x = self.embed(ids, self.tables["source"], "encoder")
        for layer in self.encoder["layers"]:
            x = layer(x, src_key_padding_mask=~mask)
        return self.norms["encoder"](x) if self.config.norm_first else x

    def decode(self, memory, mask, ids, own_mask=None):
        """ids, own_mask: (B, U)  ->  logits: (B, U, V)"""
        tables = self.tables
        target = tables["target" if "target" in tables else "source"]
        U = ids.shape[1]
        behind = torch.ones(U, U, dtype=torch.bool).triu(1)
        x = self.embed(ids, target, "decoder")
        for layer in self.decoder["layers"]:
            x = layer(x, memory, tgt_mask=behind, tgt_key_padding_mask=None if own_mask is None else ~own_mask,
                      memory_key_padding_mask=~mask)  # fmt: skip
        if self.config.norm_first:
            x = self.norms["decoder"](x)
        return x @ (tables["output"].weight if "output" in tables else target.weight).T

    def forward(self, ids, mask, decoder_ids, decoder_mask=None):
        return self.decode(self.encode(ids, mask), mask, decoder_ids, decoder_mask)
