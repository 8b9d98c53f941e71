{{- define "schema-operator.serviceAccount" -}}
{{ .Values.serviceAccount.name | default .Release.Name }}
{{- end }}

{{- define "schema-operator.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: controller
{{- end }}

{{- define "schema-operator.labels" -}}
{{ include "schema-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "schema-operator.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- /* What the controller may do in the namespaces it works in. There is no right to Secrets, and none to any workload but
Jobs: credentials are mounted into the runner's pod by reference. */}}
{{- define "schema-operator.rules" -}}
- apiGroups: [schema-operator.dev]
  resources: [schemamigrations, targetdatabases]
  verbs: [get, list, watch]
# Only metadata.finalizers is ever patched.
- apiGroups: [schema-operator.dev]
  resources: [schemamigrations]
  verbs: [patch]
- apiGroups: [schema-operator.dev]
  resources: [migrationapprovals]
  verbs: [list, watch]
- apiGroups: [schema-operator.dev]
  resources: [schemamigrations/status, targetdatabases/status]
  verbs: [patch]
# An owner reference that blocks deletion needs this where OwnerReferencesPermissionEnforcement is on.
- apiGroups: [schema-operator.dev]
  resources: [schemamigrations/finalizers]
  verbs: [update]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get{{ if .Values.watchConfigMaps }}, list, watch{{ end }}]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end }}
