"""From a raw scan to what a person reads: map, mask, list of findings and report, on the scan's own grid."""
