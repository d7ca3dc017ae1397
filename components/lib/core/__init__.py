"""What every package above stands on: errors, settings, plugins, hardware, signals, failpoints, heartbeat."""
