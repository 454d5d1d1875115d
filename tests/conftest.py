"""A cohort that is quick to make, eight people of coarse phantom scans; and what every report's page is held to."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from uad_data import Cohort, write_phantom
from uad_eval.report import run_report


@pytest.fixture(scope="session")
def small_phantom(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Eight coarse phantom people, with all three splits."""
    return write_phantom(tmp_path_factory.mktemp("phantom"), subjects=8, seed=0, spacing_mm=6.0)


@pytest.fixture(scope="session")
def small_table(small_phantom: Cohort) -> Path:
    """The table of the coarse phantom."""
    return Path(small_phantom.root) / "cohort.csv"


@pytest.fixture
def page_of(tmp_path: Path) -> Callable[[Path, Mapping[str, str]], str]:
    """Run a notebook with some parameters; its page needs nothing from elsewhere and no cell failed."""

    def run(notebook: Path, parameters: Mapping[str, str]) -> str:
        places = {"cache": str(tmp_path / "cache"), "workers": "1"}
        page = run_report(notebook, output=tmp_path / "report", parameters=places | parameters).read_text()
        tags = [tag for tag in page.split("<")[1:] if tag.startswith(("img", "script", "link"))]
        assert not [tag for tag in tags if 'src="http' in tag]
        executed = json.loads((tmp_path / "report" / notebook.name).read_text())
        assert not [o for c in executed["cells"] for o in c.get("outputs", []) if o["output_type"] == "error"]
        return page

    return run
