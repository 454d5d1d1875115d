"""Where to compute: Lightning Fabric on the devices asked for, or a plain message why not."""

from typing import Any, cast

from lightning_fabric import Fabric
from lightning_fabric.loggers.logger import Logger
from lightning_fabric.utilities.exceptions import MisconfigurationException

from uad_data.errors import InputError


def open_fabric(
    *, accelerator: str = "auto", devices: int = 1, precision: str = "32-true", logger: Logger | None = None
) -> Fabric:
    """Return Fabric on some devices.

    Parameters
    ----------
    accelerator, devices, precision
        As in `uad_models.train_config.TrainConfig`.
    logger
        Where losses are logged.

    Returns
    -------
    Fabric
        Not launched yet.

    Raises
    ------
    InputError
        This machine has no such device, or the device not this precision.
    """
    try:
        if precision == "16-mixed" and accelerator == "cpu":
            raise ValueError("a CPU computes in 32-true or bf16-mixed")
        return Fabric(
            accelerator=accelerator,
            devices=devices,
            precision=cast(Any, precision),
            # A stage or a group need not use all weights, which plain DDP does not allow.
            strategy="ddp_find_unused_parameters_true" if devices > 1 else "auto",
            loggers=logger,
        )
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"accelerator {accelerator}, devices {devices}, precision {precision}: not on this machine ({reason})"
        ) from error
