import pytest

from uad_data.errors import InputError
from uad_data.layouts.clinical import find_clinical, pathology_of, read_clinical


@pytest.mark.parametrize(
    ("group", "pathology"),
    [
        ("Control", "healthy"),
        ("healthy_controls", "healthy"),
        ("HC", "healthy"),
        ("n/a", "unknown"),
        ("", "unknown"),
        ("Relapsing-Remitting MS", "relapsing remitting ms"),
    ],
)
def test_pathology_of(group, pathology):
    assert pathology_of(group) == pathology


def test_text_tables(write_text):
    assert read_clinical(write_text("a.csv", "\ufeffid, name\n007 , NA\n")).to_dict("list") == {
        "id": ["007"],
        "name": ["NA"],
    }
    assert read_clinical(write_text("a.tsv", "id\tname\n1\ta,b\n"))["name"].tolist() == ["a,b"]
    with pytest.raises(InputError, match=r"empty\.csv: expected a table of comma- or tab-separated values"):
        read_clinical(write_text("empty.csv", ""))


def test_tables_are_found_by_their_columns(tmp_path, write_text):
    assert find_clinical(tmp_path, ("id",)) is None
    write_text("x/a.csv", "id,age\n1,2\n")
    write_text("b.csv", "age,id,sex\n3,4,f\n")
    write_text("c.csv", "other\n1\n")
    write_text("d.csv", "")
    assert sorted(find_clinical(tmp_path, ("id", "age")).to_dict("records"), key=str) == [
        {"id": "1", "age": "2"},
        {"id": "4", "age": "3"},
    ]
