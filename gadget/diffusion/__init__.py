"""The prior and what samples from it."""

DEFAULT_MODEL = "auto"
AUTO_MODELS = ("brain-small", "brain-base")
"""What `auto` may be: the larger model where a slice takes at most half as long again with it."""
