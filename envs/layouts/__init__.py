"""Floor plans of the three worlds, what stands in them, and which of it is kept for testing."""
