"""Every path that is handed on, and names that must not lead elsewhere."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.common import paths
from utils.common.errors import InputError
from utils.layouts.celeba import ATTRIBUTES


def test_a_run_is_named_by_its_attributes_in_order_unless_the_user_names_it():
    assert paths.run_name(["Bald", "Smiling"]) == "Bald_Smiling"
    assert paths.run_name(["Smiling", "Bald"]) == "Smiling_Bald"
    assert paths.run_name(["Bald"], "mine-1.2") == "mine-1.2"


def test_a_long_name_becomes_a_count_and_a_digest_that_tells_orders_apart():
    name, other = paths.run_name(ATTRIBUTES), paths.run_name(ATTRIBUTES[::-1])
    assert name.startswith("40_attributes_") and len(name) == len("40_attributes_") + 8
    assert name != other
    assert paths.targets_name(ATTRIBUTES) == name


def test_a_name_of_120_characters_stays_and_one_of_121_does_not():
    assert paths.run_name(["a" * 60, "b" * 59]) == "a" * 60 + "_" + "b" * 59
    assert paths.run_name(["a" * 60, "b" * 60]).startswith("2_attributes_")


def test_each_path_lies_where_the_scripts_say():
    assert paths.checkpoint_file("ck", "Bald_Young", "original_best") == Path("ck/Bald_Young/original_best.pth")
    assert paths.training_state_file("ck", "r", "oracle_Bald") == Path("ck/r/oracle_Bald_training_state.pth")
    assert paths.graph_file("graphs", "r", "Bald") == Path("graphs/r/Bald.json")
    assert paths.graph_file("graphs", "r", "Bald", ".graphml") == Path("graphs/r/Bald.graphml")
    released = Path("important/r_celeba_1_2_target_important_dict.txt")
    assert paths.released_graph_file("important", "r", [1, 2]) == released
    assert paths.results_folder("results/results.jsonl", "r", "Bald") == Path("results/r/Bald")


@pytest.mark.parametrize("name", ["  ", "", ".", "..", "../x", "a/b", "/a", "a\\b", "a\0b", "x..y", "a" * 201])
def test_a_name_that_leaves_its_folder_is_refused_wherever_it_is_used(name):
    calls = [
        lambda: paths.run_name(["Bald"], name),
        lambda: paths.checkpoint_file("ck", name, "original"),
        lambda: paths.checkpoint_file("ck", "run", name),
        lambda: paths.training_state_file("ck", "run", name),
        lambda: paths.graph_file("graphs", "run", name),
        lambda: paths.graph_file("graphs", "run", "Bald", f"/{name}"),
        lambda: paths.released_graph_file("important", name, [0]),
        lambda: paths.results_folder("results/r.jsonl", "run", name),
    ]
    for call in calls:
        with pytest.raises(InputError, match="can't name a file: use a short name"):
            call()


@pytest.mark.parametrize(
    ("attribute", "name"),
    [
        ("5_o_Clock_Shadow", "5_o_Clock_Shadow"),
        ("Wears glasses", "Wears glasses"),
        ("Brille-Größe", "Brille-Größe"),
        ("Black/Brown", "Black%2FBrown"),
        ("..", "%2E%2E"),
        ("../../x", "%2E%2E%2F%2E%2E%2Fx"),
        ("a...b", "a%2E%2E.b"),
        (".hidden", "%2Ehidden"),
        (" a ", "%20a%20"),
        (" ", "%20"),
        ("100%", "100%"),
        ("a%2Fb", "a%252Fb"),
        ("R&B", "R&B"),
        ("a(b)", "a(b)"),
        ("5'", "5'"),
        ("~$!#,;=@[]{}^`", "~$!#,;=@[]{}^`"),
        ("a:b*c?|", "a%3Ab%2Ac%3F%7C"),
        ("<script>\"'", "%3Cscript%3E%22'"),
        ("a\\b\0\n", "a%5Cb%00%0A"),
        ("caf\udce9", "caf%ED%B3%A9"),
    ],
)
def test_an_attribute_s_name_is_escaped_where_it_is_no_plain_one(attribute, name):
    assert paths.targets_name([attribute]) == paths.run_name([attribute]) == name
    assert paths.run_name(["Bald", attribute]) == f"Bald_{name}"
    assert paths.graph_file("graphs", name, name).parts == ("graphs", name, f"{name}.json")


def test_a_name_that_takes_more_bytes_than_letters_is_shortened():
    assert paths.run_name(["脸" * 41]).startswith("1_attributes_") and paths.run_name(["/" * 41]).startswith("1_attr")


@given(st.lists(st.text(min_size=1, max_size=300), min_size=1, max_size=3))
def test_any_attributes_name_a_file_in_the_run_s_folder(attributes):
    name = paths.run_name(attributes)
    file = paths.graph_file("/graphs", name, paths.targets_name(attributes))
    assert file.resolve().parent == Path("/graphs", name) and len(file.name.encode()) < 200


def test_no_attributes_give_no_name():
    with pytest.raises(InputError, match="attributes ''"):
        paths.run_name([])


@given(st.text(max_size=30))
def test_whatever_name_is_taken_the_file_stays_in_the_run_s_folder(name):
    try:
        file = paths.checkpoint_file("/checkpoints", "run", name)
    except InputError:
        return
    assert file.resolve().parent == Path("/checkpoints/run").resolve()
