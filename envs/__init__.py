"""Simulated worlds, dynamics, tasks and gymnasium environments. Importing it registers the environments' ids."""

from embodied_cf.envs.registration import register_environments

register_environments()
