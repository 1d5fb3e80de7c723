"""Robots that drive about in simulated worlds, as a TFDS dataset."""
