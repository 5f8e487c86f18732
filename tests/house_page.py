"""What docs/HOUSE.md draws and lists, compared with the tree: each check returns a line for everything that differs."""

import ast
import re

from house_rules import files_of, folder_of, imports_between, parsed

PAGE = "docs/HOUSE.md"


def page_of(root):
    """Text of the page."""
    return (root / PAGE).read_text(encoding="utf-8")


def drawn_edges(text):
    """{(folder, folder that it imports)} of the Mermaid flowchart: lines such as `tools --> report & audit`."""
    chart = re.search(r"```mermaid\n(.*?)```", text, re.DOTALL)
    lines = [line.split("-->") for line in chart[1].splitlines() if "-->" in line] if chart else []
    return {(one.strip(), other.strip()) for one, others in lines for other in others.split("&")}


def reachable(edges, start):
    """Every folder that one comes to from `start` along {folder: {imported folder}}."""
    found, waiting = set(), [start]
    while waiting:
        new = edges.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found


def edges_to_draw(root):
    """{(folder, imported folder)} without those that follow from a path over other folders; utils/ is left out."""
    edges = imports_between(root)
    direct = {
        (folder, other)
        for folder, others in edges.items()
        for other in others
        if not any(other in reachable(edges, between) for between in others)
    }
    return {tuple(name.rpartition("/")[2] for name in edge) for edge in direct}


def wrong_edges(root):
    """Arrows that the page's diagram lacks or has too many."""
    drawn, needed = drawn_edges(page_of(root)), edges_to_draw(root)
    lacking = [f"{PAGE} lacks the arrow {one} --> {other}" for one, other in sorted(needed - drawn)]
    return lacking + [f"{PAGE} has the arrow {one} --> {other} too many" for one, other in sorted(drawn - needed)]


def listed_files(text):
    """{"folder/name"} of the page's lists: an item **folder**, in it an item `name` for each of its files."""
    found, folder = set(), None
    for line in text.splitlines():
        if heading := re.match(r"- \*\*(\S+)\*\*", line):
            folder = heading[1]
        elif entry := re.match(r"  - `(\w+)`", line):
            found.add(f"{folder}/{entry[1]}")
    return found


def wrong_lists(root):
    """Files of utils, models and tools that the page does not list, and listed ones that are not there."""
    there = {
        f"{folder_of(path, root)}/{path.stem}": path
        for path in files_of(root, "utils", "models", "tools")
        if path.stem != "__init__"
    }
    listed, wrong = listed_files(page_of(root)), []
    for name in sorted(there.keys() - listed):
        says = (ast.get_docstring(parsed(there[name])) or "").split("\n")[0]
        wrong.append(f"{PAGE} lacks under {name.rpartition('/')[0]}:   - `{there[name].stem}` {says}")
    return wrong + [f"{PAGE} lists {name}, which is not there" for name in sorted(listed - there.keys())]
