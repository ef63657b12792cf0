import subprocess
import sys
import warnings
from contextlib import contextmanager

import numpy as np
import pytest

from bertnp.plotting import confusion_matrix, learning_curve, predicted_against_true, sweep, training_curves
from bertnp.plotting.style import SERIES, picture


def record(epochs=3, held_out=True):
    entries = []
    for epoch in range(1, epochs + 1):
        scores = {"loss": 0.5, "accuracy": 1 - 0.4 / epoch, "matthews": None if epoch == 1 else 0.5}
        entries.append({"epoch": epoch, "train_loss": 0.7 / epoch, "held_out": scores if held_out else None})
    return {"history": entries, "best": {"epoch": epochs}}


def pixels(path):
    from matplotlib.image import imread

    return imread(path)[..., :3]


DRAWINGS = {
    "learning curve": lambda path: learning_curve(record(), path),
    "one epoch": lambda path: learning_curve(record(1), path),
    "thirty epochs": lambda path: learning_curve(record(30), path),
    "no evaluation": lambda path: learning_curve(record(held_out=False), path),
    "two classes": lambda path: confusion_matrix([[40, 2], [0, 0]], ["no", "yes"], path),
    "fifty classes": lambda path: confusion_matrix(np.eye(50, dtype=int), [f"class {i}" for i in range(50)], path),
    "numbers": lambda path: predicted_against_true([1.0, 2.0, 3.0], np.array([[1.5], [2.0], [2.5]]), path),
    "sweep": lambda path: sweep("lr", "accuracy", {"batch size 16": [("2e-5", 0.7, 0.01), ("1e-3", 0.8, 0.02)],
                                                   "batch size 32": [("2e-5", 0.6, None), ("1e-3", None, None)]}, path),
    "sweep of names": lambda path: sweep("schedule", "f1", {"": [("linear", 0.7, None), ("cosine", 0.6, None)]}, path),
    "one number": lambda path: predicted_against_true([1.0], [1.0], path),
}  # fmt: skip


@pytest.mark.parametrize("drawing", DRAWINGS)
def test_pictures_are_pngs_without_a_date_and_the_same_each_time(tmp_path, drawing):
    import matplotlib

    for name in ("a.png", "b.png"):
        DRAWINGS[drawing](tmp_path / name)
        matplotlib.rcParams["axes.facecolor"] = "yellow"  # what the user sets plays no part
    matplotlib.rcParams["axes.facecolor"] = matplotlib.rcParamsDefault["axes.facecolor"]
    data = (tmp_path / "a.png").read_bytes()
    assert data == (tmp_path / "b.png").read_bytes()
    assert data.startswith(b"\x89PNG") and b"tEXt" not in data and b"tIME" not in data
    height, width, _ = pixels(tmp_path / "a.png").shape
    assert 400 < width <= 1100 and 400 < height < 1100
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_drawing_leaves_matplotlibs_settings_and_window_system_alone(tmp_path):
    """Looking at the setting `backend` would itself load pyplot and choose a window system."""
    code = (
        "import sys, matplotlib\n"
        "matplotlib.rcParams['font.size'] = 30\n"
        "settings = lambda: {k: matplotlib.rcParams[k] for k in matplotlib.rcParams if k != 'backend'}\n"
        "before = settings()\n"
        "from bertnp.plotting import confusion_matrix\n"
        "confusion_matrix([[1, 0], [0, 1]], ['a', 'b'], sys.argv[1])\n"
        "assert settings() == before\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.png")], check=True)


def test_rows_of_a_confusion_matrix_are_the_true_classes(tmp_path):
    """Everything predicted as the first class fills the first column, which is taller than it is wide."""
    confusion_matrix([[5, 0], [5, 0]], ["a", "b"], tmp_path / "a.png")
    image = pixels(tmp_path / "a.png")
    dark = (image[..., 2] > image[..., 0] + 0.3) & (image[..., 0] < 0.1)  # the darkest blue, of a share of 1
    dark[:, int(image.shape[1] * 0.75) :] = False  # but not the colour bar
    rows, columns = np.flatnonzero(dark.any(axis=1)), np.flatnonzero(dark.any(axis=0))
    height, width = np.ptp(rows), np.ptp(columns)
    assert 1.6 < height / width < 2.4


def test_names_with_dollars_and_letters_beyond_the_font_are_drawn_without_a_word(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        confusion_matrix([[1, 0], [0, 1]], ["costs $5_$", "喜欢"], tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 2000


def test_series_differ_in_more_than_colour():
    for what in ("color", "linestyle", "marker"):
        assert len({series[what] for series in SERIES}) == len(SERIES)


def test_a_failed_drawing_leaves_no_file(tmp_path):
    with pytest.raises(KeyError):
        learning_curve({"history": [{"epoch": 1, "held_out": None}], "best": None}, tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def log(steps, pretraining):
    lines = []
    for step in range(10, steps + 1, 10):
        line = {"step": step, "epoch": step / 100, "loss": 8 * 0.99 ** (step / 10), "lr": 1e-3, "seconds": 1.0}
        if pretraining:
            line |= {"masked_lm_loss": line["loss"] - 0.6, "masked_lm_accuracy": step / steps / 2,
                     "next_sentence_loss": 0.6, "next_sentence_accuracy": 0.7}  # fmt: skip
        lines.append(line)
        if step % 100 == 0:
            names = [name for name in line if name.endswith(("loss", "accuracy"))]
            held_out = {name: line[name] * 1.1 for name in names} | ({} if pretraining else {"accuracy": 0.8})
            lines.append({"step": step, "epoch": 1, "held_out": held_out, "best": True})
    return lines


@pytest.mark.parametrize("pretraining", [True, False])
def test_training_curves_show_training_and_held_out(tmp_path, monkeypatch, pretraining):
    figures = []

    @contextmanager
    def keeping(path, *size):
        with picture(path, *size) as figure:
            figures.append(figure)
            yield figure

    monkeypatch.setattr("bertnp.plotting.training.picture", keeping)
    training_curves(log(5000, pretraining), tmp_path / "a.png")
    axes = figures[0].axes
    labels = [[line.get_label() for line in each.get_lines()] for each in axes]
    if pretraining:
        assert labels[0][:2] == ["masked words, training", "masked words, held out"]
        assert labels[1] == ["masked words, training", "masked words, held out", "next sentence, training",
                             "next sentence, held out"]  # fmt: skip
    else:
        assert labels == [["loss, training", "loss, held out"], ["accuracy, held out"]]
    curve = axes[0].get_lines()[0]
    assert len(curve.get_xdata()) <= 150 and curve.get_xdata()[-1] == 5000
    assert axes[0].get_xlabel() == "step" and axes[0].get_ylabel() == "mean loss"


def test_an_empty_log_is_not_drawn(tmp_path):
    with pytest.raises(ValueError, match="no line with a loss yet"):
        training_curves([], tmp_path / "a.png")
