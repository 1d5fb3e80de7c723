"""Why an episode of the simulator failed: exact replay with somebody else at the wheel."""
