"""A gripper that plays on a simulated table, as a TFDS dataset."""
