import numpy as np
import pytest

from bertnp.plotting import exercise_results

RESULTS = {
    "5.1 softmax": ({"right": 20, "partly": 2, "stopped or refused": 2, "nothing handed in": 1}, 0.75),
    "5.2 softmax, backward": ({"wrong": 25}, 0.0),
}
DRAWINGS = {
    "some": RESULTS,
    "one": {"5.1": ({"right": 1}, 1.0)},
    "many": {f"{n}.1 exercise": ({"right": n, "wrong": 40 - n}, n / 40) for n in range(12)},
    "nothing": {"5.1": ({}, 0.0)},
}


@pytest.mark.parametrize("drawing", DRAWINGS)
def test_pictures_are_the_same_each_time(tmp_path, drawing):
    for name in ("a.png", "b.png"):
        exercise_results(DRAWINGS[drawing], tmp_path / name)
    data = (tmp_path / "a.png").read_bytes()
    assert data == (tmp_path / "b.png").read_bytes() and data.startswith(b"\x89PNG")


def test_the_bar_is_darker_the_more_are_right(tmp_path):
    from matplotlib.image import imread

    def darkness(right):
        exercise_results({"5.1": ({"right": right, "wrong": 20 - right}, right / 20)}, tmp_path / "a.png")
        return float(np.sum(1 - imread(tmp_path / "a.png")[..., :3].mean(axis=-1)))

    assert darkness(20) > darkness(10) > darkness(0)
