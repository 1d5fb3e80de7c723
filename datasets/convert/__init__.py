"""Other formats in, other formats out: LeRobot, GNM folders, and RLDS as CAST, octo and openvla read it."""
