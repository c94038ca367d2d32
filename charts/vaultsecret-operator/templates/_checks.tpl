{{- /* What the schema can't say: values that are fine alone and not together. Each would otherwise show in a pod's log. */}}
{{- define "vaultsecret-operator.checks" -}}
{{- $plain := hasPrefix "http://" .Values.apiUrl }}
{{- $loopback := regexMatch "^http://(localhost|127\\.[0-9.]+|\\[::1\\])(:[0-9]+)?(/|$)" .Values.apiUrl }}
{{- if and $plain (not $loopback) (not .Values.allowInsecureHttp) }}
{{- fail "\n\napiUrl is plain http: API keys and values would travel in the clear. Use https, or, for a simulator, set allowInsecureHttp: true.\n" }}
{{- end }}

{{- $set := dict "namespace" "the release's namespace" "lease-name" "the release's name" "http-addr" "the chart" "api-url" "apiUrl" "allow-insecure-http" "allowInsecureHttp" "api-ca-file" "apiCa" "api-timeout" "apiTimeout" "api-concurrency" "apiConcurrency" "watch-namespace" "watchNamespaces" "resync-interval" "resyncInterval" "deletion-grace" "deletionGrace" "dry-run" "dryRun" "concurrency" "concurrency" "log-format" "logFormat" "log-filter" "logFilter" "otlp-endpoint" "otlpEndpoint" }}
{{- $alone := and (le (int .Values.replicas) 1) (eq (toString (.Values.strategy).type) "Recreate") }}
{{- $elects := not (has "--leader-elect=false" .Values.extraArgs) }}
{{- range .Values.extraArgs }}
{{- $flag := regexFind "^--[^=]*" . | trimPrefix "--" }}
{{- with get $set $flag }}
{{- fail (printf "\n\nextraArgs has --%s, which is set already, by %s.\n" $flag .) }}
{{- end }}
{{- end }}
{{- range .Values.extraEnv }}
{{- if and (eq .name "VAULTSECRET_LEADER_ELECT") (ne (toString .value) "true") }}
{{- $elects = false }}
{{- end }}
{{- end }}
{{- if not (or $elects $alone) }}
{{- fail "\n\nWithout a leader election (--leader-elect=false) every pod writes: that takes replicas: 1 and strategy: {type: Recreate}, so that there is never a second one.\n" }}
{{- end }}
{{- end }}
