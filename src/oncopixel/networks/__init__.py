"""The CNNs: architectures, and their training and predictions.

Images and classes in; a saved ensemble and logits out.
"""
