"""Registration: trunk -> registered model version; without a trunk, finds the registered one."""
