"""Who knows the map and drives: planner, routes, the expert, and collectors that know no language."""
