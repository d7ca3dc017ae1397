"""Servers that the tests talk to, and what each is checked against.

- kubeflow_server: API of Kubeflow Pipelines 2.16 and 2.17. Models of kfp-server-api; recordings of 2.17.0.
- kubeflow_driver: KFP's driver and launcher. States of graphs as 2.17.0 showed them; 2.16's by its source.
- kubernetes_api: Kubernetes with Trainer 2.3. Models of kubeflow-trainer-api; recordings of Trainer 2.3.0.
- kubernetes_rights: Kubernetes' RBAC. The Roles that tests/charts renders; the examples of its documentation.
- hub_server: Hugging Face's Hub. huggingface_hub, the only client that asks it.
- mlflow_server: nothing; it is a real MLflow server.

`recordings` are excerpts of what real servers answered on one node (Kubernetes 1.34.4, KFP 2.17.0, JobSet
0.12.0, Trainer 2.3.0): runs without specification, errors, and every state that a TrainJob, its JobSet, pods
and events went through: `recorded_trainjob` plays them. test_recordings.py holds these servers, and our
readers of such answers, against them.
"""
