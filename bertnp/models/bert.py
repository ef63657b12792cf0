"""BERT: the encoder of Devlin et al. 2019, forwards and backwards.

Modules bear the names of the published checkpoints, so that bert.encoder.layer.0.attention.self.query.weight is
found by walking the attributes. Inside the encoder activations are rows of kept tokens, (T, H): see nn.Packing.
"""

import numpy as np

import bertnp.functional as F
from bertnp.backend import as_array, is_array, to_numpy
from bertnp.models.output import ModelOutput
from bertnp.models.pretrained import PreTrainedModel
from bertnp.nn import (
    Activation,
    Dropout,
    Embedding,
    LayerNorm,
    Linear,
    Module,
    Packing,
    Queries,
    SelfAttention,
    is_inference,
    saving_nothing,
)
from bertnp.nn.module import drops


class BertEmbeddings(Module):
    """x = drop(LayerNorm(W[word] + T[token type] + P[position]))          Devlin et al. 2019, figure 2

    ids, token_types, positions: (T,) of the kept tokens, or embeds (T, H) in place of W[word]  ->  x: (T, H)

    Chapter 04, equation 4.3.
    """

    def __init__(self, config):
        H = config.hidden_size
        self.word_embeddings = Embedding(config.vocab_size, H, config.pad_token_id)
        self.position_embeddings = Embedding(config.max_position_embeddings, H)
        self.token_type_embeddings = Embedding(config.type_vocab_size, H)
        self.LayerNorm = LayerNorm(H, config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, ids, embeds, token_types, positions, packing):
        words = self.word_embeddings(ids) if embeds is None else embeds
        total = self.token_type_embeddings(token_types)  # (T, H)
        total += self.position_embeddings(positions)
        total += words
        self.save(embeds is None)
        return self.dropout(self.LayerNorm(total), packing.draw_tokens(total.shape[-1]))

    def backward(self, dx):
        """Returns the gradient of the word embeddings' rows, (T, H); a sum hands its gradient to every summand."""
        (looked_up,) = self.saved()
        dtotal = self.LayerNorm.backward(self.dropout.backward(dx))
        self.position_embeddings.backward(dtotal)
        self.token_type_embeddings.backward(dtotal)
        if looked_up:
            self.word_embeddings.backward(dtotal)
        return dtotal


class BertResidualOutput(Module):
    """y = LayerNorm(residual + drop(x Wᵀ + b)): how both halves of a layer end (post-norm)

    x: (T, n)   residual: (T, H)  ->  y: (T, H)
    """

    def __init__(self, in_features, config):
        self.dense = Linear(in_features, config.hidden_size)
        self.LayerNorm = LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, x, residual, packing):
        self.dense.save(x)
        return self.add(F.product(x, self.dense.weight.data), residual, packing)

    def add(self, branch, residual, packing):
        """LayerNorm(residual + drop(branch + b))"""
        keep = self.dropout.keep_mask(packing.draw_tokens(residual.shape[-1]))
        norm, p = self.LayerNorm, self.dropout.p
        y, x_hat, inv_std = F.residual_norm(
            branch, self.dense.bias.data, residual, norm.weight.data, norm.bias.data, keep, p, norm.eps
        )
        self.save(x_hat, inv_std, keep)
        return y

    def backward(self, dy):
        """Returns dx and dresidual: the sum's gradient goes both ways."""
        dbranch, dresidual = self.add_backward(dy)
        (x,) = self.dense.saved()
        weight = self.dense.weight
        dx, dweight = F.product_backward(dbranch, x, weight.data, weight.grad_space())
        weight.add_grad(dweight)
        return dx, dresidual

    def add_backward(self, dy):
        """Returns dbranch and dresidual."""
        x_hat, inv_std, keep = self.saved()
        norm = self.LayerNorm
        dbranch, dbias, dresidual, dnorm_weight, dnorm_bias = F.residual_norm_backward(
            dy, x_hat, inv_std, norm.weight.data, keep, self.dropout.p
        )
        self.dense.bias.add_grad(dbias)
        norm.weight.add_grad(dnorm_weight)
        norm.bias.add_grad(dnorm_bias)
        return dbranch, dresidual


class BertAttention(Module):
    """y = LayerNorm(x + drop(heads(x) W_Oᵀ + b_O)): multi-head attention and what surrounds it

    x: (T, H)  ->  y: (T, H)
    """

    def __init__(self, config):
        p = config.attention_probs_dropout_prob
        self.self = SelfAttention(config.hidden_size, config.num_attention_heads, p)
        self.output = BertResidualOutput(config.hidden_size, config)

    def forward(self, x, packing, output_attentions, queries=None):
        """queries: the rows that ask, as `Queries`, and y has these alone; None: all"""
        context, attentions = self.self(x, packing, output_attentions, queries)
        self.save(queries, len(x))
        if queries is None:
            return self.output(context, x, packing), attentions
        return self.output(context, F.gather_rows(x, queries.rows), queries), attentions

    def backward(self, dy):
        queries, T = self.saved()
        dcontext, dresidual = self.output.backward(dy)
        dx = self.self.backward(dcontext)
        dx += dresidual if queries is None else F.gather_rows_backward(dresidual, queries.rows, T)
        return dx


class BertIntermediate(Module):
    """y = f(x W₁ᵀ + b₁), f the configuration's hidden_act

    x: (T, H)  ->  y: (T, I)
    """

    def __init__(self, config):
        self.dense = Linear(config.hidden_size, config.intermediate_size)
        self.activation = Activation(config.hidden_act)

    def forward(self, x):
        return self.activation(self.dense(x))

    def backward(self, dy):
        return self.dense.backward(self.activation.backward(dy))


class BertLayer(Module):
    """h = LayerNorm(x + drop(attention(x))),   y = LayerNorm(h + drop(f(h W₁ᵀ + b₁) W₂ᵀ + b₂))

    x: (T, H)  ->  y: (T, H)   the attention probabilities, where asked for

    Chapter 11, equations 11.1 and 11.2.
    """

    def __init__(self, config):
        self.attention = BertAttention(config)
        self.intermediate = BertIntermediate(config)
        self.output = BertResidualOutput(config.intermediate_size, config)

    def forward(self, x, packing, output_attentions=False, queries=None):
        """queries: the rows that ask, as `Queries`, and y has these alone; None: all"""
        h, attentions = self.attention(x, packing, output_attentions, queries)
        rows = queries or packing
        if self.intermediate.activation.function != "gelu":
            return self.output(self.intermediate(h), h, rows), attentions
        first, second = self.intermediate.dense, self.output.dense
        branch, u = F.gelu_feed_forward(h, first.weight.data, first.bias.data, second.weight.data)
        self.save(h, u)
        return self.output.add(branch, h, rows), attentions

    def backward(self, dy):
        if self.intermediate.activation.function != "gelu":
            dbranch, dresidual = self.output.backward(dy)
            dh = self.intermediate.backward(dbranch)
        else:
            h, u = self.saved()
            dbranch, dresidual = self.output.add_backward(dy)
            dh = self.feed_forward_backward(dbranch, h, u)
        dh += dresidual
        return self.attention.backward(dh)

    def feed_forward_backward(self, dbranch, h, u):
        first, second = self.intermediate.dense, self.output.dense
        dh, dweight1, dbias1, dweight2 = F.gelu_feed_forward_backward(
            dbranch, h, first.weight.data, second.weight.data, u,
            out=(first.weight.grad_space(), second.weight.grad_space()),
        )  # fmt: skip
        first.weight.add_grad(dweight1)
        first.bias.add_grad(dbias1)
        second.weight.add_grad(dweight2)
        return dh


class BertEncoder(Module):
    """L layers, one after the other. Chapter 11, equation 11.3."""

    frozen = 0  # how many of the first layers learn nothing: backward stops above them

    def __init__(self, config):
        self.layer = [BertLayer(config) for _ in range(config.num_hidden_layers)]

    def forward(self, x, packing, output_hidden_states=False, output_attentions=False):
        """Where only some rows of the last layer are read (`packing.asked`), it computes these alone, (R, H)."""
        hidden_states, attentions = [x], []
        for layer in self.layer:
            queries = None
            if packing.asked is not None and layer is self.layer[-1]:
                queries = Queries(packing, packing.asked)
                packing.into_last = x, drops(self)
            x, probabilities = layer(x, packing, output_attentions, queries)
            if output_hidden_states:
                hidden_states.append(x)
            attentions.append(probabilities)
        return x, hidden_states, attentions

    def whole_last_layer(self, packing, save=False):
        """All rows of the last layer, (T, H), from what went into it and with its masks; save: for a backward."""
        x, dropping = packing.into_last
        if save:
            packing.asked = None
            return self.layer[-1](x, packing)[0]
        with saving_nothing(dropping):
            return self.layer[-1](x, packing)[0]

    def backward(self, dx):
        for layer in reversed(self.layer[self.frozen :]):
            dx = layer.backward(dx)
        return dx


class BertPooler(Module):
    """pooled = tanh(h₀ Wᵀ + b), h₀ the vector of each sequence's first token, [CLS]

    h: (T, H)  ->  pooled: (B, H)

    Chapter 12, equation 12.5.
    """

    def __init__(self, config):
        self.dense = Linear(config.hidden_size, config.hidden_size)
        self.activation = Activation("tanh")

    def forward(self, h, packing):
        self.save(packing)
        return self.activation(self.dense(F.gather_rows(h, packing.starts)))

    def backward(self, dpooled):
        """Returns dh, (T, H): only the first tokens' rows are not zero."""
        (packing,) = self.saved()
        dfirst = self.dense.backward(self.activation.backward(dpooled))
        return F.gather_rows_backward(dfirst, packing.starts, packing.T)


class BertTrunk(Module):
    """Embeddings, encoder and (unless left out) pooler: what every head stands on.

    Works on rows of kept tokens; `BertModel` is the same with padded results.
    """

    def __init__(self, config, add_pooling_layer=True):
        self.embeddings = BertEmbeddings(config)
        self.encoder = BertEncoder(config)
        self.pooler = BertPooler(config) if add_pooling_layer else None

    frozen = False

    def freeze(self, layers=0):
        """Let the embeddings and the first `layers` layers learn nothing: no backward runs there. None: all learn."""
        if layers is not None and not 0 <= layers <= len(self.encoder.layer):
            raise ValueError(f"layers: expected 0 to {len(self.encoder.layer)} layers to freeze, got {layers!r}")
        self.frozen, self.encoder.frozen = layers is not None, layers or 0

    def encode_rows(self, batch, output_hidden_states, output_attentions, read=None):
        """The last layer's rows h (T, H), the pooled vectors (B, H) or None, and the extra results asked for.

        read: (T,) which rows of h are read; the others are zero then, unless hidden states or attentions are asked for
        """
        packing = batch.packing
        if read is not None and self.encoder.layer and not (read.all() or output_hidden_states or output_attentions):
            packing.asked = np.flatnonzero(read)
        x = self.embeddings(batch.ids, batch.embeds, batch.token_types, batch.positions, packing)
        h, hidden_states, attentions = self.encoder(x, packing, output_hidden_states, output_attentions)
        if packing.asked is not None:
            h = F.scatter_rows(h, packing.asked, packing.T)
        pooled = self.pooler(h, packing) if self.pooler else None
        extras = {
            "hidden_states": tuple(packing.pad(x) for x in hidden_states) if output_hidden_states else None,
            "attentions": tuple(packing.pad_attention(x) for x in attentions) if output_attentions else None,
        }
        return h, pooled, extras

    def encode_rows_backward(self, packing, dh=None, dpooled=None):
        """From the gradients of h (T, H) and of pooled (B, H) to that of the input embeddings, (B, S, H).

        Where the embeddings are frozen, theirs is not computed: None.
        """
        if dpooled is not None:
            dpooling = self.pooler.backward(dpooled)
            dh = dpooling if dh is None else dh + dpooling
        if packing.asked is not None:
            dh = F.gather_rows(dh, packing.asked)
        dx = self.encoder.backward(dh)
        return None if self.frozen else packing.pad(self.embeddings.backward(dx))


class Batch:
    """The inputs of a forward, checked and packed.

    ids, token_types, positions: (T,) host integers of the kept tokens; embeds: (T, H) in place of ids, or None
    """

    def __init__(self, model, input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, also=None):
        """also: (B, S) truth values of positions to keep though they are padding, or True for all."""
        config = model.config
        one_of(input_ids, inputs_embeds)
        if input_ids is not None:
            input_ids = whole_numbers("input_ids", input_ids, 2, config.vocab_size, "vocab_size")
            B, S = input_ids.shape
        else:
            inputs_embeds = floats("inputs_embeds", inputs_embeds, model)
            if inputs_embeds.ndim != 3 or inputs_embeds.shape[-1] != config.hidden_size:
                expected = f"(B, S, {config.hidden_size})"
                raise ValueError(f"inputs_embeds: expected shape {expected}, got {tuple(inputs_embeds.shape)}")
            B, S = inputs_embeds.shape[:2]
        if B == 0 or S == 0:
            raise ValueError(f"the batch is empty: {B} sequences of {S} tokens")
        if position_ids is None:
            if S > config.max_position_embeddings:
                raise ValueError(
                    f"sequences of {S} tokens are longer than the model's {config.max_position_embeddings} positions "
                    "(max_position_embeddings): truncate them"
                )
            position_ids = np.arange(S)
        token_type_ids = np.zeros((1, 1), int) if token_type_ids is None else token_type_ids
        token_type_ids = whole_numbers("token_type_ids", token_type_ids, 2, config.type_vocab_size, "type_vocab_size")
        position_ids = np.atleast_2d(host_array("position_ids", position_ids))
        limit = config.max_position_embeddings
        position_ids = whole_numbers("position_ids", position_ids, 2, limit, "max_position_embeddings")
        mask = key_mask(attention_mask, B, S)
        keep = np.ones((B, S), bool)
        if mask is not None and mask.ndim == 2 and also is not True:
            keep = mask.copy()
            keep[:, 0] = True
            if also is not None:
                keep |= also
        streams = model.dropout_streams
        self.packing = packing = Packing(keep, mask, streams, streams.first_example)
        self.ids = None if input_ids is None else input_ids.reshape(-1)[packing.rows]
        self.embeds = None if inputs_embeds is None else packing.unpad(inputs_embeds)
        self.token_types = broadcast("token_type_ids", token_type_ids, (B, S)).reshape(-1)[packing.rows]
        self.positions = broadcast("position_ids", position_ids, (B, S)).reshape(-1)[packing.rows]


def one_of(input_ids, inputs_embeds):
    """Whichever of the two is given; ValueError unless it is just one."""
    if (input_ids is None) == (inputs_embeds is None):
        raise ValueError("give either input_ids or inputs_embeds")
    return input_ids if inputs_embeds is None else inputs_embeds


def leading_shape(input_ids, inputs_embeds):
    """(B, S) of the inputs"""
    given = one_of(input_ids, inputs_embeds)
    return tuple((given if is_array(given) else host_array("input_ids", given)).shape[:2])


def host_array(name, values):
    """`values` as an array on the host; ValueError for lists of unequal lengths."""
    try:
        return to_numpy(values)
    except ValueError:
        raise ValueError(f"{name}: expected rows of one length, got lists of unequal lengths: pad them") from None


def floats(name, values, model):
    """`values` beside the model's weights, in their float type; TypeError where they are no numbers."""
    values = values if is_array(values) else host_array(name, values)
    if values.dtype.kind not in "fiu":
        raise TypeError(f"{name}: expected numbers, got {values.dtype}")
    return as_array(values, like=model.buffer.data, dtype=model.dtype)


def broadcast(name, array, shape):
    try:
        return np.broadcast_to(array, shape)
    except ValueError:
        raise ValueError(f"{name}: expected shape {shape}, got {array.shape}") from None


def whole_numbers(name, values, ndim, limit, limit_name):
    """The host array of integers in 0..limit-1 that `values` is; ValueError or TypeError naming what it is not."""
    values = host_array(name, values)
    if values.ndim != ndim:
        raise ValueError(f"{name}: expected {ndim} dimensions, got shape {values.shape}")
    if values.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected integers, got {values.dtype}")
    if values.size and not (values.min() >= 0 and values.max() < limit):
        wrong = values[(values < 0) | (values >= limit)][0]
        raise ValueError(f"{name}: {wrong} is outside 0..{limit - 1} ({limit_name} is {limit})")
    return values


def key_mask(attention_mask, B, S, name="attention_mask", by_query=True):
    """The attention mask as truth values, (B, S) or, if `by_query`, (B, S, S); None where there is none."""
    if attention_mask is None:
        return None
    mask = host_array(name, attention_mask)
    shapes = ((B, S), (B, S, S)) if by_query else ((B, S),)
    if mask.shape not in shapes:
        raise ValueError(f"{name}: expected shape {' or '.join(map(str, shapes))}, got {mask.shape}")
    if not ((mask == 0) | (mask == 1)).all():
        raise ValueError(f"{name}: expected 1 for tokens and 0 for padding, got other values")
    return mask.astype(bool)


class BertPreTrainedModel(PreTrainedModel):
    """What all BERT models share: made from a configuration, or loaded by `from_pretrained`.

    model(input_ids, attention_mask=…, token_type_ids=…, labels=…) -> out.loss, out.logits, …
    model.backward() then adds the gradient of that loss to every parameter.

    config: BertConfig   seed, dtype, device, init: as for every `PreTrainedModel`
    """

    @property
    def trunk(self):
        return self.bert

    def encode(self, inputs, output_hidden_states, output_attentions, also=None, read=None):
        """Check and pack the inputs, run the trunk; returns h (T, H), pooled (B, H), packing and the extra results.

        also: (B, S) truth values of positions to keep though they are padding   read: the positions of h that are read
        beside the first of each sequence; None: all
        """
        batch = Batch(self, *inputs, also=also)
        packing = batch.packing
        if read is not None:
            read = np.array(np.broadcast_to(read, (packing.B, packing.S)))
            read[:, 0] = True
            read = read.reshape(-1)[packing.rows]
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        if output_attentions is None:
            output_attentions = self.config.output_attentions
        h, pooled, extras = self.trunk.encode_rows(batch, output_hidden_states, output_attentions, read)
        if self.training and not is_inference() and not self.dropout_streams.hold:
            self.dropout_streams.step += 1
        return h, pooled, packing, extras

    def resize_token_embeddings(self, vocab_size):
        """Give the model room for `vocab_size` words: the first rows stay, new ones are drawn afresh.

        The masked-word head's output weights and bias, where there are any, follow. Returns self.
        """
        if not isinstance(vocab_size, (int, np.integer)) or isinstance(vocab_size, bool) or vocab_size < 1:
            raise ValueError(f"vocab_size: expected a positive whole number, got {vocab_size!r}")
        pad_token_id = self.config.pad_token_id
        if pad_token_id is not None and vocab_size <= pad_token_id:
            raise ValueError(f"vocab_size: {vocab_size} would drop the padding word, pad_token_id {pad_token_id}")
        parameters = self.vocabulary_parameters()
        old = [to_numpy(parameter.data).copy() for parameter in parameters]
        self.config.vocab_size = int(vocab_size)
        for parameter in parameters:
            parameter.resize(int(vocab_size))
        self.allocate(self.dtype, self.buffer.backend)
        self.init_weights({parameter.name for parameter in parameters})
        for parameter, rows in zip(parameters, old, strict=True):
            kept = min(len(rows), int(vocab_size))
            parameter.data[:kept] = self.buffer.backend.asarray(rows[:kept])
        return self

    def vocabulary_parameters(self):
        """The parameters with one row for each word of the vocabulary."""
        return [self.trunk.embeddings.word_embeddings.weight]


class BertModel(BertTrunk, BertPreTrainedModel):
    """The bare encoder: token ids to one vector for each token, and a pooled one for the sequence.

    out.last_hidden_state: (B, S, H)   out.pooler_output: (B, H)
    out.hidden_states: L+1 of (B, S, H), the embeddings' first   out.attentions: L of (B, A, S, S)
    """

    def __init__(self, config, add_pooling_layer=True, **options):
        self.add_pooling_layer = add_pooling_layer
        BertPreTrainedModel.__init__(self, config, **options)

    def build(self, config):
        BertTrunk.__init__(self, config, self.add_pooling_layer)

    @property
    def trunk(self):
        return self

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        inputs_embeds=None,
        output_attentions=None,
        output_hidden_states=None,
    ):
        """Run the encoder.

        input_ids, token_type_ids, position_ids: (B, S) integers (token types default to 0, positions to 0, 1, …)
        attention_mask: (B, S) or (B, S, S), 1 where a key may be read   inputs_embeds: (B, S, H) in place of the ids
        """
        inputs = input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds
        h, pooled, packing, extras = self.encode(inputs, output_hidden_states, output_attentions)
        self.save(packing)
        return ModelOutput(last_hidden_state=packing.pad(h), pooler_output=pooled, **extras)

    def backward(self, dlast_hidden_state=None, dpooler_output=None, scale=1.0):
        """Add to every gradient, from those of the outputs (B, S, H) and (B, H); returns the embeddings', (B, S, H)."""
        if dlast_hidden_state is None and dpooler_output is None:
            raise self.no_loss()
        if dpooler_output is not None and self.pooler is None:
            raise ValueError("dpooler_output: this model has no pooler")
        (packing,) = self.saved()
        dh = None if dlast_hidden_state is None else packing.unpad(dlast_hidden_state) * scale
        dpooled = None if dpooler_output is None else dpooler_output * scale
        return self.encode_rows_backward(packing, dh, dpooled)
