"""The files that say what the project needs agree with each other and with what the code imports."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CONDA_NAMES = {"pytorch": "torch"}
IMPORT_NAMES = {"PIL": "pillow", "sklearn": "scikit-learn"}
OPEN_RANGE = re.compile(r"^([a-z][a-z0-9-]*)((?:>=\d+(?:\.\d+)*)?)(?:,<\d+(?:\.\d+)*)?$")


CODE = "unlearning_multi_celeba_resnet18_*.py benchmarks data models results tests tools utils"


def requirements(name):
    """{package: range} of a requirements file; lines that include another file are left out."""
    lines = [line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    return dict(OPEN_RANGE.match(line).groups() for line in lines if line and not line.startswith("-r"))


def conda_environment():
    """The few forms of YAML that the file has: `key: value`, `key:` and under it `- item` lines."""
    content, key = {}, None
    for line in (ROOT / "targetunlearning.yaml").read_text().splitlines():
        line = line.split("#")[0].rstrip()
        if line.lstrip().startswith("- "):
            content[key].append(line.strip()[2:].strip())
        elif line:
            key, _, value = (part.strip() for part in line.partition(":"))
            content[key] = value or []
    return content


def imports_of(path):
    """Top-level names of the packages that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")[0]


def third_party(paths):
    """Names of the packages, as an index has them, that some files import and that are not the project's own."""
    own = {path.stem for folder in (ROOT, ROOT / "tests") for path in folder.glob("*.py")} | {"tests"}
    own |= {path.stem for path in (ROOT / "tests").rglob("*.py")}
    own |= {path.name for path in ROOT.iterdir() if path.is_dir()}
    found = {name for path in paths for name in imports_of(path)} - own - set(sys.stdlib_module_names)
    return {IMPORT_NAMES.get(name, name) for name in found}


def files_in(*folders):
    return [path for folder in folders for path in sorted((ROOT / folder).glob("*.py" if folder == "." else "**/*.py"))]


def make_commands(target, *flags):
    if shutil.which("make") is None:
        pytest.skip("no make on this machine")
    outer = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES")  # of the make that may be running this test
    environment = {name: value for name, value in os.environ.items() if name not in outer}
    command = ["make", "--dry-run", "--always-make", "--no-print-directory", target, *flags]
    answer = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return answer.stdout.splitlines()


def test_the_conda_environment_asks_for_what_requirements_txt_asks_for():
    conda = conda_environment()
    assert conda["name"] == "targetunlearning"
    assert conda["channels"] == ["conda-forge"]
    packages = dict(OPEN_RANGE.match(item).groups() for item in conda["dependencies"])
    assert packages.pop("python") == ">=3.10"
    assert {CONDA_NAMES.get(name, name): needed for name, needed in packages.items()} == requirements(
        "requirements.txt"
    )
    project = (ROOT / "pyproject.toml").read_text()
    assert 'requires-python = ">=3.10"' in project
    assert 'dependencies = { file = ["requirements.txt"] }' in project


def test_the_development_requirements_contain_the_run_time_ones():
    assert "-r requirements.txt" in (ROOT / "requirements-dev.txt").read_text().splitlines()
    assert not set(requirements("requirements-dev.txt")) & set(requirements("requirements.txt"))


def test_what_the_code_imports_is_what_requirements_txt_lists():
    optional = set(requirements("requirements-extras.txt"))
    assert not optional & set(requirements("requirements.txt"))
    used = third_party(files_in(".", "utils", "models", "data", "results", "tools"))
    assert used - optional == set(requirements("requirements.txt"))


def test_what_the_tests_import_is_listed():
    listed = set(requirements("requirements.txt")) | set(requirements("requirements-dev.txt"))
    assert third_party(files_in("tests")) <= listed


def test_continuous_integration_runs_make_test_and_make_test_runs_lint_and_pytest():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    commands = [line for line in script.read_text().splitlines() if line and not line.startswith("#")]
    assert commands[0] == "set -euo pipefail"
    assert [line for line in commands if "make" in line.split()] == [
        "make test",
        "NOTEBOOK_FACES=300 NOTEBOOK_EPOCHS=1 make notebook",
    ]
    called = make_commands("test", "PYTHON=python")
    assert called == [
        f"python -m ruff check {CODE}",
        f"python -m ruff format --check {CODE}",
        "python -m pytest -n 2 --dist worksteal",
    ]


def test_lint_looks_at_all_of_the_project_and_at_nothing_beside_it():
    looked_at = {path for part in CODE.split() for path in ROOT.glob(part)}
    tracked = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert all({ROOT / name, *(ROOT / name).parents} & looked_at for name in tracked.stdout.splitlines())
    assert ROOT not in looked_at


def test_without_an_environment_of_ones_own_make_installs_one_first():
    called = make_commands("test")
    assert called[0] == "python3 -m venv .venv"
    assert called[1] == ".venv/bin/python -m pip install -r requirements-dev.txt"
    assert called[-1] == ".venv/bin/python -m pytest -n 2 --dist worksteal"


def test_the_demo_draws_faces_and_runs_the_three_scripts_in_order_with_one_seed_then_erases():
    called = make_commands("demo", "PYTHON=python", "SEED=7")
    run = [line.split()[1] if " -m " not in line else line.split()[2] for line in called]
    steps = [f"unlearning_multi_celeba_resnet18_{step}.py" for step in ("original", "generate_graph", "unlearning")]
    train, score, unlearn = steps
    order = ["data/make_synthetic_celeba.py", train, train, score, unlearn, unlearn, "tools.compare"]
    assert run == order  # original and oracle, pruned, erased, one table at the end
    assert "--leave_out Bald" in called[2] and "--method erase" in called[5]
    scripts = [line for line in called if "unlearning_multi" in line]
    assert all("--seed 7" in line and "--data_path data/synthetic_celeba" in line for line in scripts)


@pytest.mark.parametrize("name", ["Makefile", ".ci/run", "pyproject.toml", "requirements.txt", "targetunlearning.yaml"])
def test_project_files_name_no_host_no_machine_and_no_pinned_version(name):
    content = (ROOT / name).read_text()
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links", content)
    assert not re.search(r"(?<![\w.])/(work|root|home|opt)/", content)
    assert not re.search(r"==\s*\d", content)


def test_git_ignores_what_is_made_and_keeps_what_is_shown():
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git clone")
    made = [".venv/bin/python", "data/synthetic_celeba/list_attr_celeba.txt", "checkpoints/a/original.pth"]
    made += [
        "graphs/a/b.json",
        "important/a.txt",
        "cache/a.bin",
        "results/a/b/report.html",
        "results/results.jsonl",
        "utils/__pycache__/a.pyc",
    ]
    kept = ["data/README.md", "data/make_synthetic_celeba.py", "results/lines/audit.jsonl", "results/tables.md"]
    kept += ["results/pictures/comparison.png", "results/make_tables.py", "models/resnet18.py"]
    command = ["git", "check-ignore", "--no-index", *made, *kept]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.stdout.splitlines() == made
