"""The prior and what samples from it."""

DEFAULT_MODEL = "auto"
AUTO_MODELS = {"cpu": "brain-small", "cuda": "brain-base"}
"""What `auto` is on each type of device: a GPU hardly notices the larger model."""
