"""Dropout, with the keep-mask handed in: no formula draws random numbers."""

from bertnp.backend import as_array, formula


@formula
def dropout(x, keep=None, p=0.0):
    """y = x k / (1 - p),  k = 1 where kept, 0 where dropped                             Srivastava et al. 2014

    The division keeps the expected value, so that nothing needs scaling when dropout is off.

    x: (..., n)   keep: truth values, same shape; None: everything is kept and p plays no part  ->  y: (..., n)

    Chapter 08, equation 8.1.
    """
    if keep is None:
        return x
    return x * as_array(keep, like=x, dtype=bool) * (1.0 / (1.0 - p))


@formula
def dropout_backward(dy, keep=None, p=0.0):
    """dx = dy k / (1 - p), with the forward's own mask

    dy, keep: (..., n)  ->  dx: (..., n)

    Chapter 08, equation 8.2.
    """
    return dropout(dy, keep, p)
