"""Limits of the facts of segments, which no parameter sets."""

SEGMENT_LIMITS = {
    "segments": (
        10, 2_500, "from 10 to 2,500 segments",
        "Few may be a file cut short, many a noisy array: look at these samples, or drop them.",
    ),
    "segments_covered": (
        0.7, None, "segments over 70% of the genome or more",
        "What lies between them is not measured: is a chromosome missing, or is this a panel?",
    ),
    "segments_overlap": (
        None, 0.01, "at most 1% of their segments' bases under several segments",
        "Two profiles may be under one name: give each aliquot its own id.",
    ),
    "segments_baseline": (
        -0.3, 0.3, "a median log2(copies / 2) within 0.3 of 0",
        "Their baseline is off, or they are not diploid: centre them, or give copies by ploidy.",
    ),
}  # fmt: skip
"""What most samples with segments have: lowest and highest value, in words, and what to do else."""
