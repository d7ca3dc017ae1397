"""The API of a Kubeflow Pipelines server, as far as runs and schedules need it: v2beta1, of 2.16 and later.

The environment says who we are: `KF_PIPELINES_TOKEN`, or `KF_PIPELINES_SA_TOKEN_PATH` for the token that
Kubernetes projects into a pod; `KF_PIPELINES_NAMESPACE` where users have namespaces.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kfp_server_api as api

from components.lib.core.errors import AccessError, ConfigError, MissingError, ServiceError, UsageError

TIMEOUT = 30.0  # seconds that one answer may take
PAGE = 100
FIX_ACCESS = "set KF_PIPELINES_TOKEN or KF_PIPELINES_SA_TOKEN_PATH"


class Kubeflow:
    """One server, one namespace.

    Raises:
        UsageError: if no address is given.
        ServiceError, AccessError, ConfigError: if it does not answer, refuses us, or is something else.
    """

    def __init__(self, endpoint: str, namespace: str = "") -> None:
        if not endpoint.startswith(("http://", "https://")):
            raise UsageError(
                "the address of Kubeflow Pipelines is needed", where="ENDPOINT", found=endpoint,
                expected="http://localhost:8080, or https://kubeflow.example/pipeline",
            )  # fmt: skip
        self.endpoint = endpoint.rstrip("/")
        self.namespace = namespace or os.environ.get("KF_PIPELINES_NAMESPACE", "")
        client = api.ApiClient(_configuration(self.endpoint))
        self._health = api.HealthzServiceApi(client)
        self._pipelines = api.PipelineServiceApi(client)
        self._uploads = api.PipelineUploadServiceApi(client)
        self._experiments = api.ExperimentServiceApi(client)
        self._runs = api.RunServiceApi(client)
        self._recurring = api.RecurringRunServiceApi(client)
        self._probe()

    def pipeline(self, name: str) -> str:
        """The id of the pipeline with this name; empty if there is none."""
        found = self._listed("pipelines", self._pipelines.pipeline_service_list_pipelines, **self._scope())
        return next((str(one.pipeline_id) for one in found if name in (one.name, one.display_name)), "")

    def newest(self, pipeline_id: str) -> Any:
        """The version of a pipeline that runs by default: the one made last; None if there is none."""
        listing = self._pipelines.pipeline_service_list_pipeline_versions
        found = self._listed("pipeline_versions", listing, pipeline_id=pipeline_id, sort_by="created_at desc")
        return next(found, None)

    def publish(self, name: str, path: Path, version: str) -> tuple[str, str]:
        """Makes `path` the newest version of the pipeline `name`, unless it is.

        Args:
            version: the name of this content; an older content that is to be the newest again gets a suffix.

        Returns:
            The ids of the pipeline and of the version.
        """
        pipeline_id = self.pipeline(name) or self._create(name)
        newest = self.newest(pipeline_id)
        if newest is not None and is_version(newest, version):
            return pipeline_id, str(newest.pipeline_version_id)
        listing = self._pipelines.pipeline_service_list_pipeline_versions
        known = self._listed("pipeline_versions", listing, pipeline_id=pipeline_id)
        times = sum(is_version(one, version) for one in known)
        label = f"{version}-{times + 1}" if times else version
        with self._explained():
            made = self._uploads.upload_pipeline_version(
                str(path), name=label, display_name=label, pipelineid=pipeline_id, _request_timeout=TIMEOUT
            )
        return pipeline_id, str(made.pipeline_version_id)

    def experiment(self, name: str) -> str:
        """The id of the experiment with this name, made if need be."""
        listing = self._experiments.experiment_service_list_experiments
        for one in self._listed("experiments", listing, **self._scope()):
            if one.display_name == name:
                return str(one.experiment_id)
        body = api.V2beta1Experiment(display_name=name, namespace=self.namespace or None)
        with self._explained():
            made = self._experiments.experiment_service_create_experiment(body, _request_timeout=TIMEOUT)
        return str(made.experiment_id)

    def start(self, run: Any) -> str:
        """Starts a run; returns its id."""
        with self._explained():
            made = self._runs.run_service_create_run(run, _request_timeout=TIMEOUT)
        return str(made.run_id)

    def state(self, run_id: str) -> str:
        """The state of a run: PENDING, RUNNING, SUCCEEDED, FAILED, CANCELED, ..."""
        with self._explained():
            return str(self._runs.run_service_get_run(run_id, _request_timeout=TIMEOUT).state)

    def recurring_runs(self) -> list[Any]:
        """Every recurring run of the namespace, oldest first."""
        listing = self._recurring.recurring_run_service_list_recurring_runs
        return list(self._listed("recurring_runs", listing, sort_by="created_at", **self._scope()))

    def create_recurring(self, recurring: Any) -> str:
        """Makes a recurring run; returns its id."""
        with self._explained():
            made = self._recurring.recurring_run_service_create_recurring_run(
                recurring, _request_timeout=TIMEOUT
            )
        return str(made.recurring_run_id)

    def delete_recurring(self, recurring_run_id: str) -> None:
        """Deletes a recurring run; one that is gone already is no error."""
        try:
            with self._explained():
                self._recurring.recurring_run_service_delete_recurring_run(
                    recurring_run_id, _request_timeout=TIMEOUT
                )
        except MissingError:
            return

    def enable_recurring(self, recurring_run_id: str, enabled: bool) -> None:
        """Lets a recurring run start runs, or not."""
        calls = self._recurring
        call = (
            calls.recurring_run_service_enable_recurring_run
            if enabled
            else calls.recurring_run_service_disable_recurring_run
        )
        with self._explained():
            call(recurring_run_id, _request_timeout=TIMEOUT)

    def page(self, run_id: str) -> str:
        """The address of a run in the UI."""
        return f"{os.environ.get('KF_PIPELINES_UI_ENDPOINT', self.endpoint)}/#/runs/details/{run_id}"

    def _create(self, name: str) -> str:
        body = api.V2beta1Pipeline(name=name, display_name=name, namespace=self.namespace or None)
        with self._explained():
            made = self._pipelines.pipeline_service_create_pipeline(body, _request_timeout=TIMEOUT)
        return str(made.pipeline_id)

    def _scope(self) -> dict[str, str]:
        return {"namespace": self.namespace} if self.namespace else {}

    def _listed(self, field: str, call: Callable[..., Any], **arguments: Any) -> Iterator[Any]:
        """The entries of all pages."""
        token = ""
        while True:
            with self._explained():
                page = call(page_size=PAGE, page_token=token, _request_timeout=TIMEOUT, **arguments)
            yield from getattr(page, field) or []
            token = page.next_page_token or ""
            if not token:
                return

    def _probe(self) -> None:
        """Makes sure that this is Kubeflow Pipelines, and that we may talk to it."""
        with self._explained():
            answer = self._health.healthz_service_get_healthz(
                _preload_content=False, _request_timeout=TIMEOUT
            )
        try:
            many = bool(json.loads(answer.data).get("multi_user"))
        except (ValueError, AttributeError) as error:  # a login page, with status 200
            found = answer.data[:60].decode("utf-8", "replace")
            raise AccessError(
                "something answers that is not Kubeflow Pipelines", where=self.endpoint, found=found,
                fix=f"if it is a page to log in: {FIX_ACCESS}",
            ) from error  # fmt: skip
        if many and not self.namespace:
            fix = "set KF_PIPELINES_NAMESPACE"
            raise ConfigError("this Kubeflow has users: a namespace is needed", where=self.endpoint, fix=fix)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns what the client raises into our errors."""
        from urllib3.exceptions import HTTPError

        try:
            yield
        except api.ApiException as error:
            kinds = {
                401: AccessError,
                403: AccessError,
                404: MissingError,
                409: ConfigError,
                400: ConfigError,
            }
            kind = kinds.get(error.status, ServiceError)
            fix = FIX_ACCESS if kind is AccessError else ""
            found = f"{error.status} {_message(error.body) or error.reason}"
            raise kind("Kubeflow Pipelines refuses", where=self.endpoint, found=found, fix=fix) from error
        except HTTPError as error:
            found = f"{type(error).__name__}: {error}"
            raise ServiceError(
                "Kubeflow Pipelines does not answer", where=self.endpoint, found=found,
                fix="check the address, or: kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80",
            ) from error  # fmt: skip


def is_version(found: Any, version: str) -> bool:
    """Whether a version of a pipeline has the content that `version` names."""
    name = str(found.name or found.display_name)
    return name == version or name.rpartition("-")[0] == version


def _configuration(endpoint: str) -> Any:
    configuration = api.Configuration(host=endpoint)
    configuration.ssl_ca_cert = os.environ.get("KF_PIPELINES_SSL_CA_CERTS") or None
    path, token = os.environ.get("KF_PIPELINES_SA_TOKEN_PATH", ""), os.environ.get("KF_PIPELINES_TOKEN", "")
    if path and not token:
        try:
            token = Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise AccessError("the token cannot be read", where=path, found=error) from error
    if token:
        configuration.api_key = {"authorization": token}
        configuration.api_key_prefix = {"authorization": "Bearer"}
    return configuration


def _message(body: Any) -> str:
    """What the server says in its JSON, else its text."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
    try:
        return str(json.loads(text).get("message") or text)
    except (ValueError, AttributeError):
        return text[:200]
