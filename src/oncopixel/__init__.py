"""oncopixel: cancer biomarkers from gene images, reproducibly."""

import os

__version__ = "0.1.0"

# TensorFlow reads these when it is first imported. oneDNN picks its kernels by the processor's
# instruction set, so results would differ between machines; here it is no slower without.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
