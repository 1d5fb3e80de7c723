"""The same for navigation policies of this project, in the simulator."""
