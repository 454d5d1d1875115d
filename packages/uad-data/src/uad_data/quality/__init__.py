"""Quality control of a prepared cohort: measures per scan, a table that flags outliers, and a page to look at."""

from uad_data.quality.measures import measure
from uad_data.quality.outliers import Limits, flag_outliers, read_quality, write_table
from uad_data.quality.page import write_quality

__all__ = ["Limits", "flag_outliers", "measure", "read_quality", "write_quality", "write_table"]
