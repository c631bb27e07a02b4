"""The Genomic Data Commons: asked, listed, downloaded and read.

A query in; an unlabelled `Cohort` and the listing of its files out.
"""
