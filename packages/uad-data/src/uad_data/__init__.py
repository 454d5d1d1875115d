"""Scans in: read, index, split, scale, cache and simulate brain MRI for unsupervised anomaly detection."""

from importlib.metadata import version

__version__ = version("uad-data")
