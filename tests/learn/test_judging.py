"""Students' files in a process of their own: what ends there and must not end here."""

import sys

import pytest

from bertnp.learn import judging
from bertnp.learn.exercises import exercise_of
from bertnp.learn.judging import judge, run_limited

EXERCISES = [exercise_of("softmax"), exercise_of("softmax_backward")]
HEAD = "import numpy as np\n"
RIGHT = "def softmax_backward(dy, y):\n    return y * (dy - (dy * y).sum(axis=-1, keepdims=True))\n"


@pytest.fixture
def judged(tmp_path):
    """Judges a file's text: its verdicts and what it printed."""

    def judged(text, **options):
        folder = tmp_path / "é"
        folder.mkdir(exist_ok=True)
        (folder / "ch05.py").write_text(HEAD + text, encoding="utf-8")
        verdicts, printed = judge(folder / "ch05.py", EXERCISES, **options)
        assert [exercise for exercise, _ in verdicts] == EXERCISES
        return [verdict for _, verdict in verdicts], printed

    return judged


def test_an_endless_loop_is_named_and_the_rest_is_judged(judged):
    loop = "def softmax(x):\n    while True:\n        x = x + 1\n"
    (first, second), _ = judged(loop + RIGHT, timeout=5)
    assert first.mistake == "endless"
    assert first.sentence == "softmax did not end within 5 s: is there a loop without end?"
    assert "ch05.py:4: x = x + 1" in first.text or "ch05.py:3: while True:" in first.text
    assert second.ok and "ch05.py:5 softmax_backward" in second.text


def test_an_endless_loop_while_the_file_is_read(judged, monkeypatch):
    processes = []
    monkeypatch.setattr(judging, "run_limited", lambda *a: processes.append(a) or run_limited(*a))
    verdicts, _ = judged("while True: pass\n", timeout=0.5)
    for verdict in verdicts:
        assert verdict.sentence == "The file did not end within 0.5 s: is there a loop without end?"
    assert "ch05.py:2: while True: pass" in verdicts[0].text and len(processes) == 1


def test_a_crash_and_a_flood(judged):
    crash = "def softmax(x):\n    import os\n    print('é' * 10**6, flush=True)\n    os._exit(0)\n"
    (first, second), printed = judged(crash + RIGHT)
    assert first.mistake == "ends its process" and "exit code 0" in first.sentence and second.ok
    assert len(printed) < 2 * judging.KEPT and printed.startswith("éé") and "bytes more" in printed


@pytest.mark.skipif(sys.platform != "linux", reason="memory has limits on Linux only")
def test_memory_has_a_limit(judged):
    (first, second), _ = judged("def softmax(x):\n    return np.empty(7 * 10**8)\n" + RIGHT)
    assert "MemoryError" in first.sentence and second.ok


def test_a_process_that_does_not_even_start(judged, monkeypatch):
    monkeypatch.setattr(judging.sys, "executable", sys.executable)
    monkeypatch.setattr(judging, "environment", lambda: {"PYTHONHOME": "/nowhere", "PATH": ""})
    verdicts, _ = judged(RIGHT)
    assert {verdict.mistake for verdict in verdicts} == {"ends its process"}
