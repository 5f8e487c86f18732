"""The rules of the house as functions: each takes the root of a tree and returns a line for everything that breaks it.

A folder is named as it stands under the root ("utils/common", "models"); "scripts" are the root's own .py files.
"""

import ast
import re
from functools import cache
from graphlib import CycleError, TopologicalSorter
from itertools import combinations

CODE = ("utils", "models", "data", "tools", "benchmarks", "results")
LIBRARY = ("utils", "models")
COMMANDS = ("scripts", "tools", "benchmarks")
#: what a docstring shows when it says what goes in or comes out: a section, a shape such as (N, C), a {key: value}
STRUCTURE = re.compile(r"Args:|Yields|[Rr]eturns|\{|\([A-Z]\w*'?(, ?[\w'…* +-]+)*,?\)")


def files_of(root, *folders):
    """Paths of all .py files of some folders, sorted; without a folder named, of all of them."""
    found = []
    for folder in folders or (*CODE, "scripts"):
        found += (root / folder).rglob("*.py") if folder != "scripts" else scripts_of(root)
    return sorted(found)


def scripts_of(root):
    """The scripts in the root; the other files there are of whoever works in this clone. In a small tree: all."""
    return [*root.glob("unlearning_*.py")] or [*root.glob("*.py")]


def folder_of(path, root):
    """The folder that a file belongs to: "utils/<folder>", another top folder, or "scripts"."""
    parts = path.relative_to(root).parts[:-1]
    return "/".join(parts[: 2 if parts[:1] == ("utils",) else 1]) or "scripts"


@cache
def parsed(path):
    """Syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def place(path, root, node):
    """FILE:LINE of a node of a syntax tree."""
    return f"{path.relative_to(root).as_posix()}:{node.lineno}"


def imported_files(path, root):
    """{file of this tree that another one imports, anywhere in it: the import}."""
    found = {}
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(root).parts[: -node.level] if node.level else ()
            module = ".".join([*package, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            file = file_named(name, root) or file_named(name.rpartition(".")[0], root)
            if file and file != path:
                found.setdefault(file, node)
    return found


def file_named(module, root):
    """The file of a module of this tree; None if it is no module of it."""
    stem = root / module.replace(".", "/")
    files = (stem.with_name(f"{stem.name}.py"), stem / "__init__.py") if module else ()
    return next((file for file in files if file.is_file()), None)


def imports_between(root):
    """{folder: {folder that it imports}} of all folders, each without itself."""
    edges = {}
    for path in files_of(root):
        others = {folder_of(file, root) for file in imported_files(path, root)}
        edges.setdefault(folder_of(path, root), set()).update(others - {folder_of(path, root)})
    return edges


def wrong_directions(root, may_import):
    """Imports beyond `may_import` {folder or file: {folder}}; every folder but the scripts may import itself."""
    wrong = []
    for path in files_of(root):
        own = folder_of(path, root)
        allowed = may_import.get(own, set()) | may_import.get(path.relative_to(root).as_posix(), set())
        for file, node in imported_files(path, root).items():
            other = folder_of(file, root)
            if other not in allowed and (other != own or own == "scripts"):
                wrong.append(f"{place(path, root, node)}: {own} imports {other}")
    return wrong


def circles(root):
    """The first circle of files that import each other, if there is one."""
    graph = {path: set(imported_files(path, root)) for path in files_of(root)}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [" imports ".join(path.relative_to(root).as_posix() for path in reversed(error.args[1]))]
    return []


def long_files(root, most):
    """Files of more than `most` lines."""
    sizes = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files_of(root)}
    return [f"{path.relative_to(root).as_posix()}: {size} lines" for path, size in sizes.items() if size > most]


def full_folders(root, most):
    """Folders with more than `most` files beside __init__.py."""
    counts = {}
    for path in files_of(root, *CODE):
        counts[path.parent] = counts.get(path.parent, 0) + (path.name != "__init__.py")
    return [f"{path.relative_to(root).as_posix()}: {n} files" for path, n in counts.items() if n > most]


def takers_of_args(root):
    """Functions of the library that take the parsed command line."""
    wrong = []
    for path in files_of(root, *LIBRARY):
        for node in ast.walk(parsed(path)):
            if isinstance(node, (ast.FunctionDef, ast.Lambda)) and "args" in names_of_parameters(node):
                wrong.append(f"{place(path, root, node)}: {getattr(node, 'name', 'lambda')} takes args")
    return wrong


def names_of_parameters(function):
    """Names of a function's parameters without self and cls, * and ** ones left out."""
    given = function.args
    names = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return [name for name in names if name not in ("self", "cls")]


def long_mains(root, most):
    """`main` of a script or tool that has more than `most` lines."""
    wrong = []
    for path in files_of(root, "scripts", "tools"):
        for node in parsed(path).body:
            if isinstance(node, ast.FunctionDef) and node.name == "main" and node.end_lineno - node.lineno >= most:
                wrong.append(f"{place(path, root, node)}: main has {node.end_lineno - node.lineno + 1} lines")
    return wrong


def imports_inside(root):
    """Imports inside a function; in a script or tool one block of them may open `main`."""
    wrong = []
    for path in files_of(root, "utils", "models", "benchmarks", "results", "tools", "scripts"):
        allowed = opening_imports(parsed(path)) if folder_of(path, root) in ("scripts", "tools") else set()
        for function in ast.walk(parsed(path)):
            if isinstance(function, ast.FunctionDef):
                inside = [node for node in ast.walk(function) if isinstance(node, (ast.Import, ast.ImportFrom))]
                lines = {node.lineno: node for node in inside if node.lineno not in allowed}
                wrong += [f"{place(path, root, node)}: an import inside {function.name}" for node in lines.values()]
    return wrong


def opening_imports(tree):
    """Lines of the imports that open `main`, behind its docstring."""
    main = next((node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "main"), None)
    lines = set()
    for node in main.body[ast.get_docstring(main) is not None :] if main else ():
        if not isinstance(node, (ast.Import, ast.ImportFrom)):
            break
        lines.add(node.lineno)
    return lines


def public_things(tree):
    """(name, node) of the public classes and functions of a file and of the public methods of its public classes."""
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            yield node.name, node
            for method in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                    yield f"{node.name}.{method.name}", method


def raises_itself(function):
    """Whether a function's own body raises an error: not a function in it, and not one that it hands on."""
    waiting = list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Raise) and node.exc is not None:
            return True
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Lambda)):
            waiting += ast.iter_child_nodes(node)
    return False


def poor_docstrings(root):
    """Public things of the library without a docstring, or with one that keeps silent.

    A function that raises says "Raises". One of two parameters and more says what goes in or comes out: it has a
    section, a shape or a mapping (STRUCTURE), or at least names one of the parameters.
    """
    wrong = []
    for path in files_of(root, *LIBRARY):
        for name, node in public_things(parsed(path)):
            text = ast.get_docstring(node) or ""
            if not text:
                wrong.append(f"{place(path, root, node)}: {name} has no docstring")
            elif isinstance(node, ast.FunctionDef):
                names = names_of_parameters(node)
                if raises_itself(node) and "Raises" not in text:
                    wrong.append(f"{place(path, root, node)}: {name} raises, its docstring does not say what")
                if len(names) > 1 and not STRUCTURE.search(text) and not {*names} & {*re.findall(r"\w+", text)}:
                    wrong.append(f"{place(path, root, node)}: {name} does not say what it takes or gives")
    return wrong


def lists_of_exports(root):
    """Files that have an `__all__`."""
    named = [
        (path, node)
        for path in files_of(root)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Name) and node.id == "__all__"
    ]
    return [f"{place(path, root, node)}: __all__" for path, node in named]


def stray_test_folders(root):
    """Folders of tests/ that mirror no folder of the code."""
    mirrored = {path.name for path in (root / "utils").iterdir() if path.is_dir()} | {*CODE} - {"utils"}
    mirrored = {name for name in mirrored if any((root / parent / name).is_dir() for parent in ("", "utils"))}
    folders = {path.parent for path in (root / "tests").rglob("*.py")} - {root / "tests"}
    return [f"tests/{path.name} mirrors nothing" for path in sorted(folders) if path.name not in mirrored]


def poor_script_heads(root):
    """Scripts and tools whose docstring lacks what they read, write, or the command that runs them."""
    wrong = []
    for path in files_of(root, "scripts", "tools"):
        tree = parsed(path)
        if not any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
            continue
        command = f"python {path.name}" if path.parent == root else f"python -m tools.{path.stem}"
        missing = [word for word in ("Reads ", "Writes ", command) if word not in (ast.get_docstring(tree) or "")]
        wrong += [f"{path.relative_to(root).as_posix()}: its docstring lacks {word!r}" for word in missing]
    return wrong


def copied_lines(root, most):
    """Pairs of scripts, tools and benchmarks that share more than `most` lines in a row; blanks and comments aside."""
    runs = {}
    for path in files_of(root, *COMMANDS):
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        lines = [line for line in lines if line and not line.startswith(("#", "import ", "from "))]
        runs[path] = {tuple(lines[i : i + most + 1]) for i in range(len(lines) - most)}
    shared = {pair: runs[pair[0]] & runs[pair[1]] for pair in combinations(runs, 2)}
    return [f"{a.name} and {b.name} share: {sorted(same)[0][0]} …" for (a, b), same in shared.items() if same]
