"""score-gadget: diffusion reconstruction for Gadgetron and ISMRMRD raw data."""

import os

__version__ = "0.1.0"

# Threads of OpenMP spin while they wait for each other. Beside anything else that computes, another
# scan is enough, each wait lasts a time slice of the scheduler: slices took twenty times as long.
# Threads that sleep at once (PASSIVE, which Gadgetron asks for) take 1.7 times as long on an idle
# machine. Those that spin briefly first are within 5 % of the better one in both. The variables
# are read once, when torch is loaded; the first is for others than GNU's OpenMP.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if os.environ["OMP_WAIT_POLICY"].upper() != "ACTIVE":
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
