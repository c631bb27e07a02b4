"""Scoring needs predictions only, no network."""

import subprocess
import sys


def test_evaluate_does_not_import_tensorflow():
    program = (
        "import sys, oncopixel.stages.evaluate; print({'tensorflow', 'keras'} & {*sys.modules})"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "set()"
