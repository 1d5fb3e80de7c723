"""What is simulated by MuJoCo (extra `mujoco`): drawing without a screen, and the physical twin of a scene."""
