"""Counterfactual explanations: of a policy (`policy`, `navigation`), a failed episode (`episode`, `outside`), an action
(`input`)."""
