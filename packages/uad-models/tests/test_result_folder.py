import os
import time

import pytest

from uad_data.errors import InputError
from uad_models.clinical.result_folder import new_folder, remove_abandoned, writing

OPTIONS = {"ours": ("a", "b", "record"), "record": "record"}


def fill(folder, *names, text="new"):
    for name in names:
        (folder / name).write_text(text)


def test_a_new_folder_appears_whole(tmp_path):
    target = tmp_path / "deep" / "case"
    with new_folder(target, **OPTIONS) as folder:
        fill(folder, "a", "record")
        assert not target.exists()
    assert sorted(os.listdir(target)) == ["a", "record"]
    assert os.listdir(target.parent) == ["case"]


def test_what_is_not_ours_stays(tmp_path):
    fill(tmp_path, "a", "b", "record", "notes.txt", text="old")
    with new_folder(tmp_path, **OPTIONS) as folder:
        fill(folder, "a", "record")
        assert (tmp_path / "b").read_text() == "old"
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "a": "new", "record": "new", "notes.txt": "old"}  # fmt: skip


def test_a_failure_leaves_what_was_there(tmp_path):
    fill(tmp_path, "a", "record", text="old")

    def interrupted():
        with new_folder(tmp_path, **OPTIONS) as folder:
            fill(folder, "a")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "old", "record": "old"}


def test_a_kill_between_the_files_leaves_no_record(tmp_path, monkeypatch):
    fill(tmp_path, "a", "b", "record", text="old")
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda one, other: replace(one, other) if one.name == "a" else 1 / 0)
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path, **OPTIONS) as folder:
        fill(folder, "a", "b", "record")
    assert not (tmp_path / "record").exists()


def test_what_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="case cannot be written"), new_folder(tmp_path / "file" / "case", **OPTIONS):
        pass
    with pytest.raises(InputError, match="x cannot be written: full"), writing(tmp_path / "x"):
        raise OSError("full")


def test_only_old_leftovers_are_removed(tmp_path):
    (tmp_path / ".tmp-new").mkdir()
    (tmp_path / ".tmp-old").mkdir()
    (tmp_path / "case" / ".tmp-old").mkdir(parents=True)
    for folder in (tmp_path / ".tmp-old", tmp_path / "case" / ".tmp-old"):
        os.utime(folder, (time.time() - 7200,) * 2)
    remove_abandoned(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".tmp-new", "case"]
    assert not list((tmp_path / "case").iterdir())
