"""Scans in: read, index, split, scale, cache and simulate brain MRI for unsupervised anomaly detection."""

from importlib.metadata import version

from uad_data.arrays import ArraySpec, ArrayStore, build_arrays, prepare_scan
from uad_data.brain_mask import brain_mask
from uad_data.cohort import Cohort
from uad_data.errors import InputError
from uad_data.layouts import LAYOUTS, index_layout
from uad_data.phantom import write_phantom
from uad_data.readers import read_labels, read_volume, write_like
from uad_data.scan import Scan
from uad_data.split import split_by_subject

__version__ = version("uad-data")

__all__ = [
    "LAYOUTS",
    "ArraySpec",
    "ArrayStore",
    "Cohort",
    "InputError",
    "Scan",
    "__version__",
    "brain_mask",
    "build_arrays",
    "index_layout",
    "prepare_scan",
    "read_labels",
    "read_volume",
    "split_by_subject",
    "write_like",
    "write_phantom",
]
