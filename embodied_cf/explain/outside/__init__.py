"""Why an episode of any other environment failed: the same seed again, or a learned model."""
