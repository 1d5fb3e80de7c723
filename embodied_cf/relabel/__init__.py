"""Relabelling: segment, caption, propose, synthesize, verify; the pipeline and its resumable runner."""
