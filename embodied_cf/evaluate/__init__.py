"""Closed-loop evaluation: suites, rollouts, measures, controls, statistics and reports."""
