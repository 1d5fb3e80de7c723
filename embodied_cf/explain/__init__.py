"""Counterfactual explanations. `explain_policy` answers: what is the least change of this policy that has return R*?"""
