"""Methods for unsupervised anomaly detection in brain MRI and CT: networks, losses, training, anomaly maps."""

from importlib.metadata import version

from uad_models.clinical.scan_prediction import Prediction, predict_cohort, predict_scan
from uad_models.clinical.verdict import Verdict, fit_verdict, load_verdict
from uad_models.labelled.finetune import finetune
from uad_models.method import Method, MethodConfig, Preset
from uad_models.predict import predict_rows, predict_volume
from uad_models.registry import create, list_methods, method_class
from uad_models.run_folder import RunConfig, load_run
from uad_models.train_config import TrainConfig
from uad_models.training import fit

__version__ = version("uad-models")

__all__ = [
    "Method",
    "MethodConfig",
    "Prediction",
    "Preset",
    "RunConfig",
    "TrainConfig",
    "Verdict",
    "__version__",
    "create",
    "finetune",
    "fit",
    "fit_verdict",
    "list_methods",
    "load_run",
    "load_verdict",
    "method_class",
    "predict_cohort",
    "predict_rows",
    "predict_scan",
    "predict_volume",
]
