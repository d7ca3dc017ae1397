"""Kubeflow Trainer's TrainJob: the object, the Kubernetes API, the log of its first pod."""
