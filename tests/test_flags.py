"""Every flag is read by somebody: one that is renamed or mistyped on one side only would be passed over in silence."""

import ast
import importlib
import inspect

import pytest
from conftest import ROOT, STEP_1, STEP_2, STEP_3

SCRIPTS = (
    STEP_1,
    STEP_2,
    STEP_3,
    "tools.audit",
    "tools.choose_strength",
    "tools.export",
    "tools.shrink",
    "tools.compare",
    "tools.report",
)
BY_THE_PARSER = {"help", "setting"}
# step 1 appends no line, the audit names its files: they take these so that one list of flags goes with every command
FOR_THE_OTHERS = {STEP_1: {"results"}, "tools.audit": {"save_path"}}


def tree_of(script):
    return ast.parse((ROOT / (script.replace(".", "/") + ".py")).read_text(encoding="utf-8"))


def flags_of(script):
    return {action.dest for action in importlib.import_module(script).get_args_parser()._actions} - BY_THE_PARSER


def named(call):
    """Name of what a call calls, without the module before it."""
    return getattr(call.func, "id", getattr(call.func, "attr", ""))


def imported(tree):
    """{name in a script: object} of the functions, and of those in modules, that the script imports from here."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in ("utils", "tools", "models"):
            for alias in node.names:
                owner = importlib.import_module(node.module)
                one = getattr(owner, alias.name, None) or importlib.import_module(f"{node.module}.{alias.name}")
                found |= (
                    dict(inspect.getmembers(one, inspect.isfunction)) if inspect.ismodule(one) else {alias.name: one}
                )
    return found


def gives_flags(node):
    """Whether an expression has the flags of a script in it: vars(args), or `flags`, which step 1 calls them."""
    names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    return bool(names & {"vars", "flags"})


def takers(tree):
    """(functions that take flags as keywords, functions that take them as a dictionary) in the calls of a script."""
    functions, keywords, dictionaries = imported(tree), [], []
    for call in [node for node in ast.walk(tree) if isinstance(node, ast.Call) and named(node) in functions]:
        if any(word.arg is None and gives_flags(word.value) for word in call.keywords):
            keywords.append(functions[named(call)])
        elif any(gives_flags(value) for value in call.args):
            dictionaries.append(functions[named(call)])
    return keywords, dictionaries


def keyword_names(function):
    """Names that a function takes as keywords only, those of functions that it passes the others on to among them."""
    names = {name for name, one in inspect.signature(function).parameters.items() if one.kind is one.KEYWORD_ONLY}
    for call in ast.walk(ast.parse(inspect.getsource(function))):
        if isinstance(call, ast.Call) and any(word.arg is None and named_flags(word.value) for word in call.keywords):
            names |= keyword_names(function.__globals__[named(call)])
    return names


def named_flags(node):
    return isinstance(node, ast.Name) and node.id == "flags"


def subscripts(function):
    """Texts that a function and its neighbours in the file subscript something with: flags["seed"]."""
    tree = ast.parse(inspect.getsource(inspect.getmodule(function)))
    texts = {
        node.slice.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant)
    }
    return texts | {
        node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def read_by(script, tree):
    own = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "args"
    }
    keywords, dictionaries = takers(tree)
    return own.union(*map(keyword_names, keywords), *map(subscripts, dictionaries))


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_flag_of_a_script_is_read(script):
    unread = flags_of(script) - read_by(script, tree_of(script)) - FOR_THE_OTHERS.get(script, set())
    assert not unread, f"{script} has flags that nothing reads: {', '.join(sorted(unread))}"


@pytest.mark.parametrize("script", SCRIPTS)
def test_what_a_script_reads_are_its_flags(script):
    tree = tree_of(script)
    attributes = {
        n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and getattr(n.value, "id", "") == "args"
    }
    assert attributes <= flags_of(script) | BY_THE_PARSER


@pytest.mark.parametrize("script", SCRIPTS)
def test_what_functions_take_by_name_are_flags(script):
    for function in takers(tree_of(script))[0]:
        unknown = keyword_names(function) - flags_of(script) - {"device", "settings", "given"}
        assert not unknown, f"{function.__name__} of {script} takes {', '.join(sorted(unknown))}: no such flag"


def test_a_flag_that_nothing_reads_is_seen(monkeypatch):
    module = importlib.import_module(STEP_3)
    made = module.get_args_parser

    def with_one_more():
        parser = made()
        parser.add_argument("--splitt")
        return parser

    monkeypatch.setattr(module, "get_args_parser", with_one_more)
    assert flags_of(STEP_3) - read_by(STEP_3, tree_of(STEP_3)) == {"splitt"}
