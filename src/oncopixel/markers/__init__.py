"""Which genes, modules and segments tell the classes apart, at a controlled error rate.

Features and an ensemble in; the ranking, the list and its stability out.
"""
