import os
from types import SimpleNamespace

import pytest

from tools.compare import main
from utils.common.errors import InputError


def test_a_folder_without_audits_says_how_to_make_one(tmp_path):
    with pytest.raises(InputError, match="run step 3 with --audit quick first"):
        main(SimpleNamespace(folder=str(tmp_path)))


def test_a_picture_that_cannot_be_written_names_the_folder_not_a_flag(tmp_path, monkeypatch):
    monkeypatch.setattr("tools.compare._read", lambda path: {"target": "Bald", "method": "prune"})
    (tmp_path / "pruned").mkdir()
    (tmp_path / "pruned" / "audit_Bald.json").touch()
    (tmp_path / "comparison_Bald.png").mkdir()
    with pytest.raises(InputError, match="^DIR: can't write .*comparison_Bald.png: a folder or a device stands there"):
        main(SimpleNamespace(folder=str(tmp_path)))


def test_a_damaged_audit_is_named(tmp_path):
    (tmp_path / "erased").mkdir()
    (tmp_path / "erased" / "audit_Bald.json").write_text('{"nets": {', encoding="utf-8")
    with pytest.raises(InputError, match="audit_Bald.json is no audit"):
        main(SimpleNamespace(folder=str(tmp_path)))


def test_a_pipe_is_no_audit_and_nobody_waits_for_it(tmp_path):
    (tmp_path / "erased").mkdir()
    os.mkfifo(tmp_path / "erased" / "audit_Bald.json")
    with pytest.raises(InputError, match="audit_Bald.json is no audit"):
        main(SimpleNamespace(folder=str(tmp_path)))
