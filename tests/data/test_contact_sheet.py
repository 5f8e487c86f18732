"""One picture of a folder in any layout: the flags that say how it is read are taken."""

import pytest
from PIL import Image

from data.contact_sheet import get_args_parser, main
from utils.common.errors import InputError


def test_a_folder_of_two_tables_is_drawn_by_the_flags_of_step_1(tmp_path):
    (tmp_path / "set").mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (9, 7), (200, 0, 0)).save(tmp_path / "set" / name)
    (tmp_path / "set" / "t.csv").write_text("file,tags\na.png,dog+cat\nb.png,cat+pig\n")
    (tmp_path / "set" / "other.csv").write_text("file,x\na.png,1\n")
    words = ["--data_path", str(tmp_path / "set"), "--out", str(tmp_path / "a.png")]
    with pytest.raises(InputError, match="holds 2 tables"):
        main(get_args_parser().parse_args(words))
    main(get_args_parser().parse_args([*words, *"--table t.csv --names_column tags --names_separator +".split()]))
    with Image.open(tmp_path / "a.png") as image:
        assert image.height == 2 * 73 + 16  # three names in two columns: two lines of 73 pixels, 8 above and below
