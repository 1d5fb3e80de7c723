"""Counterfactual explanations: of a policy (`policy`), of a failed episode (`episode`), of one action (`input`)."""
