"""Φ in float32 by one tanh and a polynomial: Φ(x) = (1 + erf(x/√2)) / 2 ≈ (1 + tanh(x Q(x²))) / 2.

Q has degree 6 and is the minimax fit of erf(x/√2) = tanh(x Q(x²)) on |x| ≤ 5.5;
`python -m bertnp.backend.gelu_polynomial` derives it again. The largest error of erf is 5.8e-8 over all x, half a unit
in float32's last place at 1. Its leading coefficient is positive, so that past the fitted range tanh runs into ±1, as
erf does.
"""

import numpy as np

COEFFICIENTS = (  # of x⁰, x², x⁴, …, x¹² in Q
    0.7978849414912605,
    0.03633308440157944,
    -3.259473549920586e-05,
    -5.5306321090823975e-05,
    3.964774042432446e-06,
    -1.3226635778047434e-07,
    1.7562798693593487e-09,
)


def fit(degree=6, limit=3.9 * 2**0.5, points=4000, rounds=200):
    """Coefficients of Q, and the largest error of erf at the points.

    Least squares with weights that grow where the error is large (Lawson's iteration) tends to the smallest largest
    error. The fit is to atanh(erf(x/√2)) / x; the weights carry what its error means for erf.
    """
    from scipy.special import erf, erfc

    x = limit * np.sin(np.linspace(0.0005, np.pi / 2, points))  # denser towards the end
    z = x / 2**0.5
    target = 0.5 * np.log((2 - erfc(z)) / erfc(z)) / x  # atanh(erf(z)) / x, exact where erf(z) is nearly 1
    effect = x * erfc(z) * (2 - erfc(z))  # what a change of Q changes erf by
    basis = np.polynomial.chebyshev.chebvander(2 * (x / limit) ** 2 - 1, degree)
    weights = np.full(points, 1 / points)
    smallest, best = np.inf, None
    for _ in range(rounds):
        scale = np.sqrt(weights) * effect
        found = np.linalg.lstsq(basis * scale[:, None], target * scale, rcond=None)[0]
        error = np.abs(np.tanh(x * (basis @ found)) - erf(z))
        if error.max() < smallest:
            smallest, best = error.max(), found
        weights *= error
        weights /= weights.sum()
    in_t = np.polynomial.Polynomial(np.polynomial.chebyshev.cheb2poly(best))
    return in_t(np.polynomial.Polynomial([-1, 2 / limit**2])).coef, smallest


if __name__ == "__main__":
    coefficients, error = fit()
    print(f"largest error of erf: {error:.3g}")
    for coefficient in coefficients:
        print(f"    {float(coefficient)!r},")
