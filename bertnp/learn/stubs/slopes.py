"""Chapters 02 to 04: slopes, sums and tables."""


def central_difference(f, x, h=6e-6):
    """s_i = (f(x + h e_i) - f(x - h e_i)) / 2h, e_i being 1 at element i and 0 elsewhere             equation 2.1

    f: a function from an array to a number   x: array of floats, any shape; it must be left as it is
    ->  s: same shape as x
    """


def tanh_times_backward(dy, x, w):
    """The backward of y = tanh(x) w, element by element

    dy, x, w: same shape  ->  dx, dw: same shape
    """


def shares_backward(dy, x):
    """The backward of y_j = x_j / Σ_k x_k, along the last axis

    dy, x: (..., n)  ->  dx: same shape
    """


def is_gradient(f, backward, x):
    """True if backward is the derivative of f at x, False if not

    With a dy of random numbers, Σ dy f(x) is a number, and backward(dy, x) has to be its slope by each element of x.
    How close is close enough is yours to say: a difference has some nine digits, measured by the largest.

    f: a function of an array, returns an array of any shape   backward: of dy, shaped like f(x), and x, returns dx
    x: array of float64  ->  bool
    """


def complex_step(f, x, h=1e-30):
    """s_i = Im f(x + i h e_i) / h, e_i being 1 at element i and 0 elsewhere                            equation 2.2

    f: a function from an array, complex ones too, to a number   x: array of floats, any shape  ->  s: same shape
    """


def papers_linear_backward(dy, x, weight):
    """The backward of y = x W, with W of shape (n, m) as in the papers

    dy: (..., m)   x: (..., n)   weight: (n, m)  ->  dx: (..., n)   dweight: (n, m)
    """


def times_backward(dy, x, w):
    """The backward of y = x w, where w was spread over x by broadcasting

    dy, x: (B, S, H)   w: (H,) or (S, 1)  ->  dx: (B, S, H)   dw: the shape of w
    """


def compare_backward(dscores, query, key):
    """The backward of S = Q Kᵀ

    dscores: (S, K)   query: (S, D)   key: (K, D)  ->  dquery: (S, D)   dkey: (K, D)
    """


def telling_case(rng):
    """Data on which no wrong backward of a lookup can look right: make them so that every mistake you think of shows

    The check that you make them for calls embedding_backward(dy, ids, table) with a table of V rows.

    rng: numpy.random.RandomState  ->  ids: (B, S) integers from 0 to V - 1   dy: (B, S, H) floats   V
    """
