"""Chapters 12 to 16: losses, optimisers, checkpoints and heads for tasks."""


def masked_words_loss(logits, labels):
    """L = mean of -log p_t[y_t] over the tokens t that have a label, p_t = softmax(logits_t); 0 where none has

    logits: (B, S, V)   labels y: (B, S) integers, -100 where no question is asked  ->  loss: ()
    """


def masked_words_loss_backward(dloss, logits, labels):
    """dloss: ()   logits: (B, S, V)   labels: (B, S)  ->  dlogits: (B, S, V)"""


def factorised_table(ids, table, projection):
    """y_t = (P E[id_t]) · (P E_v) for all words v: a narrow table, made wide by one matrix, used at both ends

    Lan et al. 2020 (ALBERT), section 3.1, with the encoder between the two ends left out.

    ids: (T,) integers   table E: (V, M)   projection P: (H, M)  ->  y: (T, V)
    """


def factorised_table_backward(dy, ids, table, projection):
    """dy: (T, V)   ids: (T,)   table: (V, M)   projection: (H, M)  ->  dtable: (V, M)   dprojection: (H, M)"""


def lion(parameter, gradient, mean, lr, betas, weight_decay):
    """c = β₁ m + (1 - β₁) g,   θ ← θ - lr (sign(c) + λ θ),   m ← β₂ m + (1 - β₂) g        Chen et al. 2023, algorithm 2

    parameter θ, gradient g, mean m: same shape   weight_decay λ  ->  θ, m after the step
    """


def is_decayed(name):
    """Does weight decay act on the parameter of this name? On matrices and tables, not on biases and layer norms

    name: such as "bert.encoder.layer.0.attention.self.query.weight"  ->  bool
    """


def accumulated(gradients, counts):
    """The gradient of one large batch, from those of its parts

    Each part's loss is the mean over the labelled words of that part, and parts have more or fewer of them. The large
    batch's loss is the mean over all labelled words.

    gradients: list of arrays of one shape, one for each part   counts: list of how many labelled words each part has
    ->  array of that shape
    """


def from_google(tensors):
    """Tensors with the names and shapes of Google's checkpoints  ->  with those of transformers and this library

    bert/embeddings/word_embeddings                          bert.embeddings.word_embeddings.weight
    bert/encoder/layer_3/attention/self/query/kernel         bert.encoder.layer.3.attention.self.query.weight
    bert/encoder/layer_3/output/dense/bias                   bert.encoder.layer.3.output.dense.bias
    bert/encoder/layer_3/output/LayerNorm/gamma, …/beta      bert.encoder.layer.3.output.LayerNorm.weight, ….bias
    bert/pooler/dense/kernel                                 bert.pooler.dense.weight
    cls/predictions/output_bias                              cls.predictions.bias
    cls/seq_relationship/output_weights                      cls.seq_relationship.weight

    A kernel is (in, out), as y = x W wants it; a weight is (out, in), and so are the output_weights.

    tensors: {name: array}  ->  {name: array}, as many
    """


def classifier_backward(dlogits, h, pooled, W_P, W_C):
    """The backward of `classifier` of bertnp.learn.given: pooler and linear map

    dlogits: (B, C)   h: (B, S, H)   pooled: (B, H)   W_P: (H, H)   W_C: (C, H)
    ->  dh: (B, S, H)   dW_P: (H, H)   db_P: (H,)   dW_C: (C, H)   db_C: (C,)
    """


def span_loss(logits, starts, ends):
    """L = (L_start + L_end) / 2, each a cross-entropy over the S positions, the mean over those that have a label

    A position of S or more stands for an answer that is not in this text: it counts nothing.

    logits: (B, S, 2), scores for being the start and the end   starts, ends: (B,) integers  ->  loss: ()
    """


def span_loss_backward(dloss, logits, starts, ends):
    """dloss: ()   logits: (B, S, 2)   starts, ends: (B,)  ->  dlogits: (B, S, 2)"""
