"""The comparison of arms: who follows instructions after training on the same logs, labelled in different ways."""
