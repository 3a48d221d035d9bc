"""score-gadget: diffusion reconstruction for Gadgetron and ISMRMRD raw data."""

__version__ = "0.1.0"
