import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny_model import toy_sentences, write_table

from bertnp.cli import COMMANDS, main, one_line

ROOT = Path(__file__).parents[2]


def start(*args, **options):
    """`python -m bertnp` in a process of its own, which warns where a file is opened without naming its encoding."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **options.pop("environment", {})}
    return subprocess.Popen(
        [sys.executable, "-X", "warn_default_encoding", "-m", "bertnp", *map(str, args)],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
    )  # fmt: skip


def finish(process, data=None):
    """(exit code, standard output, standard error), the latter without such warnings about other packages."""
    out, err = process.communicate(data, timeout=120)
    return process.returncode, out, without_others_warnings(err)


def without_others_warnings(err):
    own = re.escape(str(ROOT / "bertnp").encode())
    return re.sub(rb"(?m)^(?!" + own + rb").*: EncodingWarning: .*\r?\n(?:  .*\r?\n)?", b"", err)


def test_warnings_about_our_own_files_are_seen():
    ours = f"{ROOT / 'bertnp' / 'a.py'}:3: EncodingWarning: 'encoding' argument not specified\n  open(x)\n".encode()
    theirs = b"/lib/site-packages/b.py:3: EncodingWarning: 'encoding' argument not specified\n  open(x)\n"
    assert without_others_warnings(theirs + ours + theirs) == ours


def test_help_and_version(run):
    from bertnp import __version__

    assert run("--version") == (0, f"bertnp {__version__}\n", "")
    code, out, err = run("--help")
    assert code == 0 and err == "" and "examples:" in out
    assert all(f"  {name}  " in out for name in COMMANDS)
    assert run()[:2] == (0, out)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_examples(run, name):
    code, out, err = run(name, "--help")
    assert code == 0 and err == ""
    assert f"usage: bertnp {name}" in out and f"\n  bertnp {name} " in out.partition("examples:")[2]


def test_every_example_can_be_parsed(run):
    """Each example's options exist: it fails for its missing files, not for its arguments."""
    import importlib
    import shlex

    for name in ("pretrain", "plot", "finetune", "evaluate", "predict", "fill-mask", "next-sentence", "info"):
        for line in importlib.import_module(f"bertnp.cli.{name.replace('-', '_')}").EXAMPLES.splitlines():
            if f"bertnp {name}" in line:
                code, _, err = run(*shlex.split(line.partition("bertnp ")[2]))
                assert code == 2 and "--help" not in err, (line, err)


def test_a_command_that_is_not_there(refused):
    assert refused("finetun").startswith("there is no command 'finetun'; there are tour, vocab, instances, pretrain, ")
    assert "unrecognized" in refused("info", "a", "--tensor")


def test_errors_are_one_line():
    assert one_line(ValueError("two\n  lines")) == "two lines"
    assert one_line(OSError(28, "No space left on device", "a.bin")) == "a.bin: No space left on device"
    assert one_line(MemoryError()).startswith("not enough memory")
    assert one_line(TypeError()) == "TypeError"


def test_debugging_shows_where_an_error_came_from(run, monkeypatch, tmp_path):
    monkeypatch.setenv("BERTNP_DEBUG", "1")
    code, _, err = run("info", tmp_path / "no")
    assert code == 2 and "Traceback" in err and err.splitlines()[-1].startswith("bertnp: error: there is no folder")


def test_python_m_bertnp_reads_utf8_and_writes_what_the_terminal_can_show(classifier):
    """Bytes in, bytes out; nothing depends on the system's own encoding, and no file is opened by it."""
    process = start("predict", "-", "--model", classifier, stdin=subprocess.PIPE,
                    environment={"PYTHONIOENCODING": "cp1252"})  # fmt: skip
    code, out, err = finish(process, "the film é\nthe day 很好\n".encode())
    assert (code, err) == (0, b"")
    lines = out.decode("cp1252").splitlines()
    assert lines[0].endswith("\tthe film é") and lines[1].endswith("\tthe day \\u5f88\\u597d")


def test_finetune_in_a_process_of_its_own(pretrained, tmp_path):
    rows = [(text + " é 很", {"pos": "喜", "neg": "悲"}[label]) for text, label in toy_sentences(20)]
    file = write_table(tmp_path / "Übung 很.tsv", rows)
    process = start("finetune", file, "--model", pretrained, "-o", tmp_path / "out 很", "--epochs", "1",
                    environment={"PYTHONIOENCODING": "cp1252", "PYTHONHASHSEED": "1"})  # fmt: skip
    code, out, err = finish(process)
    assert code == 0, err
    assert b"\\u559c" in out and err == b""
    code, out, err = finish(start("evaluate", file, "--model", tmp_path / "out 很"))
    assert code == 0 and b"accuracy" in out, err


def test_an_error_in_a_process_of_its_own(tmp_path):
    code, out, err = finish(start("info", tmp_path / "很", environment={"PYTHONIOENCODING": "cp1252"}))
    assert code == 2 and out == b""
    assert err.startswith(b"bertnp: error: there is no folder") and err.count(b"\n") == 1


def test_a_reader_that_has_seen_enough_is_no_error(classifier):
    process = start("predict", "-", "--model", classifier, "--format", "jsonl", stdin=subprocess.PIPE)
    process.stdout.close()
    try:
        process.stdin.write(b"the film\n" * 5000)
        process.stdin.close()
    except BrokenPipeError:
        pass
    assert without_others_warnings(process.stderr.read()) == b""
    process.stderr.close()
    assert process.wait(timeout=120) == 0


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Ctrl-C can't be sent to one process only on this system")
def test_ctrl_c_leaves_the_best_model_and_no_traceback(pretrained, tmp_path):
    file = write_table(tmp_path / "train.tsv", toy_sentences(200))
    process = start(
        "finetune", file, "--model", pretrained, "-o", tmp_path / "out", "--epochs", "100000",
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background shell's children ignore it
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (tmp_path / "out" / "metrics.json").exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    code, out, err = finish(process)
    assert code == 130 and b"stopped; the best model so far" in out
    assert err == b"bertnp: stopping after this step; press Ctrl-C again to stop at once\n"
    assert main(["info", str(tmp_path / "out")]) == 0
