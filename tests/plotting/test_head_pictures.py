import numpy as np
import pytest

from bertnp.plotting import ablation, head_importance

CURVES = {"the least": [(0, 0.9), (4, 0.8), (8, 0.5)], "the most": [(0, 0.9), (4, None), (8, 0.5)]}
DRAWINGS = {
    "few heads": lambda path: head_importance(np.random.default_rng(0).random((2, 4)), path),
    "many heads": lambda path: head_importance(np.random.default_rng(0).random((24, 40)), path),
    "nothing matters": lambda path: head_importance(np.zeros((1, 1)), path),
    "curves": lambda path: ablation(CURVES, path, "accuracy"),
}


@pytest.mark.parametrize("drawing", DRAWINGS)
def test_pictures_are_the_same_each_time(tmp_path, drawing):
    for name in ("a.png", "b.png"):
        DRAWINGS[drawing](tmp_path / name)
    data = (tmp_path / "a.png").read_bytes()
    assert data == (tmp_path / "b.png").read_bytes() and data.startswith(b"\x89PNG")


def test_the_map_is_darker_where_a_head_is_more_important(tmp_path):
    from matplotlib.image import imread

    def darkness(importance):
        head_importance(importance, tmp_path / "a.png")
        return 1 - imread(tmp_path / "a.png")[..., :3].mean(axis=-1)

    left, right = darkness(np.eye(1, 2)), darkness(np.eye(1, 2)[:, ::-1])
    middle = left.shape[1] // 2
    assert (left - right)[:, :middle].sum() > 100 and (left - right)[:, middle:].sum() < -100
