{{- define "vaultsecret-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "vaultsecret-operator.fullname" -}}
{{- $name := include "vaultsecret-operator.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- /* For cluster-scoped objects: two namespaces may have a release of one name. */}}
{{- define "vaultsecret-operator.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "vaultsecret-operator.fullname" .) }}
{{- end }}

{{- define "vaultsecret-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "vaultsecret-operator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "vaultsecret-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "vaultsecret-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "vaultsecret-operator.ownLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "vaultsecret-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- /* The chart's own labels win: a key twice would be no manifest. */}}
{{- define "vaultsecret-operator.labels" -}}
{{- merge (include "vaultsecret-operator.ownLabels" . | fromYaml) (.Values.commonLabels | default dict) | toYaml }}
{{- end }}

{{- define "vaultsecret-operator.podLabels" -}}
{{- $own := include "vaultsecret-operator.ownLabels" . | fromYaml }}
{{- merge $own (.Values.podLabels | default dict) (.Values.commonLabels | default dict) | toYaml }}
{{- end }}

{{- /* Of an object with a namespace, labels and annotations of its own: a list of the root, its name, its values. */}}
{{- define "vaultsecret-operator.metadata" -}}
{{- $root := index . 0 }}
{{- with index . 2 -}}
name: {{ index $ 1 }}
namespace: {{ .namespace | default $root.Release.Namespace | quote }}
labels:
  {{- merge (include "vaultsecret-operator.labels" $root | fromYaml) (.labels | default dict) | toYaml | nindent 2 }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{- define "vaultsecret-operator.metricsService" -}}
{{- include "vaultsecret-operator.fullname" . | trunc 55 | trimSuffix "-" }}-metrics
{{- end }}

{{- define "vaultsecret-operator.image" -}}
{{- $image := .Values.image }}
{{- if not $image.repository }}
{{- fail (printf "\n\nimage.repository is not set, and there is no default: build the image with `make image` or `docker build -t REGISTRY/vaultsecret-operator:%s .`, push it to a registry your cluster can pull from, and run helm again with `--set image.repository=REGISTRY/vaultsecret-operator`.\n" .Chart.AppVersion) }}
{{- end }}
{{- if regexMatch "://|@|:[^/]*$" $image.repository }}
{{- fail (printf "\n\nimage.repository is %s: leave out what is no part of an image's name, such as https://; a tag belongs in image.tag, a digest in image.digest.\n" $image.repository) }}
{{- end }}
{{- if $image.digest }}
{{- printf "%s@%s" $image.repository $image.digest }}
{{- else }}
{{- printf "%s:%s" $image.repository (default .Chart.AppVersion $image.tag) }}
{{- end }}
{{- end }}
