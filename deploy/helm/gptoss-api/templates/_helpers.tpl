{{- define "gptoss-api.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "gptoss-api.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "gptoss-api.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{ include "gptoss-api.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "gptoss-api.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- /* What no template may be made of. */ -}}
{{- define "gptoss-api.refuse" -}}
{{- if not .Values.existingSecret -}}
{{- fail "existingSecret is needed: a Secret with GPTOSS_API_KEYS, since the gateway serves other machines only with keys" -}}
{{- end -}}
{{- if and (gt (int .Values.replicaCount) 1) (not .Values.redis.existingSecret) -}}
{{- fail "replicaCount > 1 needs redis.existingSecret: without a shared store replicas do not know each other's conversations" -}}
{{- end -}}
{{- if and .Values.persistence.enabled .Values.redis.existingSecret -}}
{{- fail "persistence is of no use with redis, and its volume can be mounted by one replica alone" -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) -}}
{{- fail "httpRoute.parentRefs is needed: the Gateway that the route belongs to" -}}
{{- end -}}
{{- end -}}
