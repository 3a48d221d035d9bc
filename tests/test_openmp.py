from __future__ import annotations

import os
import subprocess
import sys

import pytest

VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
CODE = f"""
import os, sys, gadget.nodes.reconstruct
print(*(os.environ.get(name) for name in {VARIABLES}), "torch" in sys.modules)
"""


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        ({}, ["PASSIVE", "3000"]),
        ({"OMP_WAIT_POLICY": "PASSIVE"}, ["PASSIVE", "3000"]),
        ({"OMP_WAIT_POLICY": "Active"}, ["Active", "None"]),
        ({"GOMP_SPINCOUNT": "7"}, ["PASSIVE", "7"]),
    ],
)
def test_threads_wait_briefly_before_they_sleep_unless_told_otherwise(wish, expected):
    environment = {k: v for k, v in os.environ.items() if k not in VARIABLES} | wish
    output = subprocess.run(
        [sys.executable, "-c", CODE], check=True, capture_output=True, text=True, env=environment
    )
    # torch reads them once: it must not have been loaded before.
    assert output.stdout.split() == [*expected, "False"]
