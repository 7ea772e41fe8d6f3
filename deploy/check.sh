#!/bin/sh
# Renders the manifests and holds them to the schemas of Kubernetes. Needs kubectl, python3 and PyPI; run it after a
# change in deploy/kubernetes. What it cannot tell: whether a cluster admits them and the image starts.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet kubernetes-validate==1.37.0
kubectl kustomize kubernetes > "$work/rendered.yaml"
"$work/venv/bin/kubernetes-validate" --strict "$work/rendered.yaml"
