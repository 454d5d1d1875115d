"""A cohort of simulated brain MRI that needs no download: healthy people and people with lesions."""

from uad_data.phantom.cohort import PATHOLOGIES, Subject, make_subject, subject_plan, write_phantom

__all__ = ["PATHOLOGIES", "Subject", "make_subject", "subject_plan", "write_phantom"]
