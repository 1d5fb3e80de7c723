"""Words and what they mean: atomic commands, instructions, and programs that judge motion by them. Numpy only."""
