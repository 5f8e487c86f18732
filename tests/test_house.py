"""The rules of the house hold in this tree, and each rule's check sees the rule broken in a small one."""

import house_page as page
import house_rules as rules
import pytest
from conftest import ROOT

from data.synthetic.faces.attributes import ATTRIBUTES as DRAWN
from utils.layouts.celeba import ATTRIBUTES as READ

#: a folder imports what stands above it, not its neighbours on the line
LAYERS = [
    ["utils/common"],
    ["models"],
    ["utils/network"],
    ["utils/layouts"],
    ["utils/datasets"],
    ["utils/evaluation"],
    ["utils/training"],
    ["utils/graph"],
    ["utils/pruning", "utils/erasure"],
    ["utils/probes"],
    ["utils/attacks"],
    ["utils/audit"],
    ["utils/report"],
    ["utils/page"],
    ["tools"],
    ["scripts", "benchmarks"],
]
MAY_IMPORT = {
    folder: {name for layer in LAYERS[:i] for name in layer} for i, row in enumerate(LAYERS) for folder in row
}
MAY_IMPORT["data"] = MAY_IMPORT["results"] = {"utils/common"}
MAY_IMPORT["data/prepare_celeba.py"] = {"utils/datasets", "utils/layouts"}  # it writes the tables that they read
MAY_IMPORT["data/contact_sheet.py"] = {"utils/datasets", "utils/layouts"}  # it shows images of any folder of theirs
MAY_IMPORT["data/inspect_folder.py"] = {"utils/layouts"}  # it says what they make of a folder

CHECKS = {
    "imports run one way": lambda root: rules.wrong_directions(root, MAY_IMPORT),
    "no circle of files": rules.circles,
    "a file has one job and at most 250 lines": lambda root: rules.long_files(root, 250),
    "a folder has at most ten files": lambda root: rules.full_folders(root, 10),
    "below the scripts nothing takes the parsed arguments": rules.takers_of_args,
    "main has at most 40 lines": lambda root: rules.long_mains(root, 40),
    "imports stand at the top, or open the main of a script": rules.imports_inside,
    "docstrings say what goes in, what comes out and what is raised": rules.poor_docstrings,
    "a name is imported from where it lives": rules.lists_of_exports,
    "tests mirror the folders": rules.stray_test_folders,
    "a script's docstring says what it reads, writes and how it is run": rules.poor_script_heads,
    "no six lines are shared by two scripts, tools or benchmarks": lambda root: rules.copied_lines(root, 5),
    "the house's page draws the imports": page.wrong_edges,
    "the house's page lists the files": page.wrong_lists,
}


@pytest.mark.parametrize("rule", CHECKS)
def test_the_rule_holds(rule):
    broken = CHECKS[rule](ROOT)
    assert not broken, "\n".join([rule, *broken])


def test_every_folder_has_its_line_in_the_table_and_the_page_stays_a_page():
    folders = {rules.folder_of(path, ROOT) for path in rules.files_of(ROOT)} - {"utils"}
    assert folders <= set(MAY_IMPORT)
    assert len(page.page_of(ROOT).splitlines()) <= 180


def test_reader_and_generator_know_the_same_attributes_in_the_same_order():
    assert DRAWN == READ and len(set(READ)) == 40


HEAD = '"""Do it.\n\nReads a\nWrites b\n\n    {}\n"""\n'
SIX = "".join(f"print({n})\n" for n in range(6))
#: {rule: [files of a small tree that breaks it, and a part of what is reported]}
BROKEN = {
    "imports run one way": [
        (
            {"utils/common/a.py": "import utils.report.b", "utils/report/b.py": ""},
            "a.py:1: utils/common imports utils/r",
        ),
        (
            {"utils/pruning/a.py": "from utils.erasure import b", "utils/erasure/b.py": ""},
            "pruning imports utils/erasure",
        ),
        (
            {"utils/erasure/a.py": "def f():\n    import utils.pruning.b", "utils/pruning/b.py": ""},
            "a.py:2: utils/erasure",
        ),
        ({"models/a.py": "from utils.network.b import c", "utils/network/b.py": ""}, "models imports utils/network"),
        ({"utils/graph/a.py": "from ..report.b import c", "utils/report/b.py": ""}, "utils/graph imports utils/r"),
        ({"one.py": "import two", "two.py": ""}, "one.py:1: scripts imports scripts"),
        ({"data/a.py": "import utils.datasets.b", "utils/datasets/b.py": ""}, "data imports utils/datasets"),
        ({"tools/a.py": "import benchmarks.b", "benchmarks/b.py": ""}, "tools imports benchmarks"),
        ({"utils/new/a.py": "import models", "models/__init__.py": ""}, "utils/new imports models"),
    ],
    "no circle of files": [
        (
            {f"utils/common/{one}.py": f"from utils.common import {other}" for one, other in ("ab", "bc", "ca")},
            "utils/common/a.py imports utils/common/b.py",
        ),
    ],
    "a file has one job and at most 250 lines": [({"utils/common/a.py": "x = 1\n" * 251}, "a.py: 251 lines")],
    "a folder has at most ten files": [
        ({f"utils/common/{name}.py": "" for name in ["__init__", *"abcdefghijk"]}, "utils/common: 11 files"),
    ],
    "below the scripts nothing takes the parsed arguments": [
        ({"utils/common/a.py": "class A:\n    def f(self, *, args): ..."}, "a.py:2: f takes args"),
        ({"models/a.py": "f = lambda args: args.x"}, "models/a.py:1: lambda takes args"),
    ],
    "main has at most 40 lines": [
        ({"a.py": "def main(args):\n" + "    x = 1\n" * 40}, "a.py:1: main has 41 lines"),
        ({"tools/a.py": "def main(args):\n" + "    x = 1\n" * 40}, "tools/a.py:1: main has 41 lines"),
    ],
    "imports stand at the top, or open the main of a script": [
        ({"utils/common/a.py": "def f():\n    import json"}, "utils/common/a.py:2: an import inside f"),
        ({"benchmarks/a.py": "def main(args):\n    import json"}, "benchmarks/a.py:2: an import inside main"),
        ({"a.py": "def main(args):\n    x = 1\n    import json"}, "a.py:3: an import inside main"),
        ({"tools/a.py": "def run():\n    if 1:\n        from json import loads"}, "tools/a.py:3: an import inside run"),
    ],
    "docstrings say what goes in, what comes out and what is raised": [
        ({"models/a.py": "def f(): ..."}, "f has no docstring"),
        ({"utils/common/a.py": 'class A:\n    """A."""\n    def f(self): ...'}, "A.f has no docstring"),
        ({"models/a.py": 'def f():\n    """Do."""\n    if 1:\n        raise ValueError'}, "f raises, its docstring"),
        ({"models/a.py": 'def f(a, b):\n    """Do it to everything."""'}, "f does not say what it takes"),
    ],
    "a name is imported from where it lives": [
        ({"models/__init__.py": "__all__ = []"}, "models/__init__.py:1: __all__")
    ],
    "tests mirror the folders": [({"tests/colours/test_a.py": "", "utils/common/a.py": ""}, "tests/colours mirrors")],
    "a script's docstring says what it reads, writes and how it is run": [
        ({"a.py": HEAD.format("python b.py") + "def main(args): ..."}, "a.py: its docstring lacks 'python a.py'"),
        ({"tools/a.py": HEAD.format("python a.py") + "def main(args): ..."}, "lacks 'python -m tools.a'"),
        ({"a.py": '"""python a.py Reads x"""\ndef main(args): ...'}, "a.py: its docstring lacks 'Writes '"),
    ],
    "no six lines are shared by two scripts, tools or benchmarks": [
        ({"a.py": SIX, "benchmarks/b.py": f"import x\n{SIX}"}, "a.py and b.py share: print(0)"),
        ({"tools/a.py": SIX, "b.py": SIX.replace("\n", "\n\n# so\n")}, "b.py and a.py share"),
    ],
    "the house's page draws the imports": [
        (
            {"docs/HOUSE.md": "", "a.py": "import models", "models/__init__.py": ""},
            "lacks the arrow scripts --> models",
        ),
        ({"docs/HOUSE.md": "```mermaid\n  a --> b & c\n```\n"}, "the arrow a --> c too many"),
    ],
    "the house's page lists the files": [
        ({"docs/HOUSE.md": "", "models/a.py": '"""It."""'}, "lacks under models:   - `a` It."),
        ({"docs/HOUSE.md": "- **models**\n  - `b` it", "models/__init__.py": ""}, "lists models/b, which is not there"),
    ],
}


def plant(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "utils").mkdir(exist_ok=True)
    (folder / "tests").mkdir(exist_ok=True)
    return folder


def test_every_rule_has_a_tree_that_breaks_it():
    assert list(BROKEN) == list(CHECKS)


@pytest.mark.parametrize(
    ("rule", "files", "expected"), [(rule, *case) for rule, cases in BROKEN.items() for case in cases]
)
def test_a_broken_rule_is_seen(rule, files, expected, tmp_path):
    broken = CHECKS[rule](plant(tmp_path, files))
    assert any(expected in line for line in broken), broken


FIVE = f"import json\nimport os\n{SIX[9:]}"
GOOD = {
    "a.py": HEAD.format("python a.py")
    + "def main(args):\n    'Do.'\n    import utils.common.c\n    from tools import b\n",
    "tools/b.py": HEAD.format("python -m tools.b") + f"import models\n\ndef main(args): ...\n{FIVE}print(7)\n",
    "benchmarks/b.py": f"import tools.b\n{FIVE}print(6)\n",
    "models/__init__.py": "from utils.common.c import f",
    "utils/common/c.py": (
        'def f(a, b):\n    """As `a` says."""\n    try:\n        b()\n    except ValueError:\n        raise\n\n'
        'def g(a, b):\n    """(N, C) sums."""\n    def h():\n        raise ValueError\n    return h\n\n'
        'def i(n):\n    """Raises: ValueError"""\n    raise ValueError(n)\n\ndef _k(a, b): ...\n\n'
        'class L:\n    """L."""\n    def _m(self): ...\n'
    ),
    "data/prepare_celeba.py": "import utils.datasets.d",
    "utils/datasets/d.py": "from ..common import c",
    "tests/common/test_c.py": "import models",
    "docs/HOUSE.md": "```mermaid\n  scripts --> tools\n  benchmarks --> tools\n  tools --> models\n"
    "  models --> common\n  data --> datasets\n  datasets --> common\n```\n\n- **utils/common** x\n  - `c` it\n"
    "- **tools**\n  - `b` it\n- **utils/datasets**\n  - `d` it\n",
}


@pytest.mark.parametrize("rule", CHECKS)
def test_a_tree_that_keeps_the_rules_passes(rule, tmp_path):
    assert CHECKS[rule](plant(tmp_path, GOOD)) == []
