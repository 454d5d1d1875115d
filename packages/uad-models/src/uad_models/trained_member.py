"""A member of an ensemble that need not be trained, as the same training has been done alone."""

from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path

from uad_data.errors import InputError
from uad_models.method import Method
from uad_models.run_folder import CONFIG, RunConfig, load_run, training_seconds
from uad_models.train_config import TrainConfig


def take_trained(method: Method, stage: str, settings: RunConfig, runs: Iterable[Path]) -> float | None:
    """Give a stage's member the weights of a finished run that trained it just so.

    Parameters
    ----------
    method
        An ensemble.
    stage
        One of its stages, the only one of a member.
    settings
        Of the ensemble's training.
    runs
        Run folders to look at; one that is not there, or not finished, is none.

    Returns
    -------
    float or None
        Seconds that the run's training took; None where there is no such run, and nothing was changed.
    """
    member, _, turn = method.origin(stage)
    train = method.train_config(stage, TrainConfig(**settings.train))
    if member is method or len(member.stages) > 1 or train.minutes:
        return None
    alone = replace(
        settings,
        method=member.name,
        config=member.config.to_dict(),
        train=asdict(train),
        seed=settings.seed + turn,
    )
    for run in runs:
        if not (run / CONFIG).is_file():
            continue
        try:
            found = RunConfig.read(run)
            if found.status != "finished" or found.fingerprint != alone.fingerprint:
                continue
            member.load_state_dict(load_run(run)[0].state_dict())
        except InputError:  # damaged, or of another version: then it is trained here
            continue
        return training_seconds(run)
    return None
