"""Chapter 05: shares of other kinds, and losses made of them."""


def temperature_softmax(x, tau):
    """y = softmax(x / τ): a small τ sharpens the shares, a large one evens them out           Hinton et al. 2015, eq. 1

    x: (..., n) floating, large numbers too   tau τ: a positive number  ->  y: same shape, rows sum to 1
    """


def temperature_softmax_backward(dy, x, y, tau):
    """dx, and dτ, which is one number: the temperature is in every score of every row

    dy, x, y: (..., n)   tau: a number  ->  dx: (..., n)   dtau: ()
    """


def focal_loss(logits, labels, gamma):
    """L = mean over i of -(1 - p_i)^γ log p_i,  p_i = softmax(logits_i)[y_i]                    Lin et al. 2017, eq. 4

    Examples that are right already (p near 1) count little; γ = 0 is the cross-entropy.

    logits: (n, C), large numbers too   labels y: (n,) integers   gamma γ: a number of at least 1  ->  loss: ()
    """


def focal_loss_backward(dloss, logits, labels, gamma):
    """dloss: ()   logits: (n, C)   labels: (n,)   gamma: a number  ->  dlogits: (n, C)"""


def sparsemax(x):
    """y_j = max(x_j - τ, 0), with the τ of each row for which y sums to 1              Martins & Astudillo 2016

    Shares as of softmax, but small ones are exactly 0. With x sorted, z_1 ≥ z_2 ≥ …, and k the largest number for which
    1 + k z_k > z_1 + … + z_k, it is τ = (z_1 + … + z_k - 1) / k (proposition 1).

    x: (..., n) floating  ->  y: same shape, rows sum to 1
    """


def sparsemax_backward(dy, y):
    """The slope of a row's τ is shared evenly by those that are in its sum                    Martins & Astudillo 2016

    dy, y: (..., n)  ->  dx: same shape
    """


def trusts_softmax(softmax):
    """True if this function is a softmax over the last axis, False if not: by what a softmax must do

    softmax: a function of an array of any number of axes, returns an array of the same shape  ->  bool
    """
