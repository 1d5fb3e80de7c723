"""Exact counterfactual mathematics: `gumbel`, `copula`, `multistep`, `bijective`, `tabular`, `descent`.

Everything computes in float64, whatever the process-wide setting of JAX is; arrays come back as numpy's.
"""
