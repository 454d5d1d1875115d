"""Figures for anomaly maps and masks: metrics, threshold protocols, intervals, tables, plots, experiments."""

from importlib.metadata import version

__version__ = version("uad-eval")
