"""The notebook: what it calls is there, what it shows is small. Continuous integration runs it (`make notebook`)."""

import ast
import json
import re

from conftest import ROOT

NOTEBOOK = ROOT / "examples" / "forget_an_attribute.ipynb"
MOST_BYTES = 700_000


def code_cells():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def sources():
    return ["".join(cell["source"]).replace("%matplotlib inline", "") for cell in code_cells()]


def test_every_cell_is_python_and_what_it_imports_of_the_house_is_there():
    for source in sources():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in ("utils", "models", "data"):
                module = ROOT.joinpath(*node.module.split(".")).with_suffix(".py").read_text(encoding="utf-8")
                assert all(re.search(rf"^(def|class) {alias.name}\b", module, re.MULTILINE) for alias in node.names)


def test_the_scripts_that_it_runs_are_there():
    scripts = re.findall(r'run\(f?"(\S+\.py)', "\n".join(sources()))
    assert len(scripts) >= 5 and all((ROOT / script).is_file() for script in scripts)


def test_it_is_kept_as_it_was_run_from_top_to_bottom_without_an_error_and_is_small():
    cells = code_cells()
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert not any(output["output_type"] == "error" for cell in cells for output in cell["outputs"])
    assert any("image/png" in output.get("data", {}) for cell in cells for output in cell["outputs"])
    assert NOTEBOOK.stat().st_size < MOST_BYTES
