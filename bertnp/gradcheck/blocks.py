"""Small compositions in which gradients go wrong between the formulas: at a fork, at a shared table, at a first token.

They are pairs like the formulas of `bertnp.functional`, written with them, and exist to be checked and practised on.
"""

import bertnp.functional as F
from bertnp.backend import add_at, array_module, as_array


def residual(x, weight, bias):
    """y = x + (x Wᵀ + b): a branch beside a way straight through

    x: (B, S, H)   weight: (H, H)   bias: (H,)  ->  y: (B, S, H)
    """
    return x + F.linear(x, weight, bias)


def residual_backward(dy, x, weight):
    """dx = dy + dy W,  dW and db as in `linear_backward`: x is read twice, so both ways bring a gradient

    dy, x: (B, S, H)   weight: (H, H)  ->  dx: (B, S, H)   dweight: (H, H)   dbias: (H,)
    """
    dx, dweight, dbias = F.linear_backward(dy, x, weight)
    return dy + dx, dweight, dbias


def feed_forward(x, weight1, bias1, weight2, bias2):
    """u = x W₁ᵀ + b₁,  y = gelu(u) W₂ᵀ + b₂

    x: (B, S, H)   weight1: (I, H)   bias1: (I,)   weight2: (H, I)   bias2: (H,)  ->  y: (B, S, H)   u: (B, S, I)
    """
    u = F.linear(x, weight1, bias1)
    return F.linear(F.gelu(u), weight2, bias2), u


def feed_forward_backward(dy, x, u, weight1, weight2):
    """da = dy W₂,  du = da gelu'(u),  dx = du W₁;  each weight as in `linear_backward`

    dy, x: (B, S, H)   u: (B, S, I)   weight1: (I, H)   weight2: (H, I)
    ->  dx: (B, S, H)   dweight1: (I, H)   dbias1: (I,)   dweight2: (H, I)   dbias2: (H,)
    """
    da, dweight2, dbias2 = F.linear_backward(dy, F.gelu(u), weight2)
    dx, dweight1, dbias1 = F.linear_backward(F.gelu_backward(da, u), x, weight1)
    return dx, dweight1, dbias1, dweight2, dbias2


def pooler(h, weight, bias):
    """y = tanh(h₀ Wᵀ + b), h₀ the vector of each sequence's first token

    h: (B, S, H)   weight: (H, H)   bias: (H,)  ->  y: (B, H)

    Chapter 12, equation 12.5.
    """
    return F.tanh(F.linear(h[:, 0], weight, bias))


def pooler_backward(dy, y, h, weight):
    """du = dy (1 - y²);  dh₀ = du W, and 0 for all other tokens;  dW = duᵀ h₀,  db = Σ du

    dy, y: (B, H)   h: (B, S, H)   weight: (H, H)  ->  dh: (B, S, H)   dweight: (H, H)   dbias: (H,)

    Chapter 12, equation 12.6.
    """
    dfirst, dweight, dbias = F.linear_backward(F.tanh_backward(dy, y), h[:, 0], weight)
    dh = array_module(h).zeros_like(h)
    dh[:, 0] = dfirst
    return dh, dweight, dbias


def add_positions(words, table):
    """y[b, s] = words[b, s] + P[s]: one table of positions for all sequences

    words: (B, S, H)   table P: (M, H), M at least S  ->  y: (B, S, H)
    """
    return words + table[: words.shape[1]]


def add_positions_backward(dy, table):
    """dwords = dy;  dP[s] = Σ_b dy[b, s], and 0 in the rows that no sequence reaches

    dy: (B, S, H)   table: (M, H)  ->  dwords: (B, S, H)   dtable: (M, H)
    """
    dtable = array_module(table).zeros_like(table)
    dtable[: dy.shape[1]] = dy.sum(axis=0)
    return dy, dtable


def tied_table(ids, table):
    """y_t = E E[id_t]: the table that looked the words up scores them too

    ids: (T,) integers   table E: (V, H)  ->  y: (T, V)

    Chapter 12, equation 12.3.
    """
    return F.embedding(ids, table) @ table.T


def tied_table_backward(dy, ids, table):
    """dE = dyᵀ E[ids] + scatter(dy E): both uses of the table bring a gradient, and they add up

    dy: (T, V)   ids: (T,)   table: (V, H)  ->  dtable: (V, H)

    Chapter 12, equation 12.4.
    """
    dtable = dy.T @ F.embedding(ids, table)
    add_at(dtable, as_array(ids, like=dy), dy @ table)
    return dtable


BLOCKS = {
    "residual": (residual, residual_backward),
    "feed_forward": (feed_forward, feed_forward_backward),
    "pooler": (pooler, pooler_backward),
    "add_positions": (add_positions, add_positions_backward),
    "tied_table": (tied_table, tied_table_backward),
}
