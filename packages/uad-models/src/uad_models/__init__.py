"""Methods for unsupervised anomaly detection in brain MRI and CT: networks, losses, training, anomaly maps."""

from importlib.metadata import version

__version__ = version("uad-models")
