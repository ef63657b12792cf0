"""Pictures of translations: drawn for short and long sentences, and never with empty boxes."""

import warnings

import numpy as np
import pytest
from matplotlib import font_manager

from bertnp import plotting
from bertnp.functional import sinusoids
from bertnp.plotting import style

rng = np.random.default_rng(0)


def shares(A, U, S):
    values = rng.random((A, U, S)) ** 4
    return values / values.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("each_head", [False, True])
def test_cross_attention(tmp_path, each_head):
    for S, U in ((6, 4), (25, 9), (40, 11)):
        path = tmp_path / f"{S}.png"
        key = plotting.cross_attention(["a"] * S, ["b"] * U, [shares(3, U, S)] * 2, path, each_head)
        assert key == {} and path.read_bytes().startswith(b"\x89PNG")


def test_tokens_that_no_font_has_stand_there_by_number(tmp_path, monkeypatch):
    only = [font for font in font_manager.fontManager.ttflist if font.name == "DejaVu Sans"]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", only)
    labels, key, fonts = style.drawable(["who", "他", "是", "他", "é"])
    assert labels == ["who", "1", "2", "1", "é"] and key == {1: "他", 2: "是"} and fonts == ["DejaVu Sans"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        drawn = plotting.cross_attention(["who", "is"], ["他", "是"], [shares(2, 2, 2)], tmp_path / "a.png")
    assert drawn == {1: "他", 2: "是"} and not [w for w in caught if "Glyph" in str(w.message)]


def test_a_font_that_has_them_is_used(monkeypatch):
    """Any installed font stands in for a Chinese one here: one with the letters DejaVu Sans does not know of."""
    files = {font.name: font.fname for font in font_manager.fontManager.ttflist}  # one of each font's styles
    if "STIXGeneral" not in files:
        pytest.skip("no second font")
    glyphs, known = (set(font_manager.get_font(files[name]).get_charmap()) for name in ("STIXGeneral", "DejaVu Sans"))
    letter = chr(min(glyphs - known))
    monkeypatch.setattr(style, "CHINESE_FONTS", ("STIXGeneral",))
    assert style.drawable([letter, "a"]) == ([letter, "a"], {}, ["DejaVu Sans", "STIXGeneral"])


def test_sinusoids(tmp_path):
    plotting.sinusoids(sinusoids(50, 32), tmp_path / "s.png")
    assert (tmp_path / "s.png").stat().st_size > 10_000
