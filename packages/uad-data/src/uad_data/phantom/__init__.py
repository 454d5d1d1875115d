"""A cohort of simulated brain MRI or CT that needs no download: healthy people and people with lesions."""

from uad_data.phantom.cohort import MODALITIES, PATHOLOGIES, Subject, make_subject, subject_plan, write_phantom
from uad_data.phantom.ct_lesions import CT_PATHOLOGIES

__all__ = ["CT_PATHOLOGIES", "MODALITIES", "PATHOLOGIES", "Subject", "make_subject", "subject_plan", "write_phantom"]
