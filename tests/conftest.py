"""A cohort that is quick to make: eight people of coarse phantom scans."""

from pathlib import Path

import pytest

from uad_data import Cohort, write_phantom


@pytest.fixture(scope="session")
def small_phantom(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Eight coarse phantom people, with all three splits."""
    return write_phantom(tmp_path_factory.mktemp("phantom"), subjects=8, seed=0, spacing_mm=6.0)


@pytest.fixture(scope="session")
def small_table(small_phantom: Cohort) -> Path:
    """The table of the coarse phantom."""
    return Path(small_phantom.root) / "cohort.csv"
