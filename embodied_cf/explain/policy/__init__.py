"""The least change of a policy that has another return."""
