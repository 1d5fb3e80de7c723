"""Which part of image or instruction caused an action."""
