"""Looking rows up in a table, and putting rows into place."""

from bertnp.backend import add_at, array_module, as_array, formula


@formula
def embedding(ids, table, padding_idx=None):
    """y_t = E[id_t]: row id_t of the table for each token t

    padding_idx changes nothing here: it names the row that learns nothing from being looked up.

    ids: (...) integers in 0..V-1   table E: (V, H)  ->  y: (..., H)

    Chapter 04, equation 4.1.
    """
    return table[as_array(ids, like=table)]


@formula
def embedding_backward(dy, ids, table, padding_idx=None, out=None):
    """dE[v] = Σ dy_t over all t with id_t = v; the row padding_idx gets none

    A word that stands in the batch three times gets the sum of three gradients; one that is absent gets zeros.

    dy: (..., H)   ids: (...)   table: (V, H)   out: (V, H) array to add the sums to; None: to zeros
    ->  dtable: (V, H)

    Chapter 04, equation 4.2.
    """
    dtable = array_module(table).zeros_like(table, dtype=dy.dtype) if out is None else out
    ids = as_array(ids, like=dy)
    if padding_idx is not None:
        dy = dy * (ids != padding_idx)[..., None]
    add_at(dtable, ids.reshape(-1), dy.reshape(-1, dy.shape[-1]))
    return dtable


@formula
def gather_rows(x, index):
    """y_i = x[index_i]: some rows of x, each at most once

    x: (n, H)   index: (m,) integers, no two alike  ->  y: (m, H)

    Chapter 04, equation 4.4.
    """
    return x[as_array(index, like=x)]


@formula
def gather_rows_backward(dy, index, n):
    """dx[index_i] = dy_i, and 0 in the rows that were not taken

    dy: (m, H)   index: (m,)  ->  dx: (n, H)

    Chapter 04, equation 4.5.
    """
    return scatter_rows(dy, index, n)


@formula
def scatter_rows(x, index, n):
    """y[index_i] = x_i, and 0 in all other rows

    x: (m, H)   index: (m,) integers, no two alike   n: how many rows y has  ->  y: (n, H)

    Chapter 04, equation 4.5.
    """
    y = array_module(x).zeros((n, *x.shape[1:]), dtype=x.dtype)
    y[as_array(index, like=x)] = x
    return y


@formula
def scatter_rows_backward(dy, index):
    """dx_i = dy[index_i]

    dy: (n, H)   index: (m,)  ->  dx: (m, H)

    Chapter 04, equation 4.4.
    """
    return gather_rows(dy, index)
