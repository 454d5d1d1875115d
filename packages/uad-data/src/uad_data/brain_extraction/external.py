"""Brain extraction by programs that the user has installed: HD-BET, SynthStrip, FSL's bet."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from uad_data.errors import InputError
from uad_data.readers import read_labels

# Variable with the path of SynthStrip's weights, for the program that comes without them.
_MODEL = "SYNTHSTRIP_MODEL"
Command = Callable[[str, str, str], list[str]]


def extract_hd_bet(volume: NDArray[np.float32], affine: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mask the brain by HD-BET (F. Isensee et al., Human Brain Mapping 40, 2019).

    Parameters
    ----------
    volume : ndarray, shape (d, h, w), float32
        One MR sequence of a whole head.
    affine : ndarray, shape (4, 4), float64
        Maps voxel indices ``(i, j, k) = (w, h, d)`` to RAS mm.

    Returns
    -------
    ndarray, shape (d, h, w), bool

    Raises
    ------
    InputError
        The program is not installed, fails or leaves no mask.
    """
    return _run(
        "hd-bet",
        ("hd-bet",),
        _hd_bet_command,
        "out_bet.nii.gz",
        "pip install hd-bet (it downloads its weights when first run)",
        volume,
        affine,
    )


def _hd_bet_command(program: str, image: str, out: str) -> list[str]:
    """Without an NVIDIA GPU the program has to be told so."""
    where = [] if shutil.which("nvidia-smi") else ["-device", "cpu", "--disable_tta"]
    return [program, "-i", image, "-o", out, "--save_bet_mask", "--no_bet_image", *where]


def extract_synthstrip(volume: NDArray[np.float32], affine: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mask the brain by SynthStrip (A. Hoopes et al., NeuroImage 260, 2022).

    Parameters
    ----------
    volume : ndarray, shape (d, h, w), float32
        One sequence of a whole head, any contrast.
    affine : ndarray, shape (4, 4), float64
        Maps voxel indices ``(i, j, k) = (w, h, d)`` to RAS mm.

    Returns
    -------
    ndarray, shape (d, h, w), bool

    Raises
    ------
    InputError
        The program is not installed, fails or leaves no mask.
    """
    return _run(
        "synthstrip",
        ("mri_synthstrip", "nipreps-synthstrip"),
        _synthstrip_command,
        "out.nii.gz",
        f"install FreeSurfer 7.3 or later, or pip install nipreps-synthstrip and name the model file in {_MODEL}",
        volume,
        affine,
    )


def _synthstrip_command(program: str, image: str, out: str) -> list[str]:
    """FreeSurfer's program knows where its model is; the other has to be told."""
    model = os.environ.get(_MODEL)
    return [program, "-i", image, "-m", out, *(["--model", model] if model else [])]


def extract_bet(volume: NDArray[np.float32], affine: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mask the brain by FSL's bet (S. Smith, Human Brain Mapping 17, 2002).

    Parameters
    ----------
    volume : ndarray, shape (d, h, w), float32
        One MR sequence of a whole head.
    affine : ndarray, shape (4, 4), float64
        Maps voxel indices ``(i, j, k) = (w, h, d)`` to RAS mm.

    Returns
    -------
    ndarray, shape (d, h, w), bool

    Raises
    ------
    InputError
        The program is not installed, fails or leaves no mask.
    """
    return _run(
        "bet",
        ("bet", "bet2"),
        lambda program, image, out: [program, image, out, "-m", "-n"],
        "out_mask.nii.gz",
        "install FSL and put its bin folder on PATH",
        volume,
        affine,
    )


def _run(
    name: str,
    programs: tuple[str, ...],
    command: Command,
    mask_name: str,
    how_to_get: str,
    volume: NDArray[np.float32],
    affine: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Write the volume to a folder of its own, run the first program found on PATH, and read the mask it leaves."""
    program = next((found for found in map(shutil.which, programs) if found), None)
    if program is None:
        raise InputError(
            f"brain extraction by {name!r}: expected {' or '.join(programs)} on PATH, found none; {how_to_get}"
        )
    with tempfile.TemporaryDirectory(prefix="uad-data-") as folder:
        image = Path(folder, "in.nii.gz")
        nib.save(nib.Nifti1Image(volume.transpose(2, 1, 0), affine), image)
        settings = {**os.environ, "FSLOUTPUTTYPE": "NIFTI_GZ"}
        line = command(program, str(image), str(Path(folder, "out.nii.gz")))
        done = subprocess.run(line, cwd=folder, capture_output=True, text=True, errors="replace", env=settings)
        mask = Path(folder, mask_name)
        if done.returncode != 0 or not mask.is_file():
            said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
            raise InputError(
                f"brain extraction by {name!r}: expected {program} to leave a mask, found exit status "
                f"{done.returncode}; it said: {said}"
            )
        brain = read_labels(mask) > 0
    if brain.shape != volume.shape:
        raise InputError(
            f"brain extraction by {name!r}: expected a mask of the scan's shape {volume.shape}, found {brain.shape}"
        )
    return brain
