"""Nodes and servers; what every process that serves or runs nodes imports first."""

import os

# Threads of OpenMP spin while they wait for each other. Beside anything else that computes, another
# scan is enough, each wait lasts a time slice of the scheduler: slices took twenty to a hundred
# times as long. Sleeping costs 10 to 40 % on an idle machine. Gadgetron asks for it, too. The
# variable is read once, when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
