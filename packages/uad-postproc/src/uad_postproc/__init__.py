"""From anomaly map to lesion mask: smoothing, brain edge, thresholds, morphology, small objects."""

from importlib.metadata import version

__version__ = version("uad-postproc")
