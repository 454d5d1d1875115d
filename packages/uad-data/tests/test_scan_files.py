from uad_data.layouts.scan_files import files_below


def test_hidden_files_and_folders_are_left_out(tmp_path, touch):
    touch("b/x.nii.gz", "a.NII", "._a.nii", ".git/c.nii", "a.txt")
    (tmp_path / "d.nii").mkdir()
    assert files_below(tmp_path) == [tmp_path / "a.NII", tmp_path / "b/x.nii.gz"]
    assert files_below(tmp_path, (".txt",)) == [tmp_path / "a.txt"]
