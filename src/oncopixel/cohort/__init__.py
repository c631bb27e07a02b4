"""What a cohort is: its contract, genes and their names, scales, and labels.

Tables of samples and genes in; one `Cohort` (AnnData) with classes out.
"""
