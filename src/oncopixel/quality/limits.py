"""Limits of the data checks that no parameter sets, and what to do about what is beyond them."""

VALUE_LIMITS = {
    "counts": (0.0, 1e8),
    "rsem": (0.0, 1e8),
    "tpm": (0.0, 1.05e6),
    "fpkm": (0.0, 1e7),
    "log2": (-10.0, 40.0),
    "copy_number": (-10.0, 10.0),
    "mutation": (0.0, 1.0),
    "z-scores": (-50.0, 50.0),
}
"""Lowest and highest value that an expression scale, or another channel, can hold."""

REMEDIES = {
    "log2": (
        "Give log2(x+1) of values that are not standardised.",
        "These values are not logged: declare counts, rsem, tpm or fpkm.",
    ),
    "mutation": ("Encode mutation as 0 (wild type) to 1 (mutated), empty where not measured.",),
    "copy_number": ("Give log2(copies / 2), or GISTIC levels -2 to 2.",),
}
OTHER_REMEDIES = (
    "If the values are logged, declare `scale: log2`; else look for a wrong column.",
    "Look at the declared scale, and for a column that is no expression.",
)
"""What to do about values below these limits, and above."""

MAX_LOST = 0.05
LOST = {
    "samples": "samples of the expression matrix have no row in the sample sheet",
    "expression_genes": "expression rows name no gene, or could be of several",
    "copy_number_samples": "samples of expression or copy number found no partner in the other",
    "copy_number_genes": "genes of expression or copy number found no partner in the other",
    "mutation_samples": "samples of expression or mutation found no partner in the other",
    "mutation_genes": "genes of expression or mutation found no partner in the other",
    "segments": "samples with segments have no row in the sample sheet",
    "case_list": "ids of the case list are of no sample of the study",
}
"""What `uns["losses"]` counts, in words; of two channels' the one that has fewer."""

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

LIBRARY_LIMITS = {"tpm": 1.05e6, "fpkm": 5e6}
"""Highest sum of one sample; TPM add up to a million by definition."""
