"""Every picture is a valid PNG of sane size, is drawn the same twice, and says what it shows."""

import os
import subprocess
import sys
import warnings

import matplotlib
import numpy as np
import pytest
from conftest import ROOT
from matplotlib.collections import LineCollection
from PIL import Image

from utils.report import style
from utils.report.audit_figures import draw_attacks, draw_kept_changes, draw_relearning, draw_roc
from utils.report.figures import (
    draw_before_after,
    draw_cam_sheet,
    draw_importance_curve,
    overlay_heat,
)
from utils.report.graph_figure import draw_graph

ATTRIBUTES = ["Bald", "Mouth_Slightly_Open"]
LAYERS = [("layer4.0.conv1", 8), ("layer4.0.conv2", 8), ("layer4.1.conv1", 8)]


def figures_of(value):
    return {"tpr_all_positive": value, "accuracy": value, "balanced_accuracy": value, "auc": value}


HEADS = {"Bald": {"before": figures_of(0.99), "after": figures_of(0.02)}}
HEADS["Mouth_Slightly_Open"] = {"before": figures_of(0.98), "after": figures_of(None)}
NODES = [
    {"layer": layer, "channel": channel, "essential_to": essential_to, "prune": channel == 0}
    for layer, _ in LAYERS
    for channel, essential_to in ((0, ["Bald"]), (3, ATTRIBUTES), (5, ["Mouth_Slightly_Open"]))
]


def edge(source, target, relevance, channel=0, attribute="Bald"):
    ends = {"source_layer": LAYERS[source][0], "target_layer": LAYERS[target][0]}
    return {**ends, "source_channel": channel, "target_channel": 3, "attribute": attribute, "relevance": relevance}


EDGES = [edge(0, 1, 0.5), edge(0, 2, -1.0), edge(1, 2, 0.1, 5, "Mouth_Slightly_Open")]
IMAGES = np.arange(2 * 12 * 10 * 3, dtype=np.uint8).reshape(2, 12, 10, 3)
CAMS = {attribute: np.linspace(0, 1, 2 * 3 * 2).reshape(2, 3, 2) for attribute in ATTRIBUTES}
CURVE_ROWS = [
    {"order": order, "share_pruned": share, "attribute": attribute, "tpr": 1 - share, "auc": None if share else 0.9}
    for order in ("top", "lowest", "random")
    for share in (0.0, 0.5, 1.0)
    for attribute in ATTRIBUTES
]
RATES = [0.0, 0.5, 1.0]
ROC = {"original": (RATES, [0, 1, 1], 0.99), "unlearned": (RATES, RATES, None), "a tool of theirs": (RATES, RATES, 0.5)}
GAPS = {
    "original": {("linear", "layer1"): (0.2, True), ("gone", "layer9"): (0.1, True)},
    "unlearned": {
        ("linear", "layer1"): (0.035, True),
        ("relearning head", "whole network"): (-0.02, False),
        ("linear", "layer2"): (None, False),
    },
}
RELEARNING = {"original": [(16, 0.9, 0.8, 0.95), (64, None, None, None)], "oracle": [(16, 0.6, None, None)]}
CHANGES = {
    "Smiling": {"auc": (-0.01, -0.02, 0.0), "accuracy": (0.001, -0.001, 0.003)},
    "Young": {"auc": None, "accuracy": (None, None, None)},
}
PICTURES = {
    "before and after": lambda path: draw_before_after(path, HEADS, ["Bald"], "Setting I"),
    "graph": lambda path: draw_graph(path, NODES, EDGES, LAYERS, ATTRIBUTES, ["Bald"], "Setting I"),
    "graph without edges": lambda path: draw_graph(path, NODES, [], LAYERS, ATTRIBUTES, ["Bald"]),
    "empty graph": lambda path: draw_graph(path, [], [], LAYERS, ["Bald"], ["Bald"]),
    "overlays": lambda path: draw_cam_sheet(path, IMAGES, CAMS, "layer4", forgotten=["Bald"], captions=["1", "2"]),
    "importance": lambda path: draw_importance_curve(path, CURVE_ROWS, "Bald", "Setting I"),
    "roc": lambda path: draw_roc(path, ROC, "Bald"),
    "attacks": lambda path: draw_attacks(path, GAPS, "Bald"),
    "relearning": lambda path: draw_relearning(path, RELEARNING, RELEARNING, "Bald"),
    "relearning of the head only": lambda path: draw_relearning(path, RELEARNING, {}),
    "kept heads": lambda path: draw_kept_changes(path, CHANGES, {"auc": 0.005, "accuracy": 0.005}, "Bald"),
}


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were drawn, to look into."""
    figures = []

    class Recorded(style.Figure):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            figures.append(self)

    monkeypatch.setattr(style, "Figure", Recorded)
    return figures


def words_in(figure):
    return "\n".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


@pytest.mark.parametrize("draw", PICTURES.values(), ids=PICTURES.keys())
def test_a_picture_is_a_valid_png_and_equal_input_gives_equal_bytes(draw, tmp_path):
    draw(tmp_path / "new" / "folder" / "first.png")  # its folder is made
    draw(tmp_path / "second.png")
    content = (tmp_path / "second.png").read_bytes()
    assert (tmp_path / "new" / "folder" / "first.png").read_bytes() == content
    assert b"matplotlib" not in content  # a version would change the bytes
    with Image.open(tmp_path / "second.png") as image:
        image.load()
        assert image.format == "PNG"
        assert all(300 <= side <= 2400 for side in image.size)
        low, high = image.convert("L").getextrema()
        assert (low < 128, high) == (True, 255)  # something dark on white
    assert sorted(file.name for file in tmp_path.iterdir()) == ["new", "second.png"]  # no temporary file is left


def test_drawing_leaves_matplotlibs_settings_as_they_were_and_needs_neither_pyplot_nor_torch(tmp_path):
    before = dict(matplotlib.rcParams)
    draw_importance_curve(tmp_path / "a.png", CURVE_ROWS, "Bald")
    assert dict(matplotlib.rcParams) == before
    code = (
        "import sys, utils.report.figures, utils.report.audit_figures, utils.report.graph_figure;"
        "sys.exit(bool({'torch', 'matplotlib.pyplot'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "TkAgg", "no such backend"])
def test_pictures_do_not_hang_on_the_backend(backend, tmp_path):
    code = (
        "import os, sys; from utils.report.audit_figures import draw_roc;"
        f"draw_roc({str(tmp_path / 'a.png')!r}, {ROC!r}, 'Bald');"
        f"sys.exit('matplotlib.pyplot' in sys.modules or os.environ['MPLBACKEND'] != {backend!r})"
    )
    variables = {**os.environ, "MPLBACKEND": backend}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=variables, check=False)
    draw_roc(tmp_path / "b.png", ROC, "Bald")
    assert done.returncode == 0 and (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_settings_of_the_user_do_not_change_a_picture(tmp_path):
    PICTURES["roc"](tmp_path / "a.png")
    with matplotlib.rc_context({"lines.dash_capstyle": "round", "axes.facecolor": "red", "savefig.bbox": "tight"}):
        PICTURES["roc"](tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


NASTY = [
    r"$\frac{1}{0$",
    "a$b$c_d^e",
    "<script>alert(1)</script>",
    r"\unknown{x} % & # ~",
    "Grün ß 漢字 \U0001f600\U0001f468\u200d\U0001f469",
    "\u05d0\u05d1\u202e\u05d2 abc",
    "line\nbreak\ttab\x00\x1b[31m",
    "caf\udce9",
    "word " * 40,
    "x" * 200,
    "_starts_with_underscores",
    " ",
]


def size_of(path):
    with Image.open(path) as image:
        return image.size


def test_any_name_is_drawn_as_plain_text_in_a_picture_of_the_same_size(tmp_path, monkeypatch):
    monkeypatch.setattr(style, "PIXELS_PER_INCH", 40)  # quicker

    def draw(folder, names):
        title, forgotten = f"forget {', '.join(names[:3])}", names[:2]
        nodes = [{**NODES[0], "essential_to": names[:1]}, {**NODES[1], "essential_to": names}]
        draw_before_after(folder / "heads.png", dict.fromkeys(names, HEADS["Bald"]), forgotten, title)
        draw_graph(folder / "graph.png", nodes, [], LAYERS, names, forgotten, title)
        draw_cam_sheet(folder / "cams.png", IMAGES, dict.fromkeys(names, CAMS["Bald"]), title, forgotten=forgotten)
        rows = [{**CURVE_ROWS[0], "attribute": name} for name in names[-7:]]
        draw_importance_curve(folder / "curve.png", rows, names[-1], title)
        draw_kept_changes(folder / "kept.png", dict.fromkeys(names, CHANGES["Smiling"]), {"auc": 0.005}, title)
        draw_roc(folder / "roc.png", ROC, title)
        draw_attacks(folder / "attacks.png", {"unlearned": {(name, name): (0.1, True) for name in names}}, title)
        return {path.name: size_of(path) for path in sorted(folder.glob("*.png"))}

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert draw(tmp_path / "nasty", NASTY) == draw(tmp_path / "plain", [f"Name_{n}" for n in range(len(NASTY))])


def test_a_dollar_is_a_dollar(drawn, tmp_path):
    draw_before_after(tmp_path / "a.png", {r"$\frac{1}{0$": HEADS["Bald"]}, [], "a$b$c")
    assert r"$\frac{1}{0$" in words_in(drawn[0]) and "a$b$c" in words_in(drawn[0])
    assert not any(text.get_parse_math() for text in drawn[0].findobj(matplotlib.text.Text))


def test_a_long_name_keeps_its_start_and_its_end():
    assert style.plain("a" * 40) == "a" * 40
    assert style.plain("start" + "x" * 200 + "end") == "start" + "x" * 21 + "…" + "x" * 10 + "end"
    assert style.readable("Mouth_Slightly_Open") == "Mouth Slightly Open"


def test_many_targets_and_many_heads_do_not_blow_a_picture_up(tmp_path, monkeypatch):
    names = [f"Attribute_number_{n}" for n in range(600)]
    draw_graph(tmp_path / "a.png", NODES, EDGES, LAYERS, names, names[:599], f"forget {', '.join(names)}")
    assert size_of(tmp_path / "a.png")[0] < 2400
    monkeypatch.setattr(style, "MOST_PIXELS", 90_000)
    monkeypatch.setattr(style, "LONGEST_SIDE", 500)
    for inches, pixels in (((30, 30), (300, 300)), ((10, 100), (50, 500))):
        with style.picture(tmp_path / "b.png", *inches, "600 heads"):
            pass
        assert size_of(tmp_path / "b.png") == pixels


def test_a_failure_while_drawing_leaves_the_old_picture_in_place(tmp_path):
    path = tmp_path / "cams.png"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="1 maps of Bald for 2 images"):
        draw_cam_sheet(path, IMAGES, {"Bald": CAMS["Bald"][:1]})
    with pytest.raises(ZeroDivisionError), style.picture(path, 2, 2):
        _ = 1 / 0
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["cams.png"]


def test_the_forgotten_head_is_marked_in_words_and_an_undefined_figure_is_called_so(drawn, tmp_path):
    draw_before_after(tmp_path / "a.png", HEADS, ["Bald"], "Setting I")
    words = words_in(drawn[0])
    assert "Bald (forgotten)" in words
    assert "Mouth Slightly Open (forgotten)" not in words
    assert words.count("0.990 → 0.020") == 4  # one a measure
    assert words.count("0.980 → undefined") == 4


def test_the_graph_draws_the_strongest_edges_only_and_says_of_how_many(drawn, tmp_path):
    draw_graph(tmp_path / "a.png", NODES, EDGES, LAYERS, ATTRIBUTES, ["Bald"], "Setting I", most_edges=2)
    (lines,) = drawn[0].findobj(LineCollection)
    # |relevance| 0.5 and 1.0 stay, 0.1 goes; the strongest is drawn last and widest: 0.4 + 1.8 * relevance / largest
    assert list(lines.get_linewidths()) == pytest.approx([0.4 + 1.8 * 0.5, 0.4 + 1.8 * 1.0])
    words = words_in(drawn[0])
    assert "the 2 strongest of 3 edges" in words
    assert "8 channels\n1 to prune\n1 target · 1 shared · 1 kept" in words


def test_an_edge_to_a_channel_that_is_no_node_is_refused(tmp_path):
    with pytest.raises(KeyError, match="layer4.0.conv1"):
        draw_graph(tmp_path / "a.png", NODES, [edge(0, 1, 1.0, channel=7)], LAYERS, ATTRIBUTES, ["Bald"])
    assert not (tmp_path / "a.png").exists()


def test_many_kept_heads_share_one_entry_in_the_legend(drawn, tmp_path):
    rows = [{**row, "attribute": f"Kept_{i}"} for row in CURVE_ROWS for i in range(9) if row["attribute"] != "Bald"]
    draw_importance_curve(tmp_path / "a.png", rows + [row for row in CURVE_ROWS if row["attribute"] == "Bald"], "Bald")
    (legend,) = drawn[0].legends
    assert [text.get_text() for text in legend.get_texts()] == ["Bald (target)", "the 9 other heads"]


def test_a_kept_head_that_lost_more_than_allowed_has_another_colour(drawn, tmp_path):
    draw_kept_changes(tmp_path / "a.png", CHANGES, {"auc": 0.005, "accuracy": 0.005})
    auc, accuracy = drawn[0].axes
    dots = [[line for line in panel.lines if line.get_marker() == "o"] for panel in (auc, accuracy)]
    assert [line.get_color() for line in dots[0]] == [style.FORGOTTEN, style.INK]  # -0.01 is below -0.005
    assert [line.get_color() for line in dots[1]] == [style.INK, style.INK]
    assert dots[1][0].get_xdata() == pytest.approx([0.1])  # 0.001 shown in points
    assert words_in(drawn[0]).count("undefined") == 2


def test_attacks_have_a_cell_each_where_the_unlearned_network_has_one_and_a_frame_where_they_are_clear(drawn, tmp_path):
    draw_attacks(tmp_path / "a.png", GAPS, "Bald")
    original, unlearned, _ = drawn[0].axes
    assert [text.get_text() for text in original.texts] == ["+.200"]
    assert [text.get_text() for text in unlearned.texts] == ["+.035", "−.020", "–"]
    assert [len(panel.patches) for panel in (original, unlearned)] == [1, 1]
    assert unlearned.patches[0].get_center() == pytest.approx((0, 0))  # the first row and column
    assert unlearned.images[0].norm(0.0) == 0.5  # no gap is the middle of the colours
    columns = [text.get_text() for text in unlearned.get_xticklabels()]
    assert columns == ["layer1", "layer2", "whole\nnetwork"]  # the last one whatever came first
    assert [text.get_text() for text in original.get_yticklabels()] == ["linear", "relearning head"]


def test_a_network_looks_the_same_whatever_stands_beside_it():
    assert style.network_styles(["oracle"])["oracle"] == style.network_styles(["pruned", "mine", "oracle"])["oracle"]
    assert (
        len({style[0] for style in style.network_styles(["original", "unlearned", "oracle", "pruned"]).values()}) == 4
    )


def test_theoverlay_heat_is_the_heat_map_over_grey():
    image = np.full((4, 4, 3), 100, dtype=np.uint8)
    black = np.array(matplotlib.colormaps["inferno"](0.0)[:3])  # no evidence: almost black
    assert overlay_heat(image, np.zeros((2, 2)))[0, 0] == pytest.approx(
        255 * (0.45 * 100 / 255 + 0.55 * black), abs=0.5
    )
    assert np.array_equal(overlay_heat(image, np.full((2, 2), np.nan)), overlay_heat(image, np.zeros((2, 2))))
