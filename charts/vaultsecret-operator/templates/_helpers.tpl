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
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "vaultsecret-operator.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "vaultsecret-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "vaultsecret-operator.image" -}}
{{- $image := .Values.image }}
{{- if not $image.repository }}
{{- fail (printf "\n\nimage.repository is not set, and there is no default: build the image with `docker build -t REGISTRY/vaultsecret-operator:%s .`, push it to a registry your cluster can pull from, and run helm again with `--set image.repository=REGISTRY/vaultsecret-operator`.\n" .Chart.AppVersion) }}
{{- end }}
{{- if $image.digest }}
{{- printf "%s@%s" $image.repository $image.digest }}
{{- else }}
{{- printf "%s:%s" $image.repository (default .Chart.AppVersion $image.tag) }}
{{- end }}
{{- end }}
