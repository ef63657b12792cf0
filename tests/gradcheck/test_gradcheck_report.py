"""Reports as text, dictionary and picture; compare, taylor, step_sweep; the test helper."""

import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from bertnp.functional import softmax
from bertnp.gradcheck import assert_gradients, check, check_formula, compare, mistakes, step_sweep, taylor
from bertnp.gradcheck.heatmap import flat
from bertnp.nn import Linear

X = np.random.default_rng(1).normal(size=(3, 5))


def wrong_report():
    mistake = next(m for m in mistakes("attention") if m.label == "no scale")
    return check_formula("attention", backward=mistake.plant())


def test_text():
    text = wrong_report().text
    lines = text.splitlines()
    assert lines[0] == "attention   float64, central, h=6.1e-06, g normal, seed 0"
    assert lines[1].split() == ["gradient", "shape", "checked", "largest", "error", "allowed", "verdict"]
    query = next(line for line in lines if line.lstrip().startswith("query (mask and dropout)"))
    assert "(3,2,5,11)" in query and query.endswith("WRONG")
    worst = lines[lines.index(query) + 1]
    assert worst.strip().startswith("worst at [") and "ratio 3.31662" in worst
    assert " => coordinates: dQ and dK are sqrt(D) times too large and dV is right" in text
    assert max(map(len, lines)) <= 120


def test_text_fits_every_code_page():
    check_formula("softmax").text.encode("cp1252")
    wrong_report().text.encode("cp1252")


def test_to_dict():
    report = wrong_report()
    data = json.loads(json.dumps(report.to_dict()))
    assert data["ok"] is False and data["mistake"] == "no scale" and data["stage"] == "coordinates"
    row = data["rows"][0]
    assert row["name"] == "query" and row["verdict"] == "WRONG" and row["shape"] == [3, 2, 5, 11]
    worst = row["worst"]
    assert abs(worst["ratio"] - 11**0.5) < 1e-6 and worst["yours"] == report.rows[0].yours[tuple(worst["index"])]
    assert json.loads(json.dumps(check_formula("cross_entropy").to_dict()))["ok"] is True
    not_run = check(lambda x: x, lambda g, x: {}, {"x": X}).to_dict()
    assert not_run["stage"] == "keys" and not_run["rows"] == []


def test_heatmap(tmp_path):
    report = wrong_report()
    path = report.heatmap(tmp_path / "new" / "attention.png")
    assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 5_000
    again = wrong_report().heatmap(tmp_path / "again.png")
    assert again.read_bytes() == path.read_bytes()
    only = report.heatmap(tmp_path / "only.png", tensors="value")
    assert only.stat().st_size < path.stat().st_size
    with pytest.raises(ValueError, match="no slopes of 'q'; it has query, key, value"):
        report.heatmap(tmp_path / "q.png", tensors=["q"])
    with pytest.raises(ValueError, match="ending in .png"):
        report.heatmap(tmp_path / "q.txt")
    with pytest.raises(ValueError, match="ended before any slope"):
        check(lambda x: x, lambda g, x: {}, {"x": X}).heatmap(tmp_path / "x.png")


def test_heatmap_of_scalars_vectors_and_zeros(tmp_path):
    inputs = {"a": np.array(1.5), "b": np.arange(1.0, 60.0), "c": np.ones((2, 3))}
    backward = lambda g, a, b, c: {"a": g * b.sum(), "b": g * a + 0 * b, "c": 0 * c}  # noqa: E731
    report = check(lambda a, b, c: a * b.sum() + 0 * c.sum(), backward, inputs, max_coords=9).raise_if_failed()
    assert report.heatmap(tmp_path / "x.png").exists()
    assert flat(inputs["a"]).shape == (1, 1) and flat(inputs["b"]).shape == (2, 48) and flat(X[None]).shape == (3, 5)


def test_importing_draws_nothing():
    code = "import sys, bertnp; bertnp.gradcheck.check_formula('softmax'); print('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          encoding="utf-8").stdout.strip() == "False"  # fmt: skip


# compare


def test_compare():
    mean, x_hat = X.mean(), X - X.mean()
    reference = {"mean": mean, "x_hat": x_hat, "y": 2 * x_hat}
    assert compare(reference, reference).ok
    wrong = compare({"mean": mean, "x_hat": x_hat * 1.01, "y": 2.02 * x_hat}, reference)
    assert [row.verdict for row in wrong.rows] == ["ok", "WRONG", "WRONG"]
    assert wrong.sentence.startswith("x_hat is the first that differs. Look at the line that makes it; what it is")
    assert "y is missing in yours" in compare({"mean": mean, "x_hat": x_hat}, reference).sentence
    assert "mean has shape (3, 1), expected ()" in compare({**reference, "mean": X[:, :1]}, reference).sentence
    assert "z" in compare({**reference, "z": X}, reference).text
    assert not compare({**reference, "y": np.full_like(X, np.nan)}, reference).ok
    with pytest.raises(TypeError, match="mine: expected a dictionary"):
        compare(X, reference)


# slopes in pictures


def test_taylor():
    f, v = (lambda x: np.exp(x).sum()), np.random.default_rng(2).normal(size=X.shape)
    remainders, slopes = taylor(f, np.exp(X), X, v)
    assert remainders.shape == (5,) and np.abs(slopes - 2).max() < 0.05
    _, slopes = taylor(f, 1.1 * np.exp(X), X, v)
    assert slopes[-1] < 1.3
    with pytest.raises(ValueError, match="one shape"):
        taylor(f, X[0], X, v)


def test_step_sweep():
    f, v = (lambda x: np.tanh(x).sum()), np.random.default_rng(2).normal(size=X.shape)
    best = {}
    for method in ("forward", "central", "5point", "complex"):
        h, error = step_sweep(f, X, v, method)
        assert h.shape == error.shape == (34,)
        best[method] = error.min()
    assert best["complex"] < 1e-15 < best["5point"] < best["central"] < best["forward"] < 1e-6
    h, error = step_sweep(f, X, v)
    assert 1e-6 < h[error.argmin()] < 1e-3 and error[0] > error.min() < error[-1]  # a valley
    _, single = step_sweep(f, X, v, dtype=np.float32, steps=[3e-3, 1e-5])
    assert single[0] < 1e-3 < single[1]
    with pytest.raises(ValueError, match="method"):
        step_sweep(f, X, v, "backward")


# in tests


def test_assert_gradients():
    assert assert_gradients("softmax", seed=1).ok
    assert assert_gradients(Linear(4, 3), np.random.default_rng(0).normal(size=(5, 4))).ok
    with pytest.raises(AssertionError, match="softmax adds|is 0 everywhere"):
        assert_gradients(softmax, lambda g, x: {"x": 0 * x}, {"x": X})


def test_a_students_failing_test_shows_the_report(tmp_path):
    (tmp_path / "test_mine.py").write_text(textwrap.dedent("""
        from bertnp.gradcheck import assert_gradients
        def test_softmax():
            assert_gradients("softmax", backward=lambda dy, y: dy * y * (1 - y))
    """), encoding="utf-8")  # fmt: skip
    result = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_mine.py"],
                            cwd=tmp_path, capture_output=True, encoding="utf-8")  # fmt: skip
    assert result.returncode == 1
    assert "Only the diagonal of the Jacobian" in result.stdout and "x (ordinary)" in result.stdout
    for file in ("checking.py", "testing.py", "report.py", "formulas.py"):
        assert f"{file}:" not in result.stdout, "a traceback through the checker"
