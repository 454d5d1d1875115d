"""From anomaly map to lesion mask: smoothing, brain edge, thresholds, mixtures, morphology, components.

Axis legend: ``n`` items (slices or volumes, never mixed with each other), ``c`` channels, ``d h w`` space.
"""

from importlib.metadata import version

from uad_postproc.context import Context
from uad_postproc.errors import InputError
from uad_postproc.fusion import fuse
from uad_postproc.healthy_limit import lowest_threshold
from uad_postproc.pipeline import Pipeline
from uad_postproc.pipelines import list_pipelines

__version__ = version("uad-postproc")

__all__ = ["Context", "InputError", "Pipeline", "__version__", "fuse", "list_pipelines", "lowest_threshold"]
