"""Simulated worlds, dynamics and tasks (see docs: not built yet)."""
