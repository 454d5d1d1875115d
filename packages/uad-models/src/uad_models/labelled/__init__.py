"""Learning from labels: the one part of this package that is told where lesions are.

A network that learned from healthy brains alone is fine-tuned on a few scans whose lesions someone has drawn; see
`uad_models.finetune`. All else in this package sees labels only to leave out the slices that show a lesion.
"""
