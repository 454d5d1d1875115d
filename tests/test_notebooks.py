"""Notebooks are thin, clean and runnable."""

import ast
import json
from pathlib import Path

import pytest

from uad_eval.cli import main
from uad_eval.errors import InputError
from uad_eval.report import named_parameters, notebook_parameters, run_report, typed_parameters

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
COMPARE = next(path for path in NOTEBOOKS if path.stem == "compare")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_without_outputs_or_definitions(path: Path) -> None:
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert not [cell for cell in cells if cell["outputs"] or cell["execution_count"]]
    nodes = [node for cell in cells for node in ast.walk(ast.parse("".join(cell["source"])))]
    assert not [node for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_parameters_are_plain_annotated_scalars(path: Path) -> None:
    cells = json.loads(path.read_text())["cells"]
    (tagged,) = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    lines = ast.parse("".join(tagged["source"])).body
    assert all(isinstance(line, ast.AnnAssign) for line in lines)
    parameters = notebook_parameters(path)
    assert len(parameters) == len(lines)
    assert all(isinstance(value, str | int | float | bool) for value in parameters.values())


def test_parameters_are_checked_before_anything_runs() -> None:
    defaults = notebook_parameters(COMPARE)
    assert typed_parameters({"subjects": "8", "cohort": "lgg"}, defaults) == {"subjects": 8, "cohort": "lgg"}
    with pytest.raises(InputError, match="did you mean cohort"):
        typed_parameters({"cohrt": "lgg"}, defaults)
    with pytest.raises(InputError, match="expected int, found 'many'"):
        typed_parameters({"subjects": "many"}, defaults)
    assert typed_parameters({"flag": "no"}, {"flag": True}) == {"flag": False}
    with pytest.raises(InputError, match="expected bool"):
        typed_parameters({"flag": "maybe"}, {"flag": True})


def test_names_and_values_of_a_command_line() -> None:
    assert named_parameters(["--cohort", "lgg", "--false-positive-rate=0.1"]) == {
        "cohort": "lgg",
        "false_positive_rate": "0.1",
    }
    for wrong in (["cohort", "lgg"], ["--cohort"], ["--cohort", "a", "--cohort", "b"]):
        with pytest.raises(InputError, match=wrong[0]):
            named_parameters(wrong)


@pytest.mark.filterwarnings("default")  # the kernel's machinery, not ours
def test_bad_input_inside_the_notebook_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(COMPARE), "--cohort", "nowhere", "--output", str(tmp_path)]) == 2
    last = capfd.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("error: cohort 'nowhere': expected one of phantom, phantom_ct, lgg, soop")


@pytest.mark.filterwarnings("default")  # the kernel's machinery, not ours
def test_a_transfer_that_cannot_be_is_told_before_anything_runs(
    small_table: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = ["--cohort", str(small_table), "--transfer", "nowhere", "--size", "32 32", "--cache", str(tmp_path / "c")]
    assert main(["report", str(COMPARE), *asked, "--output", str(tmp_path)]) == 2
    last = capfd.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("error: cohort 'nowhere': expected one of phantom")
    assert not (tmp_path / "c").exists()


def test_what_is_no_notebook(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such notebook"):
        notebook_parameters(tmp_path / "none.ipynb")
    (tmp_path / "broken.ipynb").write_text("{")
    with pytest.raises(InputError, match="could not read it"):
        notebook_parameters(tmp_path / "broken.ipynb")


@pytest.mark.filterwarnings("default")  # the kernel's machinery, not ours
def test_compare_makes_a_page_that_stands_alone(small_table: Path, tmp_path: Path) -> None:
    page = run_report(
        COMPARE,
        output=tmp_path / "report",
        parameters={
            "cohort": str(small_table),
            "methods": "intensity ae:latent_dim=4 ae:precision=16-mixed",  # which a CPU does not compute in
            "budget": "steps:4",
            "device": "cpu",
            "size": "32 32",
            "cache": str(tmp_path / "cache"),
            "workers": "1",
        },
    )
    html = page.read_text()
    assert '<td class="error"' in html
    assert "failed: accelerator cpu" in html
    assert "leads: average precision" in html
    assert html.count("data:image/webp;base64,") == html.count('<a download="') >= 8
    assert "prefers-color-scheme: dark" in html
    assert "<script" not in html
    assert "ways to judge the same maps" in html
    assert "No other cohort was asked for" in html
    assert html.count("<summary>ae:") == 1
    assert "What it is" in html.split("<summary>ae:")[1].split("</details>")[0]
    assert len(list((tmp_path / "report" / "cards").glob("*.md"))) == 2
    assert not [tag for tag in html.split("<")[1:] if tag.startswith(("img", "script", "link")) and 'src="http' in tag]
    executed = json.loads((tmp_path / "report" / "compare.ipynb").read_text())
    assert not [o for c in executed["cells"] for o in c.get("outputs", []) if o["output_type"] == "error"]
    assert (tmp_path / "report" / "results.parquet").is_file()
