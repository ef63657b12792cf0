"""Where a token stands, told by sines and cosines."""

import math

import numpy as np

from bertnp.backend import as_array, formula, to_numpy


def sinusoids(length, size):
    """P[t, 2i] = sin(t / 10000^(2i/H)),  P[t, 2i + 1] = cos(t / 10000^(2i/H))     Vaswani et al. 2017, section 3.5

    Each pair of columns is a hand that turns at a speed of its own, from one radian a token to one in ten thousand.
    P[t + k] is P[t] turned by angles that depend on k alone.

    ->  P: (length, H) float64 on the host,  H = size

    Chapter 04, equation 4.6.
    """
    angles = np.arange(length)[:, None] * np.exp(np.arange(0, size, 2) * (-math.log(10000.0) / size))  # (length, H/2)
    table = np.empty((length, size))
    table[:, 0::2] = np.sin(angles)
    table[:, 1::2] = np.cos(angles[:, : size // 2])
    return table


@formula
def positional_encoding(x, positions):
    """y_t = √H x_t + P[position_t], P of `sinusoids`                   Vaswani et al. 2017, sections 3.4 and 3.5

    The root makes a word's vector, begun with variance 1/H, as large as the sines and cosines beside it.

    x: (..., H)   positions: (...) integers of at least 0  ->  y: (..., H)

    Chapter 04, equation 4.7.
    Chapter 18, equation 18.1.
    """
    H = x.shape[-1]
    table = sinusoids(int(to_numpy(positions).max()) + 1, H)
    table = as_array(table, like=x, dtype=x.real.dtype)
    return math.sqrt(H) * x + table[as_array(positions, like=x)]


@formula
def positional_encoding_backward(dy):
    """dx = √H dy: the positions are no weights, and learn nothing

    dy: (..., H)  ->  dx: (..., H)

    Chapter 04, equation 4.8.
    Chapter 18, equation 18.2.
    """
    return math.sqrt(dy.shape[-1]) * dy
