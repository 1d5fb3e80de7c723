"""A robot that drives among people is improved from its own logs, over several redeployments, and truly evaluated."""
