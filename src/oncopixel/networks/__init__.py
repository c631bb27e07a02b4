"""The networks: features of their linear paths, architectures, training and predictions.

Images and classes in; a saved ensemble and logits out.
"""
