"""What holds for the package as a whole: quick import, one-way imports, portable source."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import bertnp

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "bertnp").rglob("*.py"))


def test_import_loads_nothing_heavy():
    heavy = "{'matplotlib', 'scipy', 'tqdm', 'safetensors', 'torch', 'transformers', 'cupy'}"
    code = f"import sys, bertnp; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("name", bertnp.__all__)
def test_public_names_load(name):
    assert getattr(bertnp, name) is not None


def test_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'BertForNothing'"):
        _ = bertnp.BertForNothing


def test_import_contract():
    pytest.importorskip("importlinter")
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8")
    assert result.returncode == 0, result.stdout + result.stderr


def is_peer(path):
    """What bertnp is measured against runs as a program of its own, which nothing imports."""
    return path.parent.name == "bench" and path.name.endswith("_peer.py")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_source_is_portable_and_self_contained(path):
    """No module of one system only is imported unguarded, and no framework at all."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    guarded = {id(n) for block in ast.walk(tree) if isinstance(block, ast.Try) for n in ast.walk(block)}
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        for name in names:
            top = name.partition(".")[0]
            assert top not in {"torch", "transformers", "tokenizers", "onnxruntime"} or is_peer(path)
            assert not name.endswith("_peer") and not any(a.name.endswith("_peer") for a in getattr(node, "names", ()))
            assert top not in {"fcntl", "resource", "pwd", "grp", "termios"} or id(node) in guarded


def test_readme_has_the_two_commands():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^python3 -m venv \.venv && .*$", text, re.M)
    assert len(commands) == 2
    for script in re.findall(r"(chapters/\w+\.py)", text):
        assert (ROOT / script).exists()
