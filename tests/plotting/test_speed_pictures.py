import matplotlib.image
import numpy as np
import pytest

from bertnp import plotting
from bertnp.bench.growth import START, VALUES

CASE = {
    "name": "training-step", "goals": {"torch": 2.7},
    "sides": {"bertnp": {"name": "bertnp"}, "torch": {"name": "PyTorch", "ratio": 2.5},
              "onnx": {"name": "ONNX Runtime", "missing": "not installed: onnxruntime"}},
}  # fmt: skip
BREAKDOWN = {"seconds": 1.0, "formulas": [[f"formula {i}", 0.05, 1] for i in range(20)]}
LETTERS = {letter: {"values": list(values), "seconds": [0.01 * v for v in values], "slope": 1.0}
           for letter, values in VALUES.items()}  # fmt: skip


@pytest.mark.parametrize(
    "record",
    [
        {"cases": [CASE]},
        {"cases": [], "breakdown": BREAKDOWN},
        {"cases": [CASE, CASE], "breakdown": BREAKDOWN, "growth": {"start": START, "letters": LETTERS}},
    ],
)
def test_what_was_measured_is_drawn(record, tmp_path):
    plotting.speed(record, tmp_path / "a.png")
    image = matplotlib.image.imread(tmp_path / "a.png")[..., :3]
    assert image.shape[1] == 1040 and (np.abs(image - image.mean(-1, keepdims=True)) > 0.2).any()  # coloured bars
    plotting.speed(record, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_longer_bar_for_a_larger_ratio(tmp_path):
    blue = []
    for ratio in (1.2, 2.4):
        case = {**CASE, "sides": {"torch": {"name": "a", "ratio": ratio}, "textbook": {"name": "b", "ratio": 3.0}}}
        plotting.speed({"cases": [case]}, tmp_path / "a.png")
        image = matplotlib.image.imread(tmp_path / "a.png")[..., :3]
        blue.append((np.abs(image - np.array([0, 0x72, 0xB2]) / 255).max(-1) < 0.02).sum())
    assert blue[1] > 1.6 * blue[0]


def test_nothing_to_draw(tmp_path):
    with pytest.raises(ValueError, match="there is nothing to draw"):
        plotting.speed({"cases": []}, tmp_path / "a.png")


def test_a_roof_with_points_below_it(tmp_path):
    points = {"a sum": (0.1, 1e9), "a product": (200.0, 9e10)}
    plotting.roofline(points, 1e11, 1e10, tmp_path / "a.png")
    image = matplotlib.image.imread(tmp_path / "a.png")[..., :3]
    assert image.shape[1] == 1040
    for colour in ([0, 0x72, 0xB2], [0xD5, 0x5E, 0]):
        assert (np.abs(image - np.array(colour) / 255).max(-1) < 0.02).sum() > 100  # in the axes and in the legend
    plotting.roofline(points, 1e11, 1e10, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
