"""How worlds move: drive, people and chance; exact branches of it; following waypoints."""
