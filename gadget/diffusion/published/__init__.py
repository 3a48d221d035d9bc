"""Networks that other groups published, as model folders."""
