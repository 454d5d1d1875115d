"""Individual Brain Charting (Pinho et al., 2018): a dozen healthy people in a BIDS tree."""

from pathlib import Path

import pandas as pd

from uad_data.layouts import bids
from uad_data.layouts.layout import Layout


def index(folder: Path) -> pd.DataFrame:
    """Find the structural scans of every session.

    Parameters
    ----------
    folder : Path
        The root of the BIDS tree, which holds ``sub-01/ses-00/anat/``.

    Returns
    -------
    DataFrame
        One row per subject and session with a structural scan, all healthy.

    Raises
    ------
    InputError
        As the layout ``bids``.
    """
    return bids.index(folder).assign(pathology="healthy")


LAYOUT = Layout(
    name="ibc",
    description="Individual Brain Charting (IBC): 13 adults, many sessions at 3 T; T1, T2 and FLAIR as a BIDS tree",
    licence="that stated in its dataset_description.json",
    how_to_get="https://openneuro.org/datasets/ds002685; the folders anat are enough",
    healthy="everyone: no conspicuous abnormality; few people, so of use beside another set",
    index=index,
)
