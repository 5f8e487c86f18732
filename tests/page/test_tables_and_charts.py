import shlex

import pytest
from small_audit import small_audit
from small_page import small_graph

import unlearning_multi_celeba_resnet18_generate_graph as scoring
import unlearning_multi_celeba_resnet18_original as original
from utils.common.arguments import recorded_flags
from utils.page import charts
from utils.page.reading import ResultsFolder
from utils.page.sources import about, limits_of, sources_of
from utils.page.tables import attack_table, heads_table
from utils.page.words import make_commands, three_numbers


def test_the_three_numbers_are_the_worst_attack_the_worst_head_and_what_it_lost():
    audit = small_audit()
    for name, accuracy in (("original", 0.95), ("unlearned", 0.9), ("oracle", 0.94)):
        audit["nets"][name]["heads"]["Smiling"]["accuracy"] = accuracy
    line = {"seconds": {"erase": 2.0, "score": 9.0}, "pruned": {}}
    (row,) = three_numbers({"erased": audit}, {"erased": line})
    assert (
        row["forgotten"]["share"] == pytest.approx(1 - 0.01 / 0.19) and row["forgotten"]["attack"] == "linear at layer4"
    )
    assert row["kept"] == {"value": 0.9, "oracle": 0.94, "original": 0.95}
    assert (row["price"]["value"], row["price"]["head"], row["price"]["auc"]) == (0.001, "Smiling", -0.01)
    assert row["price"]["seconds"] == 2.0 and row["price"]["channels"] is None


def test_a_loss_is_marked_only_if_it_is_larger_than_allowed_and_beyond_chance():
    audit = small_audit()
    change = audit["nets"]["unlearned"]["kept_changes"]["heads"]["Smiling"]
    change["auc"] |= {"value": -0.01, "interval": [-0.02, -0.001]}

    def lost():
        heads = heads_table({"erased": audit}, ["Bald"])
        assert [head["head"] for head in heads] == ["Bald", "Smiling"] and heads[0]["forgotten"]
        return next(row for row in heads[1]["rows"] if row["network"] == "erased")["auc"]["lost"]

    assert lost()
    change["auc"]["interval"] = [-0.02, 0.001]
    assert not lost()


def test_a_cell_says_what_was_found_and_an_undefined_one_says_so():
    table = attack_table(small_audit(), "erased")
    assert table["columns"] == ["layer3", "layer4", "features", "whole network"] and table["found"] == 2
    rows = {row["attack"]: row["cells"] for row in table["rows"]}
    assert [cell and cell["gap"] for cell in rows["linear"]] == [-0.04, 0.01, -0.01, None]
    assert rows["linear"][1]["beyond_chance"] and rows["linear"][1]["shade"] == pytest.approx(0.1)
    assert "it is still here" in table["cells"][rows["linear"][1]["index"]]["sentence"]
    undefined = rows["quadratic"][1]
    assert undefined["gap"] is None and "could not be run" in table["cells"][undefined["index"]]["sentence"]
    figures = table["cells"][rows["linear"][1]["index"]]["figures"]
    assert {one["network"]: one["value"] for one in figures} == {"original": 0.98, "erased": 0.81, "oracle": 0.8}


def test_without_a_reference_there_is_no_table_and_no_trade():
    audit = small_audit()
    audit["nets"] = {"unlearned": audit["nets"]["unlearned"]}
    audit["nets"]["unlearned"]["gaps"] = {"reference": None, "attacks": {}}
    assert attack_table(audit, "erased") is None and charts.trade_chart({"erased": audit}) is None


@pytest.mark.parametrize(
    ("ends", "ticks"),
    [((0, 1), [0, 0.2, 0.4, 0.6, 0.8, 1]), ((-0.03, 0.2), [0, 0.05, 0.1, 0.15, 0.2]), ((5, 5), [5])],
)
def test_ticks_are_round_numbers(ends, ticks):
    assert charts.nice_ticks(*ends) == pytest.approx(ticks)


def test_a_curve_of_many_points_keeps_its_ends_and_stays_short():
    thin = charts._thinned([(i, i) for i in range(10_000)])
    assert thin[0] == (0, 0) and thin[-1] == (9999, 9999) and len(thin) <= charts.MOST_POINTS + 1


def test_relearning_is_drawn_over_the_logarithm_of_the_images():
    audit = small_audit()
    for value, record in zip((0.5, 0.6, 0.7), audit["nets"].values(), strict=True):
        points = [{"n": n, "value": value, "interval": None} for n in (16, 64, 256)]
        record["relearning"]["head"]["curve"] = points
    ((_, plot),) = charts.relearning_charts({"erased": audit})
    xs = [float(point.split(",")[0]) for point in plot["lines"][0]["path"].split()]
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.2)
    assert plot["finding"] == "AUC after 256 labelled images: original 0.600, erased 0.700, oracle 0.500."


@pytest.mark.parametrize(
    ("sizes", "finding"),
    [
        ((16, 64), "AUC after 64 labelled images: original 0.640, quick one 0.640, full one 0.640, oracle 0.640."),
        ((32,), "AUC after labelled images: original 0.320 after 32, quick one 0.320 after 32, "
                "full one 0.999 after 999, oracle 0.320 after 32."),
    ],
)  # fmt: skip
def test_relearning_is_compared_after_as_many_images_for_all(sizes, finding):
    quick, full = small_audit(), small_audit()
    for audit, counts in ((quick, sizes), (full, (16, 64, 999))):
        points = [{"n": n, "value": n / (100 if n < 100 else 1000), "interval": None} for n in counts]
        for record in audit["nets"].values():
            record["relearning"]["head"]["curve"] = points
    full["level"]["name"] = "full"
    ((_, plot),) = charts.relearning_charts({"quick one": quick, "full one": full})
    assert plot["finding"] == finding
    found = ResultsFolder("run", "Bald", {"Bald": {"quick one": quick, "full one": full}})
    assert "The audit of quick one is a quick one: level full also fine-tunes the whole network." in limits_of(
        found, None
    )
    assert "audit quick and audit full" in about(found)


def test_a_strength_sweep_marks_what_was_chosen():
    points = [{"strength": s, "worst_gap": g, "kept_loss": loss} for s, g, loss in ((0.5, 0.1, 0), (1, 0.01, 0.002))]
    sweep = {"original": {"worst_gap": 0.4}, "points": points, "chosen": 1, "reached": True}
    plot = charts.strength_chart(sweep)
    assert plot["finding"] == "Strength 1 is the mildest that reaches ERASED."
    assert [mark["label"] for mark in plot["lines"][1]["marks"]] == ["0.5", "1 ★"]
    assert charts.strength_chart(sweep | {"points": []}) is None


def test_commands_take_the_flags_of_the_task_from_the_recorded_command():
    words = "python x.py --setting I --data_path 'my faces' --batch_size 7 --method erase --run_name=own --audit quick"
    line = {"command": words, "forgotten": ["Bald"], "attributes": ["Bald"], "arguments": {}, "model": "resnet18"}
    commands = make_commands(ResultsFolder("own", "Bald", lines={"erased": line}))
    expected = "python -m tools.choose_strength --setting I --data_path 'my faces' --run_name=own"
    assert commands["strength"] == expected
    assert commands["audit"].endswith("--run_name=own --audit quick --method erase")


def step_1(command):
    """The flags that step 1 reads from a command of the page."""
    return vars(original.get_args_parser().parse_args(shlex.split(command)[2:]))


def test_the_oracles_command_is_the_recipe_of_the_original():
    typed = "--img_size 32 --epoch 3 --lr 0.002 --no-hflip --mean 0.4 0.5 0.6 --optimizer sgd --allow_missing --seed 4"
    training = recorded_flags(step_1(f"python x.py --task Bald {typed}")) | {"split": "official", "training_part": "a"}
    words = "python x.py --task Bald --data_path D --weights w.pth --weights_labels Bald Young --img_size 64 --seed 9"
    line = {"command": words, "forgotten": ["Bald"], "attributes": ["Bald"], "model": "resnet18", "img_size": 32}
    line |= {"arguments": {"mean": [0.1, 0.2, 0.3], "table": "t.csv"}}
    kept = {"erased": {"training": training | {"scheduler": "--force"}}}  # no value: it is passed over
    flags = step_1(make_commands(ResultsFolder("Bald", "Bald", lines={"erased": line}, kept=kept))["oracle"])
    same = set(training) - {"task_labels", "leave_out", "training_part"}
    assert {flag: flags[flag] for flag in same} == {flag: training[flag] for flag in same}
    assert (flags["leave_out"], flags["data_path"], flags["table"]) == (["Bald"], "D", "t.csv") and not flags["force"]


def test_the_oracle_of_weights_of_ones_own_has_their_size_and_heads():
    words = "python x.py --weights w.pth --weights_labels Bald Young Hat --data_path D --target Bald --img_size=64"
    line = {"command": words, "forgotten": ["Bald"], "attributes": ["Bald", "Hat"], "model": "resnet34"}
    line |= {"img_size": 64, "arguments": {"mean": [0.1, 0.2, 0.3], "std": [0.5, 0.5, 0.5], "batch_size": 7}}
    flags = step_1(make_commands(ResultsFolder("r", "Bald", lines={"erased": line}))["oracle"])
    assert (flags["model"], flags["img_size"], flags["task_labels"]) == ("resnet34", 64, ["Bald", "Hat"])
    assert (flags["mean"], flags["std"], flags["data_path"]) == ([0.1, 0.2, 0.3], [0.5, 0.5, 0.5], "D")
    assert flags["batch_size"] == 128


def test_the_commands_of_steps_1_and_2_have_every_flag_that_was_recorded():
    recipe = step_1("python x.py --task Bald Young --epoch 3 --no-hflip --limit 90 --img_size 32 --compile")
    record = recorded_flags(recipe) | {"split": "released", "training_part": "a", "pretrained": "abc"}
    words = "--task Bald Young --data_path D --run_name own"
    typed = f"{words} --target_class Young --proportion 0.3 --layers 2 --no_balance --num_images 9 --seed 4"
    graph = small_graph(attributes=("Bald", "Young"), forgotten=("Young",))
    made = vars(scoring.get_args_parser().parse_args(typed.split()))
    graph.made_by["arguments"] = recorded_flags(made)
    line = {"command": f"python x.py {words} --target_class 1", "forgotten": ["Young"], "attributes": ["Bald", "Young"]}
    line |= {"model": "resnet18", "img_size": 32, "arguments": {}, "method": "prune"}
    found = ResultsFolder("own", "Young", lines={"pruned": line}, kept={"pruned": {"training": record}}, graph=graph)
    found.kept["pruned"]["oracle_sha256"] = None
    first, second, _ = [part["command"] for part in sources_of(found)]
    flags = step_1(first)
    assert recorded_flags(flags) | {"split": "released"} == {
        name: value for name, value in record.items() if name not in ("training_part", "pretrained")
    }
    assert flags["pretrained"] == "FILE"
    assert (flags["data_path"], flags["run_name"], flags["leave_out"]) == ("D", "own", [])
    again = vars(scoring.get_args_parser().parse_args(shlex.split(second)[2:]))
    assert recorded_flags(again) | {"target_class": 0} == recorded_flags(made) | {"target_class": 0}
    assert again["target_class"] == ["Young"]


def test_weights_of_ones_own_have_no_command_that_made_them():
    line = {"command": "python x.py --weights w.pth", "forgotten": ["Bald"], "attributes": ["Bald"], "method": "erase"}
    line |= {"model": "resnet18", "img_size": 32, "arguments": {}}
    kept = {"erased": {"training": {}, "oracle_sha256": None}}
    parts = sources_of(ResultsFolder("own", "Bald", lines={"erased": line}, kept=kept))
    assert [part["command"] for part in parts] == [None, "python x.py --weights w.pth"]
