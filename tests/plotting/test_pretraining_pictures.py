import numpy as np
import pytest

from bertnp import plotting
from bertnp.plotting.style import SERIES

LEVELS = {"word frequencies": 3.7, "best possible": 0.3}
ANSWERS = {"guessing": 0.55, "best possible": 0.95}
TOKENS = "[CLS] the rain fell and she felt [MASK] . [SEP]".split()
RUNS = {"from scratch": [[0.5, 0.6], [0.6, 0.7], [0.9, 0.8]], "pre-trained": [[0.8, 0.9], [1.0, 0.9], [1.0, 1.0]]}


def heads(L, A):
    shares = np.random.default_rng(0).random((L, A, len(TOKENS), len(TOKENS)))
    return shares / shares.sum(axis=-1, keepdims=True)


DRAWINGS = {
    "loss": lambda path: plotting.loss_and_floor([0, 10, 20], [5.9, 2.0, 0.5], LEVELS, path),
    "loss and answers": lambda path: plotting.loss_and_floor([0, 10], [5.9, 2.0], LEVELS, path, [0.5, 0.8], ANSWERS),
    "attention": lambda path: plotting.attention(TOKENS, heads(2, 2), path),
    "many heads": lambda path: plotting.attention(TOKENS, heads(1, 8), path),
    "one head": lambda path: plotting.attention(TOKENS, heads(1, 1), path),
    "accuracy": lambda path: plotting.accuracy_by_labels([8, 16, 64], RUNS, path),
}


def pixels(path):
    from matplotlib.image import imread

    return imread(path)[..., :3]


@pytest.mark.parametrize("drawing", DRAWINGS)
def test_pictures_are_the_same_each_time_and_fit_a_page(tmp_path, drawing):
    for name in ("a.png", "b.png"):
        DRAWINGS[drawing](tmp_path / name)
    data = (tmp_path / "a.png").read_bytes()
    assert data == (tmp_path / "b.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    height, width, _ = pixels(tmp_path / "a.png").shape
    assert 400 < width <= 1040 and 250 < height < 1300


def coloured(path, colour):
    """How many pixels have a series' colour, and their mean height in the picture."""
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    rows, _ = np.nonzero(np.abs(pixels(path) - wanted).max(axis=-1) < 0.02)
    return len(rows), rows.mean()


def test_a_lower_loss_is_drawn_lower(tmp_path):
    places = []
    for loss in (3.0, 0.5):
        plotting.loss_and_floor([0, 10, 20], [5.9, loss, loss], LEVELS, tmp_path / "a.png")
        places.append(coloured(tmp_path / "a.png", SERIES[1]["color"])[1])
    assert places[1] > places[0] + 20


def test_more_attention_is_drawn_darker(tmp_path):
    darkness = []
    for share in (0.1, 0.9):
        shares = np.zeros((1, 1, len(TOKENS), len(TOKENS)))
        shares[..., 2] = share
        plotting.attention(TOKENS, shares, tmp_path / "a.png")
        darkness.append(1 - pixels(tmp_path / "a.png").mean())
    assert darkness[1] > darkness[0] + 0.01


def test_both_sides_are_told_apart_in_grey(tmp_path):
    plotting.accuracy_by_labels([8, 16, 64], RUNS, tmp_path / "a.png")
    for style in SERIES[:2]:
        assert coloured(tmp_path / "a.png", style["color"])[0] > 200
    grey = [sum(int(style["color"][i : i + 2], 16) for i in (1, 3, 5)) / 3 for style in SERIES[:2]]
    assert abs(grey[0] - grey[1]) > 60 and SERIES[0]["linestyle"] != SERIES[1]["linestyle"]
