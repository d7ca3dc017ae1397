"""Where training runs: one file a launcher, with its `Config` and `launch(job, options)`."""
