"""The Transformer of Vaswani et al. 2017: an encoder that reads, a decoder that writes, forwards and backwards.

It is made of BERT's parts and bears their names. What it has besides: positions told by sines, a causal mask,
cross-attention, and LayerNorm in either of its two places.

    post-norm, as published    y = LayerNorm(x + drop(f(x)))
    pre-norm                   y = x + drop(f(LayerNorm(x)))

Post-norm renormalises the residual stream after every sum, so a gradient on its way down passes through every one of
the 2L or 3L LayerNorms; deep stacks need a warm-up to survive their first steps. Pre-norm leaves a way straight
through, on which gradients arrive undiminished, and needs one more LayerNorm at the end, because nothing else has
normalised the sum (Xiong et al. 2020).
"""

import numpy as np

import bertnp.functional as F
from bertnp.models.bert import BertIntermediate, BertResidualOutput, host_array, key_mask, whole_numbers
from bertnp.models.decoding import beam_search, greedy_search
from bertnp.models.output import ModelOutput, WhenRead
from bertnp.models.pretrained import PreTrainedModel
from bertnp.models.transformer_configuration import TransformerConfig
from bertnp.nn import (
    CrossAttention,
    CrossEntropyLoss,
    Dropout,
    Embedding,
    LayerNorm,
    Linear,
    Module,
    Packing,
    Parameter,
    SelfAttention,
    is_inference,
)

IGNORED = -100


class TransformerEmbeddings(Module):
    """x = drop(√H E[id] + P[position])                                  Vaswani et al. 2017, sections 3.4 and 3.5

    ids, positions: (T,)  ->  x: (T, H)
    """

    def __init__(self, config, vocab_size):
        self.word_embeddings = Embedding(vocab_size, config.hidden_size)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, ids, positions, packing):
        x = F.positional_encoding(self.word_embeddings(ids), positions)
        return self.dropout(x, packing.draw_tokens(x.shape[-1]))

    def backward(self, dx):
        """Returns the gradient of the words' vectors, (T, H)."""
        dwords = F.positional_encoding_backward(self.dropout.backward(dx))
        self.word_embeddings.backward(dwords)
        return dwords


class ResidualOutput(BertResidualOutput):
    """How a sub-layer ends: post-norm y = LayerNorm(r + drop(x Wᵀ + b)), pre-norm y = r + drop(x Wᵀ + b).

    `before` is how it begins: with pre-norm LayerNorm(r), otherwise r itself.

    x: (T, n)   residual r: (T, H)  ->  y: (T, H)
    """

    def __init__(self, in_features, config):
        super().__init__(in_features, config)
        self.norm_first = config.norm_first

    def before(self, residual):
        return self.LayerNorm(residual) if self.norm_first else residual

    def before_backward(self, dy):
        return self.LayerNorm.backward(dy) if self.norm_first else dy

    def add(self, branch, residual, packing):
        if not self.norm_first:
            return super().add(branch, residual, packing)
        keep = self.dropout.keep_mask(packing.draw_tokens(residual.shape[-1]))
        self.save(keep)
        return residual + F.dropout(branch + self.dense.bias.data, keep, self.dropout.p)

    def add_backward(self, dy):
        if not self.norm_first:
            return super().add_backward(dy)
        (keep,) = self.saved()
        dbranch = F.dropout_backward(dy, keep, self.dropout.p)
        self.dense.bias.add_grad(dbranch.sum(axis=0))
        return dbranch, dy


class TransformerAttention(Module):
    """The sub-layer f(x) = heads(x) W_Oᵀ + b_O with its residual connection: tokens read their own sequence

    x: (T, H)  ->  y: (T, H)   the attention probabilities, where asked for
    """

    def __init__(self, config):
        self.self = SelfAttention(
            config.hidden_size, config.num_attention_heads, config.attention_probs_dropout_prob
        )
        self.output = ResidualOutput(config.hidden_size, config)

    def forward(self, x, packing, output_attentions=False):
        context, attentions = self.self(self.output.before(x), packing, output_attentions)
        return self.output(context, x, packing), attentions

    def backward(self, dy):
        dcontext, dresidual = self.output.backward(dy)
        dx = self.output.before_backward(self.self.backward(dcontext))
        dx += dresidual
        return dx

    def step(self, x, past, packing):
        return self.output(self.self.step(self.output.before(x), past), x, packing)


class TransformerCrossAttention(Module):
    """The sub-layer f(x) = heads(x, memory) W_Oᵀ + b_O with its residual connection: tokens read another sequence

    x: (R, H)   memory: (T, H)  ->  y: (R, H)   the attention probabilities, where asked for
    """

    def __init__(self, config):
        self.self = CrossAttention(
            config.hidden_size, config.num_attention_heads, config.attention_probs_dropout_prob
        )
        self.output = ResidualOutput(config.hidden_size, config)

    def forward(self, x, memory, packing, of_memory, output_attentions=False):
        context, attentions = self.self(self.output.before(x), memory, packing, of_memory, output_attentions)
        return self.output(context, x, packing), attentions

    def backward(self, dy):
        """Returns dx and dmemory."""
        dcontext, dresidual = self.output.backward(dy)
        dx, dmemory = self.self.backward(dcontext)
        dx = self.output.before_backward(dx)
        dx += dresidual
        return dx, dmemory

    def step(self, x, memory, mask, packing):
        return self.output(self.self.step(self.output.before(x), memory, mask), x, packing)


class TransformerEncoderLayer(Module):
    """Self-attention, then f(h W₁ᵀ + b₁) W₂ᵀ + b₂, each with its residual connection and LayerNorm.

    x: (T, H)  ->  y: (T, H)   the attention probabilities, where asked for
    """

    def __init__(self, config):
        self.attention = TransformerAttention(config)
        self.intermediate = BertIntermediate(config)
        self.output = ResidualOutput(config.intermediate_size, config)

    def forward(self, x, packing, output_attentions=False):
        h, attentions = self.attention(x, packing, output_attentions)
        return self.feed_forward(h, packing), attentions

    def backward(self, dy):
        return self.attention.backward(self.feed_forward_backward(dy))

    def feed_forward(self, h, packing):
        return self.output(self.intermediate(self.output.before(h)), h, packing)

    def feed_forward_backward(self, dy):
        dbranch, dresidual = self.output.backward(dy)
        dh = self.output.before_backward(self.intermediate.backward(dbranch))
        dh += dresidual
        return dh


class TransformerDecoderLayer(TransformerEncoderLayer):
    """Causal self-attention, cross-attention to the memory, then the feed-forward layer.

    x: (R, H)   memory: (T, H)  ->  y: (R, H)   both attentions' probabilities, where asked for
    """

    def __init__(self, config):
        super().__init__(config)
        self.crossattention = TransformerCrossAttention(config)

    def forward(self, x, memory, packing, of_memory, output_attentions=False):
        h, attentions = self.attention(x, packing, output_attentions)
        h, cross_attentions = self.crossattention(h, memory, packing, of_memory, output_attentions)
        return self.feed_forward(h, packing), attentions, cross_attentions

    def backward(self, dy):
        """Returns dx and dmemory."""
        dh, dmemory = self.crossattention.backward(self.feed_forward_backward(dy))
        return self.attention.backward(dh), dmemory

    def step(self, x, past, memory, mask, packing):
        """One more token of each sequence, by the keys and values that are kept; see `DecoderCache`."""
        h = self.attention.step(x, past, packing)
        return self.feed_forward(self.crossattention.step(h, memory, mask, packing), packing)


class TransformerEncoder(Module):
    """Embeddings and L layers and, with pre-norm, a last LayerNorm: what the decoder reads, the memory.

    ids: (T,)  ->  memory: (T, H)
    """

    def __init__(self, config):
        self.embeddings = TransformerEmbeddings(config, config.vocab_size)
        self.layer = [TransformerEncoderLayer(config) for _ in range(config.num_hidden_layers)]
        self.LayerNorm = LayerNorm(config.hidden_size, config.layer_norm_eps) if config.norm_first else None

    def forward(self, ids, packing, output_attentions=False, states=None):
        """states: a list to append what each layer reads to; returns the memory and all layers' probabilities"""
        x, attentions = self.embeddings(ids, packing.rows % packing.S, packing), []
        for layer in self.layer:
            keep_state(states, packing, x)
            x, probabilities = layer(x, packing, output_attentions)
            attentions.append(probabilities)
        if self.LayerNorm is not None:
            x = self.LayerNorm(x)
        keep_state(states, packing, x)
        return x, attentions

    def backward(self, dmemory):
        dx = dmemory if self.LayerNorm is None else self.LayerNorm.backward(dmemory)
        for layer in reversed(self.layer):
            dx = layer.backward(dx)
        return self.embeddings.backward(dx)


class TransformerDecoder(Module):
    """Embeddings and L layers that read what stands before and the memory and, with pre-norm, a last LayerNorm.

    ids: (R,)   memory: (T, H)  ->  h: (R, H)
    """

    def __init__(self, config):
        self.embeddings = TransformerEmbeddings(config, config.words_out)
        layers = config.num_decoder_layers or config.num_hidden_layers
        self.layer = [TransformerDecoderLayer(config) for _ in range(layers)]
        self.LayerNorm = LayerNorm(config.hidden_size, config.layer_norm_eps) if config.norm_first else None

    def forward(self, ids, memory, packing, of_memory, output_attentions=False, states=None):
        x, attentions, cross_attentions = self.embeddings(ids, packing.rows % packing.S, packing), [], []
        for layer in self.layer:
            keep_state(states, packing, x)
            x, own, cross = layer(x, memory, packing, of_memory, output_attentions)
            attentions.append(own)
            cross_attentions.append(cross)
        if self.LayerNorm is not None:
            x = self.LayerNorm(x)
        keep_state(states, packing, x)
        return x, attentions, cross_attentions

    def backward(self, dh):
        """Returns the gradient of the words' vectors (R, H), and that of the memory: every layer has read it."""
        dx, dmemory = dh if self.LayerNorm is None else self.LayerNorm.backward(dh), None
        for layer in reversed(self.layer):
            dx, more = layer.backward(dx)
            dmemory = more if dmemory is None else dmemory + more
        return self.embeddings.backward(dx), dmemory

    def step(self, ids, cache):
        """h of one more token of each sequence, which the cache takes in: (N,) -> (N, H). For inference."""
        packing = Packing(np.ones((len(ids), 1), bool))
        x = self.embeddings(ids, np.full(len(ids), cache.read), packing)
        for layer, past, memory in zip(self.layer, cache.own, cache.memory, strict=True):
            x = layer.step(x, past, memory, cache.mask, packing)
        cache.read += 1
        return x if self.LayerNorm is None else self.LayerNorm(x)


def keep_state(states, packing, x):
    if states is not None:
        states.append(packing.pad(x))


class OutputEmbeddings(Module):
    """logits = h Eᵀ: a score for every word, without a bias; E is the target's table of words, used a second time

    h: (N, H)  ->  logits: (N, V)

    Chapter 18, equation 18.4.
    """

    def __init__(self, config, word_embeddings):
        self.weight = Parameter((config.words_out, config.hidden_size), "normal")
        if config.tie_word_embeddings:
            self.weight = word_embeddings.weight

    def forward(self, h):
        self.save(h)
        return F.product(h, self.weight.data)

    def backward(self, dlogits):
        (h,) = self.saved()
        dh, dweight = F.product_backward(dlogits, h, self.weight.data, self.weight.grad_space())
        self.weight.add_grad(dweight)
        return dh


class Transformer(PreTrainedModel):
    """Encoder and decoder: reads one sequence and writes another.

        model = Transformer(TransformerConfig(vocab_size=4000))
        out = model(input_ids, attention_mask, labels=labels)      # out.loss, out.logits
        model.backward()                                           # adds to every parameter's gradient
        found = model.generate(input_ids, attention_mask, num_beams=4)

    config: TransformerConfig   seed, dtype, device, init: as for every `PreTrainedModel`
    """

    config_class = TransformerConfig
    base_model_prefix = "transformer"
    forwards = 0

    def build(self, config):
        self.encoder = TransformerEncoder(config)
        self.decoder = TransformerDecoder(config)
        words = self.decoder.embeddings.word_embeddings
        if config.target_vocab_size is None:
            words.weight = self.encoder.embeddings.word_embeddings.weight
        self.output_embeddings = OutputEmbeddings(config, words)
        self.criterion = CrossEntropyLoss(label_smoothing=config.label_smoothing)
        for _, module in self.named_modules():
            if isinstance(module, Linear):
                module.weight.init = "glorot"

    def forward(
        self,
        input_ids,
        attention_mask=None,
        decoder_input_ids=None,
        decoder_attention_mask=None,
        labels=None,
        output_attentions=False,
        output_hidden_states=False,
    ):
        """Read the source, and score what might come next at each position of the target.

        input_ids: (B, S) of the source   attention_mask: (B, S), 1 for tokens, 0 for padding
        labels: (B, U) the target and its end token, -100 behind it
        decoder_input_ids: (B, U) what the decoder reads; None: the begin token, then the labels but the last
        decoder_attention_mask: (B, U), 0 for padding; None: as the labels say, if these are what it reads

        out.loss: the smoothed cross-entropy, a mean over the labelled positions   out.logits: (B, U, V)
        out.encoder_last_hidden_state: (B, S, H)   out.encoder_attentions: L of (B, A, S, S)
        out.decoder_attentions: L of (B, A, U, U)   out.cross_attentions: L of (B, A, U, S)
        out.encoder_hidden_states, out.decoder_hidden_states: L+1 of (B, S, H) and (B, U, H)
        """
        config = self.config
        if labels is not None:
            labels = target_labels(labels, config.words_out)
        if decoder_input_ids is None:
            if labels is None:
                raise ValueError("give decoder_input_ids, or labels to make them from")
            if decoder_attention_mask is None:
                decoder_attention_mask = labels != IGNORED
            decoder_input_ids = shifted(labels, config.bos_token_id, config.pad_token_id)
        source_ids, source = self.pack("input_ids", input_ids, attention_mask, config.vocab_size)
        target_ids, target = self.pack(
            "decoder_input_ids", decoder_input_ids, decoder_attention_mask, config.words_out, causal=True
        )
        if target.B != source.B:
            raise ValueError(f"there are {source.B} sources, but {target.B} targets")
        encoder_states, decoder_states = ([], []) if output_hidden_states else (None, None)
        memory, encoder_attentions = self.encoder(source_ids, source, output_attentions, encoder_states)
        h, own, cross = self.decoder(target_ids, memory, target, source, output_attentions, decoder_states)
        loss = rows = None
        if labels is not None:
            loss, rows = self.loss(h, target, labels)
        if self.training and not is_inference() and not self.dropout_streams.hold:
            self.dropout_streams.step += 1
        self.save(h, source, target, rows)
        return ModelOutput(
            loss=loss,
            logits=self.all_logits(h, target),
            encoder_last_hidden_state=source.pad(memory),
            encoder_hidden_states=encoder_states and tuple(encoder_states),
            decoder_hidden_states=decoder_states and tuple(decoder_states),
            **(self.attentions(encoder_attentions, own, cross, source, target) if output_attentions else {}),
        )

    def attentions(self, encoder_attentions, own, cross, source, target):
        """All probabilities, padded, by name."""
        return {
            "encoder_attentions": tuple(source.pad_attention(p) for p in encoder_attentions),
            "decoder_attentions": tuple(target.pad_attention(p) for p in own),
            "cross_attentions": tuple(target.pad_attention(p, source) for p in cross),
        }

    def pack(self, name, ids, mask, vocab_size, causal=False):
        """The ids of the kept tokens (T,), and their packing. Each sequence keeps its first token, even as padding."""
        ids = whole_numbers(name, ids, 2, vocab_size, "vocab_size")
        B, S = ids.shape
        if B == 0 or S == 0:
            raise ValueError(f"{name}: the batch is empty: {B} sequences of {S} tokens")
        mask = key_mask(mask, B, S, name.replace("input_ids", "attention_mask"), by_query=False)
        keep = np.ones((B, S), bool)
        if mask is not None:
            keep = mask.copy()
            keep[:, 0] = True
        streams = self.dropout_streams
        packing = Packing(keep, mask, streams, streams.first_example, causal)
        return ids.reshape(-1)[packing.rows], packing

    def loss(self, h, target, labels):
        """The loss of the labelled rows of h, and which rows those are."""
        if labels.shape != (target.B, target.S):
            raise ValueError(f"labels: expected shape {(target.B, target.S)}, got {labels.shape}")
        labels = labels.reshape(-1)[target.rows]  # (R,)
        rows = np.flatnonzero(labels != IGNORED)  # (N,)
        return self.criterion(self.output_embeddings(F.gather_rows(h, rows)), labels[rows]), rows

    def all_logits(self, h, target):
        """The logits of every position, (B, U, V), when they are read."""
        self.forwards += 1
        weight, free, made_in = self.output_embeddings.weight, is_inference(), (self.forwards, self.buffer.version)

        def compute():
            if not free and made_in != (self.forwards, self.buffer.version):
                raise RuntimeError("these logits were not read before the weights changed or another forward ran")
            return target.pad(F.product(h, weight.data))

        return WhenRead(compute)

    def backward(self, scale=1.0, dlogits=None):
        """Add to every gradient, from the loss times scale, or from dlogits (B, U, V) times scale.

        Returns the gradients of the words' vectors on both sides, (B, S, H) and (B, U, H).
        """
        h, source, target, rows = self.saved()
        if dlogits is not None:
            self.output_embeddings(h)
            dh = self.output_embeddings.backward(target.unpad(dlogits) * scale)
        elif rows is None:
            raise self.no_loss()
        else:
            dh = self.output_embeddings.backward(self.criterion.backward(scale))
            dh = F.gather_rows_backward(dh, rows, target.T)
        dtarget, dmemory = self.decoder.backward(dh)
        return source.pad(self.encoder.backward(dmemory)), target.pad(dtarget)


    def generate(self, input_ids, attention_mask=None, num_beams=1, length_penalty=0.6, max_length=None):
        """Write a target for each source: the best `Hypothesis` found, with its token_ids, log_probability and score.

        input_ids, attention_mask: (B, S)   num_beams: 1: greedy; more: beam search, the paper has 4
        length_penalty: α of the score   max_length: tokens at most, with the end token; None: the source's and 50
        """
        for name, value in (("num_beams", num_beams), ("max_length", max_length)):
            if not isinstance(value, (int, np.integer)) or value < 1:
                if name == "max_length" and value is None:
                    continue
                raise ValueError(f"{name}: expected a whole number of at least 1, got {value!r}")
        if num_beams == 1:
            return greedy_search(self, input_ids, attention_mask, length_penalty, max_length)
        beams = beam_search(self, input_ids, attention_mask, num_beams, length_penalty, max_length)
        return [best for best, *_ in beams]


def target_labels(labels, vocab_size):
    """Host integers (B, U), each a word or, behind the last one, -100."""
    labels = host_array("labels", labels)
    if labels.ndim != 2:
        raise ValueError(f"labels: expected 2 dimensions, got shape {labels.shape}")
    if labels.dtype.kind not in "iu":
        raise TypeError(f"labels: expected integers, got {labels.dtype}")
    wrong = labels[(labels != IGNORED) & ((labels < 0) | (labels >= vocab_size))]
    if wrong.size:
        raise ValueError(f"labels: {wrong[0]} is neither a word in 0..{vocab_size - 1} nor -100 (no label)")
    return labels


def shifted(labels, bos_token_id, pad_token_id):
    """What a decoder reads that shall write these labels: the begin token, then the label before each position."""
    known = labels != IGNORED
    if (known[:, 1:] & ~known[:, :-1]).any():
        raise ValueError("labels: there is a gap of -100 in a target; give decoder_input_ids, too")
    ids = np.where(known, labels, pad_token_id)
    return np.concatenate([np.full_like(ids[:, :1], bos_token_id), ids[:, :-1]], axis=1)
