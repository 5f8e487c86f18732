"""The rules that keep the code readable: imports run one way, rooms take what they need, main reads at a glance."""

import ast

import pytest
from conftest import ROOT, STEP_1, STEP_2, STEP_3

ROOMS = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for folder in ("utils", "models")
    for path in sorted((ROOT / folder).glob("*.py"))
}


def rooms_imported_by(path):
    """Names of the project's rooms that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    own = {name.removesuffix(".__init__"): name for name in ROOMS}
    return {own[name] for name in found & set(own)} - {"utils.__init__"}


def test_imports_run_downwards_only():
    below = {name: rooms_imported_by(path) - {name} for name, path in ROOMS.items()}
    while below:
        floor = [name for name, needs in below.items() if not needs & set(below)]
        assert floor, f"a circle among {sorted(below)}"
        for name in floor:
            del below[name]


def test_no_room_reads_the_parsed_arguments():
    for name, path in ROOMS.items():
        if name == "utils.common.arguments":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                assert "args" not in [argument.arg for argument in node.args.args], f"{name}.{node.name}"


@pytest.mark.parametrize("script", [STEP_1, STEP_2, STEP_3])
def test_main_is_short_and_the_docstring_says_what_is_read_and_written(script):
    tree = ast.parse((ROOT / f"{script}.py").read_text(encoding="utf-8"))
    main = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "main")
    assert main.end_lineno - main.lineno + 1 < 45
    assert all(word in ast.get_docstring(tree) for word in ("Reads", "Writes", f"python {script}.py"))


def test_reader_and_generator_know_the_same_attributes_in_the_same_order():
    from data.synthetic_attributes import ATTRIBUTES as drawn
    from utils.datasets.layouts import ATTRIBUTES as read

    assert drawn == read and len(set(read)) == 40
