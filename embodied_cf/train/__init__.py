"""Learning from data: recipes that end in a file of weights."""
