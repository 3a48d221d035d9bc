"""The prior and what samples from it."""

DEFAULT_MODEL = "brain-small"
