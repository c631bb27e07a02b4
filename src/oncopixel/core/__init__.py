"""What every room uses: errors, parameters, and files that are written whole or not at all.

params.yaml in; checked parameters, paths and stored files out.
"""

import os

# TensorFlow and Keras read these when they are first imported; they are set whatever the user has,
# because they change results. oneDNN picks its kernels by the processor's instruction set, so it is
# off unless asked for; small networks are no slower without, large convolutions take twice as long.
# A home that is no folder has no `keras.json`, so Keras's defaults hold.
os.environ["TF_ENABLE_ONEDNN_OPTS"] = os.environ.get("ONCOPIXEL_ONEDNN", "0")
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["KERAS_HOME"] = os.devnull
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
