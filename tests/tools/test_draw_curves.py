"""One picture of several networks' importance curves, or one line that says what is missing."""

import pytest
from PIL import Image

from tools.draw_curves import get_args_parser, main
from utils.common.errors import InputError
from utils.pruning.importance_curve import ORDERS, curve_csv


@pytest.fixture
def file(tmp_path):
    rows = [
        {"order": order, "share_pruned": share, "attribute": name, "tpr": 1 - share, "auc": None if share else 0.9}
        for order in ORDERS
        for share in (0.0, 0.5, 1.0)
        for name in ("Bald", "Young")
    ]
    (tmp_path / "a.csv").write_text(curve_csv(rows))
    return tmp_path / "a.csv"


def draw(folder, target, *curves):
    main(get_args_parser().parse_args(["--target", target, "--out", str(folder / "a.png"), "--curves", *curves]))


def test_each_network_widens_the_picture_by_a_panel_and_equal_curves_give_equal_bytes(file, tmp_path):
    sizes, contents = [], []
    for names in (("one",), ("one", "two"), ("one", "two")):
        draw(tmp_path, "Bald", *(f"{name}={file}" for name in names))
        sizes.append(Image.open(tmp_path / "a.png").width)
        contents.append((tmp_path / "a.png").read_bytes())
    assert sizes[0] < sizes[1] == sizes[2] and contents[1] == contents[2]


def test_a_path_may_have_an_equals_sign(file, tmp_path):
    (tmp_path / "lr=1").mkdir()
    file.rename(tmp_path / "lr=1" / "b=2.csv")
    draw(tmp_path, "Bald", f"net={tmp_path / 'lr=1' / 'b=2.csv'}")
    assert (tmp_path / "a.png").is_file()


def test_a_curve_is_neither_overwritten_nor_lost_behind_an_equal_heading(file, tmp_path):
    before = file.read_bytes()
    (tmp_path / "link.csv").symlink_to(file)
    for out in (file, tmp_path / "link.csv"):
        words = ["--target", "Bald", "--out", str(out), "--curves", f"net={file}"]
        with pytest.raises(InputError, match=r"--out would overwrite .*a.csv, which is read \(--curves net="):
            main(get_args_parser().parse_args(words))
    with pytest.raises(InputError, match="two curves have the heading net: give each its own"):
        draw(tmp_path, "Bald", f"net={file}", f"net={tmp_path / 'link.csv'}")
    assert file.read_bytes() == before and not (tmp_path / "a.png").exists()


@pytest.mark.parametrize(
    ("target", "before", "said"),
    [("Bold", "net=", "the curve of net has no such head: did you mean Bald?"), ("Bald", "", "write a heading before")],
)
def test_what_is_missing_is_said(target, before, said, file, tmp_path):
    with pytest.raises(InputError, match=said):
        draw(tmp_path, target, f"{before}{file}")
