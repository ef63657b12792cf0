import numpy as np
import pytest

from bertnp import plotting
from bertnp.plotting.style import SERIES

TABLE = {"title": "table", "values": np.array([[1.0, -1.0, 0.0], [0.5, 0.0, -0.5]]), "rows": ["a", "b"]}
LONG = {"title": "long", "values": np.sin(np.arange(400.0)).reshape(20, 20), "xlabel": "component"}
LINE = {"series": {"one": ([1, 2, 3], [1.0, 10.0, 100.0]), "two": ([1, 2, 3], [3.0, 2.0, 1.0])}}
AXES = {"xlabel": "step", "ylabel": "loss", "title": "both"}
BOXES = [("words", [(0, 3, "the", 0.1), (4, 7, "cat", 0.9)]), ("ids", [(0, 3, "11", 0.3)])]
CIRCLE = np.array([[1.7, 0.0], [0.0, 1.7], [-1.2, -1.2]])

DRAWINGS = {
    "matrices": lambda path: plotting.matrices([TABLE, TABLE], path),
    "matrices in two lines": lambda path: plotting.matrices([TABLE, LONG, TABLE], path, columns=2, shares=True),
    "curves": lambda path: plotting.curves([{**LINE, **AXES}, {**LINE, **AXES, "log": "y", "markers": True}], path),
    "curves in lines, with ticks": lambda path: plotting.curves([{**LINE, **AXES, "log": "x", "xticks": [1, 2]}] * 3,
                                                                path, columns=2),
    "curves and levels": lambda path: plotting.curves([{**LINE, **AXES, "levels": {"floor": 2.0}}], path, width=4.0),
    "tokens": lambda path: plotting.tokens(BOXES, path, height=2.0),
    "circle": lambda path: plotting.layer_norm_circle(2 * CIRCLE, CIRCLE, CIRCLE, 0.5 * CIRCLE, path),
}


def pixels(path):
    from matplotlib.image import imread

    return imread(path)[..., :3]


@pytest.mark.parametrize("drawing", DRAWINGS)
def test_pictures_are_the_same_each_time_and_fit_a_page(tmp_path, drawing):
    for name in ("a.png", "b.png"):
        DRAWINGS[drawing](tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    height, width, _ = pixels(tmp_path / "a.png").shape
    assert 400 < width <= 1040 and 250 < height < 1300


@pytest.mark.parametrize("shares", [False, True])
def test_signs_stay_apart_in_grey(tmp_path, shares):
    """The larger a number the lighter its cell; of shares, the darker."""
    brightness = []
    for value in (0.05, 0.95):
        values = np.full((20, 20), value if shares else 2 * value - 1)
        plotting.matrices([{"title": "", "values": values}], tmp_path / "a.png", shares=shares, limit=1.0)
        brightness.append(pixels(tmp_path / "a.png").mean())
    assert (brightness[0] > brightness[1] + 0.1) == shares and abs(brightness[0] - brightness[1]) > 0.1


def test_a_larger_value_is_drawn_higher(tmp_path):
    heights = []
    for last in (1.0, 3.0):
        series = {"one": ([0, 1], [2.0, 2.0]), "two": ([0, 1], [last, last])}
        plotting.curves([{"series": series, "xlabel": "x", "ylabel": "y", "ylim": (0, 4)}], tmp_path / "a.png")
        colour = np.array([int(SERIES[1]["color"][i : i + 2], 16) for i in (1, 3, 5)]) / 255
        drawn = np.abs(pixels(tmp_path / "a.png") - colour).max(axis=-1) < 0.02
        heights.append(drawn.sum(axis=1).argmax())
    assert heights[1] < heights[0] - 50
