{{/* Prefix of every name: the release, with the chart's name in it. */}}
{{- define "trunkline.name" -}}
{{- $name := ternary .Release.Name (printf "%s-trunkline" .Release.Name) (contains "trunkline" .Release.Name) -}}
{{- $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Labels of an object: (list . "component"). */}}
{{- define "trunkline.labels" -}}
{{- $root := index . 0 -}}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
{{ include "trunkline.selector" . }}
{{- end -}}

{{/* Labels of a pod: Istio's proxy would keep jobs from ending and, in a Kubeflow, callers from MLflow. */}}
{{- define "trunkline.podLabels" -}}
{{ include "trunkline.labels" . }}
sidecar.istio.io/inject: "false"
{{- end -}}

{{/* Labels by which pods are selected; they never change. */}}
{{- define "trunkline.selector" -}}
app.kubernetes.io/part-of: trunkline
app.kubernetes.io/instance: {{ (index . 0).Release.Name | quote }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* The pod security standard `restricted`, for a pod: the user and group id. */}}
{{- define "trunkline.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* The same, for a container. */}}
{{- define "trunkline.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* An image that must be named: (list . "tracking"). */}}
{{- define "trunkline.image" -}}
{{- $name := index . 1 -}}
{{- required (printf "images.%s is empty: build and push the images, then -f build/images.yaml, which make images writes" $name) (index (index . 0).Values.images $name) -}}
{{- end -}}

{{- define "trunkline.pullSecrets" -}}
{{- with .Values.images.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "trunkline.store" -}}
{{- required "store.uri is empty: --set store.uri=s3://bucket/prefix" .Values.store.uri | trimSuffix "/" -}}
{{- end -}}

{{/* Where MLflow answers: this chart's, or the one that is there already. */}}
{{- define "trunkline.trackingUri" -}}
{{- if .Values.mlflow.enabled -}}
http://{{ include "trunkline.name" . }}-mlflow.{{ .Release.Namespace }}:5000
{{- else -}}
{{ required "mlflow.enabled is false and mlflow.externalUri is empty: --set mlflow.externalUri=https://mlflow.example" .Values.mlflow.externalUri }}
{{- end -}}
{{- end -}}

{{/* Whether the chart looks after recurring runs: also when the last is gone, so that it goes from the server. */}}
{{- define "trunkline.scheduled" -}}
{{- if or .Values.schedules .Values.pipelines.cluster }}yes{{ end -}}
{{- end -}}

{{- define "trunkline.databaseHost" -}}
{{- .Values.database.host | default (printf "%s-postgresql" (include "trunkline.name" .)) -}}
{{- end -}}

{{- define "trunkline.databaseSecret" -}}
{{- .Values.database.existingSecret | default (printf "%s-postgresql" (include "trunkline.name" .)) -}}
{{- end -}}

{{/* Settings of S3 clients. Without a secret, boto3 finds the service account's identity. */}}
{{- define "trunkline.s3Environment" -}}
- {name: AWS_DEFAULT_REGION, value: {{ .Values.store.region | quote }}}
{{- with .Values.store.endpoint }}
- {name: AWS_ENDPOINT_URL_S3, value: {{ . | quote }}}
- {name: AWS_REQUEST_CHECKSUM_CALCULATION, value: when_required}  # others know not all of AWS's checksums
- {name: AWS_RESPONSE_CHECKSUM_VALIDATION, value: when_required}
{{- end }}
{{- with .Values.store.existingSecret }}
{{- range $key := list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
- name: {{ $key }}
  valueFrom: {secretKeyRef: {name: {{ $.Values.store.existingSecret | quote }}, key: {{ $key }}}}
{{- end }}
{{- end }}
{{- end -}}

{{/* What our own programs and mlflow's clients need to know; see components/lib/registry/tracking/server.py. */}}
{{- define "trunkline.clientEnvironment" -}}
- {name: TRUNKLINE_STORE, value: {{ include "trunkline.store" . | quote }}}
- {name: MLFLOW_TRACKING_URI, value: {{ include "trunkline.trackingUri" . | quote }}}
- {name: HOME, value: /tmp}
{{ include "trunkline.s3Environment" . }}
{{- end -}}

{{/* Ports of the store: those that are given, the endpoint's, or https. */}}
{{- define "trunkline.storePorts" -}}
{{- $own := list (int (include "trunkline.portOf" (.Values.store.endpoint | default "https://s3"))) -}}
{{- .Values.networkPolicy.storePorts | default $own | toJson -}}
{{- end -}}

{{/* Names under which MLflow is called, as a browser or a client spells them: with the port or without. */}}
{{- define "trunkline.allowedHosts" -}}
{{- $name := printf "%s-mlflow" (include "trunkline.name" .) -}}
{{- $service := printf "%s.%s" $name .Release.Namespace -}}
{{- $hosts := list $name $service (printf "%s.svc" $service) (printf "%s.svc.cluster.local" $service) "localhost" "127.0.0.1" -}}
{{- $hosts = concat $hosts (compact (list .Values.mlflow.ingress.host)) .Values.mlflow.hosts -}}
{{- $both := list -}}
{{- range $hosts }}{{ $both = append $both . }}{{ $both = append $both (printf "%s:*" .) }}{{ end -}}
{{- if .Values.monitoring.enabled }}{{ $both = append $both "$(POD_IP):5000" }}{{ end -}}
{{- join "," $both -}}
{{- end -}}

{{/* What `mlflow server` and `mlflow db upgrade` need of the database. */}}
{{- define "trunkline.databaseEnvironment" -}}
- {name: HOME, value: /tmp}
- {name: MLFLOW_DISABLE_TELEMETRY, value: "true"}
- {name: GIT_PYTHON_REFRESH, value: quiet}
- name: PGPASSWORD  # libpq reads it: no password in an address, a process list or a log
  valueFrom: {secretKeyRef: {name: {{ include "trunkline.databaseSecret" . | quote }}, key: password}}
- name: MLFLOW_BACKEND_STORE_URI
  value: postgresql://{{ .Values.database.user }}@{{ include "trunkline.databaseHost" . }}:{{ .Values.database.port }}/{{ .Values.database.name }}?sslmode={{ .Values.database.sslMode }}
{{- end -}}

{{/* The port of a URL. */}}
{{- define "trunkline.portOf" -}}
{{- $host := (urlParse .).host -}}
{{- regexFind ":[0-9]+$" $host | trimPrefix ":" | default (ternary 80 443 (hasPrefix "http:" .) | toString) -}}
{{- end -}}

{{- define "trunkline.trackingPort" -}}
{{- include "trunkline.portOf" (include "trunkline.trackingUri" .) -}}
{{- end -}}

{{/* Job of `pipelines.schedule apply`: the release, its name, its hook, the volume of the schedules that there shall be. */}}
{{- define "trunkline.scheduleJob" -}}
{{- $root := index . 0 -}}
{{- $name := printf "%s-schedule" (include "trunkline.name" $root) -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ index . 1 }}
  namespace: {{ $root.Release.Namespace | quote }}
  labels: {{- include "trunkline.labels" (list $root "schedule") | nindent 4 }}
  annotations:
    helm.sh/hook: {{ index . 2 }}
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
spec:
  backoffLimit: 3
  activeDeadlineSeconds: 600
  ttlSecondsAfterFinished: 86400
  template:
    metadata:
      labels: {{- include "trunkline.podLabels" (list $root "schedule") | nindent 8 }}
    spec:
      serviceAccountName: {{ $name }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      restartPolicy: Never
      securityContext: {{- include "trunkline.podSecurity" 1001 | nindent 8 }}
      {{- include "trunkline.pullSecrets" $root | indent 6 }}
      containers:
        - name: schedule
          image: {{ include "trunkline.image" (list $root "pipelines") | quote }}
          command: [python, -m, pipelines.schedule, apply]
          args:
            - --folder=/schedules
            - --endpoint={{ $root.Values.pipelines.endpoint }}
            - --owner={{ include "trunkline.name" $root }}
          securityContext: {{- include "trunkline.containerSecurity" $root | nindent 12 }}
          resources:
            requests: {cpu: 250m, memory: 256Mi}
            limits: {cpu: "1", memory: 1Gi}
          env:
            - {name: HOME, value: /tmp}
            - {name: TRUNKLINE_CLUSTER, value: /cluster/cluster.yaml}
            {{- if $root.Values.pipelines.multiUser }}
            - {name: KF_PIPELINES_NAMESPACE, value: {{ $root.Release.Namespace | quote }}}
            {{- end }}
            # The token that a multi-user Kubeflow Pipelines asks for.
            - {name: KF_PIPELINES_SA_TOKEN_PATH, value: /run/secrets/kubeflow/pipelines/token}
          volumeMounts:
            - {name: tmp, mountPath: /tmp}
            - {name: schedules, mountPath: /schedules, readOnly: true}
            - {name: cluster, mountPath: /cluster, readOnly: true}
            - {name: token, mountPath: /run/secrets/kubeflow/pipelines, readOnly: true}
      volumes:
        - {name: tmp, emptyDir: {sizeLimit: 256Mi}}
        - {{ merge (dict "name" "schedules") (index . 3) | toJson }}
        - {name: cluster, configMap: {name: {{ $name }}-cluster}}
        - name: token
          projected:
            sources:
              - serviceAccountToken: {path: token, audience: pipelines.kubeflow.org, expirationSeconds: 7200}
{{- end -}}

{{/* Labels by which the pods of a served model are selected: (list . "name of the model"). */}}
{{- define "trunkline.servingSelector" -}}
{{ include "trunkline.selector" (list (index . 0) "serving") }}
trunkline/model: {{ index . 1 | trunc 63 | trimAll "-_." | quote }}
{{- end -}}

{{- define "trunkline.servingLabels" -}}
{{ include "trunkline.podLabels" (list (index . 0) "serving") }}
trunkline/model: {{ index . 1 | trunc 63 | trimAll "-_." | quote }}
{{- end -}}

{{/* The pod of a served model: (list . model "name of the container"). It has no rights in Kubernetes. */}}
{{- define "trunkline.servingPod" -}}
{{- $root := index . 0 -}}
{{- $model := index . 1 -}}
serviceAccountName: {{ include "trunkline.name" $root }}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: 90  # requests come in for 5 s more, and each is answered within 60
securityContext: {{- include "trunkline.podSecurity" 1001 | nindent 2 }}
{{- include "trunkline.pullSecrets" $root }}
containers:
  - name: {{ index . 2 }}
    image: {{ include "trunkline.image" (list $root "serving") | quote }}
    command: [python, -m, components.lib.registry.model_server]
    args:
      - {{ $model.name | quote }}
      - --alias={{ $model.alias | default "champion" }}
      - --host=0.0.0.0
      - --port=8080
      - --threads={{ $model.threads | default 1 }}
    securityContext: {{- include "trunkline.containerSecurity" $root | nindent 6 }}
    resources: {{- toYaml ($model.resources | default $root.Values.serving.resources) | nindent 6 }}
    ports:
      - {name: http, containerPort: 8080, protocol: TCP}
    env:
      {{- include "trunkline.clientEnvironment" $root | nindent 6 }}
      - {name: TMPDIR, value: /scratch}
    # Ready once a version is loaded and has answered what was evaluated; alive without one, too.
    startupProbe: {httpGet: {path: /health, port: 8080}, periodSeconds: 5, failureThreshold: 60}
    readinessProbe: {httpGet: {path: /ready, port: 8080}, periodSeconds: 2, timeoutSeconds: 5}
    livenessProbe: {httpGet: {path: /health, port: 8080}, periodSeconds: 20, timeoutSeconds: 10, failureThreshold: 6}
    volumeMounts:
      - {name: tmp, mountPath: /tmp}
      - {name: scratch, mountPath: /scratch}
volumes:
  - {name: tmp, emptyDir: {sizeLimit: 1Gi}}
  - {name: scratch, emptyDir: {sizeLimit: {{ $root.Values.serving.scratch | quote }}}}  # two versions of a model
{{- end -}}
