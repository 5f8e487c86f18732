"""Tools, benchmarks and the others run as files, from any folder and through links, as `python -m` runs them."""

import argparse
import ast
import importlib
import subprocess
import sys

import pytest
from conftest import ROOT, STEP_2

FOLDERS = ("tools", "benchmarks", "results", "data")
RUN = [path for name in FOLDERS for path in sorted((ROOT / name).glob("*.py")) if "__main__" in path.read_text("utf-8")]


@pytest.mark.parametrize("path", RUN, ids=lambda path: path.name)
def test_the_clone_is_found_before_anything_of_it_is_imported(path):
    lines = [node for node in ast.parse(path.read_text(encoding="utf-8")).body]
    ours = [n.lineno for n in lines if isinstance(n, ast.ImportFrom) and (ROOT / n.module.split(".")[0]).is_dir()]
    found = [
        n.lineno for n in lines if isinstance(n, ast.Expr) and ast.unparse(n).startswith("sys.path.insert(0, str(")
    ]
    assert found and found[0] < min(ours)


@pytest.mark.parametrize("path", [path for path in RUN if "def get_args_parser" in path.read_text("utf-8")], ids=str)
def test_every_parser_explains_its_flags(path):
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    parser = module.get_args_parser()
    shown = " ".join(parser.format_help().split())
    told = [action for action in parser._actions if action.help != argparse.SUPPRESS]
    flags = [flag for action in told for flag in action.option_strings[:1]]
    assert flags and [flag for flag in flags if flag not in shown] == []
    assert [action.dest for action in told if not action.help] == []


@pytest.mark.parametrize("script", ["tools/compare.py", f"{STEP_2}.py"])
def test_a_script_runs_from_another_folder_and_through_a_link(script, tmp_path):
    (tmp_path / "link.py").symlink_to(ROOT / script)
    for path in (ROOT / script, "link.py"):
        command = [sys.executable, str(path), "--help"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0 and "usage:" in done.stdout, done.stderr
