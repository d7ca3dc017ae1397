"""MLflow: tracking, registered models, serving, retention."""
