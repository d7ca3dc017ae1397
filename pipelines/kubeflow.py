"""Kubeflow Pipelines server of 2.16 or later, by kfp's own client, with errors that say what to do.

The environment says who we are: `KF_PIPELINES_TOKEN`, or `KF_PIPELINES_SA_TOKEN_PATH` for the token that
Kubernetes projects into a pod; `KF_PIPELINES_NAMESPACE` where users have namespaces.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kfp
from kfp_server_api import ApiException, V2beta1Pipeline
from urllib3.exceptions import HTTPError

from components.lib.core.errors import AccessError, ConfigError, MissingError, ServiceError, UsageError

TIMEOUT = (5.0, 30.0)  # seconds to connect and to answer: the client ignores a plain float
PAGE = 100
KINDS = {401: AccessError, 403: AccessError, 404: MissingError, 409: ConfigError, 400: ConfigError}
FIX_ACCESS = "set KF_PIPELINES_TOKEN or KF_PIPELINES_SA_TOKEN_PATH"
EQUALS = 1  # of KFP's filters


class Kubeflow(kfp.Client):  # type: ignore[misc]
    """Client of one server and one namespace; every request raises our errors and ends in time.

    kfp's own waits for an answer for ever, takes a namespace and cookies from ~/.config/kfp, writes there,
    and asks a server that refuses it five times, 5 s apart, before it says so: none of that happens here.

    Raises:
        UsageError: if no address is given.
        ServiceError, AccessError, ConfigError: if it does not answer, refuses us, or is something else.
    """

    def __init__(self, endpoint: str, namespace: str = "") -> None:
        if not endpoint.startswith(("http://", "https://")):
            expected = "http://localhost:8080, or https://kubeflow.example/pipeline"
            what = "the address of Kubeflow Pipelines is needed"
            raise UsageError(what, where="ENDPOINT", found=endpoint, expected=expected)
        self.endpoint = endpoint.rstrip("/")
        self.namespace = namespace or os.environ.get("KF_PIPELINES_NAMESPACE", "")
        path = os.environ.get("KF_PIPELINES_SA_TOKEN_PATH", "")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # that it cannot talk to servers before 2.0
            super().__init__(
                host=self.endpoint,
                existing_token=os.environ.get("KF_PIPELINES_TOKEN"),
                credentials=SimpleNamespace(refresh_api_key_hook=_projected(path)) if path else None,
                ssl_ca_cert=os.environ.get("KF_PIPELINES_SSL_CA_CERTS"),
            )
        self._context_setting["namespace"] = self.namespace
        rest = self._run_api.api_client.rest_client
        self._send, rest.request = rest.request, self._request
        self._probe()

    def pipeline(self, name: str) -> str:
        """The id of the pipeline with this name; empty if there is none."""
        known = {"operation": EQUALS, "key": "display_name", "stringValue": name}
        found = self.list_pipelines(namespace=self.namespace, filter=json.dumps({"predicates": [known]}))
        return str(found.pipelines[0].pipeline_id) if found.pipelines else ""

    def versions(self, pipeline_id: str) -> list[Any]:
        """The versions of a pipeline, newest first."""
        scope = {"pipeline_id": pipeline_id, "sort_by": "created_at desc"}
        return list(self._listed("pipeline_versions", self.list_pipeline_versions, **scope))

    def publish(self, name: str, path: Path, version: str, description: str) -> tuple[str, str]:
        """Makes `path` a version of the pipeline `name`, unless one has this content already.

        Args:
            version: its name, which ends in the digest of the content.
            description: of the version, and of the pipeline where that is new.

        Returns:
            The ids of the pipeline and of the version.
        """
        pipeline_id = self.pipeline(name) or self._create(name, description)
        found = with_content(self.versions(pipeline_id), version)
        if found is None:
            try:
                with silent():
                    found = self.upload_pipeline_version(
                        str(path), version, pipeline_id, description=description
                    )
            except ConfigError:  # somebody else was first
                found = with_content(self.versions(pipeline_id), version)
                if found is None:
                    raise
        return pipeline_id, str(found.pipeline_version_id)

    def all_recurring_runs(self) -> list[Any]:
        """Every recurring run of the namespace, oldest first."""
        scope = {"namespace": self.namespace, "sort_by": "created_at"}
        return list(self._listed("recurring_runs", self.list_recurring_runs, **scope))

    def page(self, run_id: str) -> str:
        """The address of a run in the UI, which is beside the API within a cluster."""
        beside = re.sub(r"^http://(ml-pipeline)((?:\.[\w.-]+)?):8888$", r"http://\1-ui\2", self.endpoint)
        interface = os.environ.get("KF_PIPELINES_UI_ENDPOINT") or beside
        return f"{interface.rstrip('/')}/#/runs/details/{run_id}"

    def _create(self, name: str, description: str) -> str:
        """A pipeline without a version: kfp's upload would give its first version the pipeline's name."""
        words = {"name": name, "display_name": name, "description": description}
        body = V2beta1Pipeline(**words, namespace=self.namespace or None)
        return str(self.pipelines.pipeline_service_create_pipeline(body).pipeline_id)

    def _listed(self, field: str, listing: Callable[..., Any], **arguments: Any) -> Iterator[Any]:
        """The entries of all pages."""
        token = ""
        while True:
            page = listing(page_size=PAGE, page_token=token, **arguments)
            yield from getattr(page, field) or []
            token = page.next_page_token or ""
            if not token:
                return

    def _load_context_setting_or_default(self) -> None:
        """Reads no file; a namespace that is set keeps kfp from asking whether there are users."""
        self._context_setting = {"namespace": "set by __init__"}

    def _probe(self) -> None:
        """Makes sure that this is Kubeflow Pipelines, and that we may talk to it."""
        answer = self._healthz_api.healthz_service_get_healthz(_preload_content=False)
        try:
            many = bool(json.loads(answer.data).get("multi_user"))
        except (ValueError, AttributeError) as error:  # a login page, with status 200
            found = answer.data[:60].decode("utf-8", "replace")
            what = "something answers that is not Kubeflow Pipelines"
            fix = f"if it is a page to log in: {FIX_ACCESS}"
            raise AccessError(what, where=self.endpoint, found=found, fix=fix) from error
        if many and not self.namespace:
            fix = "set KF_PIPELINES_NAMESPACE"
            raise ConfigError("this Kubeflow has users: a namespace is needed", where=self.endpoint, fix=fix)

    def _request(self, *words: Any, **arguments: Any) -> Any:
        """One HTTP request with a limit of time; what the client raises becomes our errors."""
        try:
            return self._send(*words, **{**arguments, "_request_timeout": TIMEOUT})
        except ApiException as error:
            kind = KINDS.get(error.status, ServiceError)
            fix = FIX_ACCESS if kind is AccessError else ""
            found = f"{error.status} {_message(error.body) or error.reason}"
            raise kind("Kubeflow Pipelines refuses", where=self.endpoint, found=found, fix=fix) from error
        except HTTPError as error:
            what, found = "Kubeflow Pipelines does not answer", f"{type(error).__name__}: {error}"
            fix = "check the address, or: kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80"
            raise ServiceError(what, where=self.endpoint, found=found, fix=fix) from error


def with_content(versions: Sequence[Any], version: str) -> Any:
    """The first version with the content that `version`, a name or a digest, ends in; None if none has it."""
    digest = version.rpartition("-")[2]
    return next((one for one in versions if _name(one).rpartition("-")[2] == digest), None)


def _name(version: Any) -> str:
    return str(version.display_name or version.name)


def silent() -> contextlib.AbstractContextManager[Any]:
    """Within, kfp prints no links to pages: what we print is for scripts."""
    return contextlib.redirect_stdout(io.StringIO())


def _projected(path: str) -> Callable[[Any], None]:
    """Gives each request the token of a file, which Kubernetes replaces before it expires."""

    def refresh(configuration: Any) -> None:
        try:
            configuration.api_key["authorization"] = Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise AccessError("the token cannot be read", where=path, found=error) from error

    return refresh


def _message(body: Any) -> str:
    """What the server says in its JSON, else its text."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
    try:
        return str(json.loads(text).get("message") or text)
    except (ValueError, AttributeError):
        return text[:200]
