"""A gripper over a table with coloured things, simulated by MuJoCo (extra `mujoco`)."""
