"""Commands that are no stage: `predict`, `noise`, `remote`.

A model, random numbers or a remote in; predictions or a verdict on it out.
"""
