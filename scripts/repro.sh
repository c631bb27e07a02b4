#!/usr/bin/env bash
# `dvc repro` of the cohorts of params.yaml side by side, with the options that are given: their
# stages do not depend on each other. The cores are shared out among them.
set -euo pipefail

described=$(python 2>/dev/null -c '
import joblib, yaml
print(joblib.cpu_count(), *yaml.safe_load(open("params.yaml"))["cohorts"])') || exec dvc repro "$@"
read -r cores cohorts <<<"$described"
number=$(wc -w <<<"$cohorts")
at_a_time=$((number < cores ? number : cores))
if [ "$at_a_time" -lt 2 ]; then exec dvc repro "$@"; fi
export LOKY_MAX_CPU_COUNT=$((cores / at_a_time))

# shellcheck disable=SC2016  # for the inner shell to expand
tr ' ' '\n' <<<"$cohorts" | xargs -P "$at_a_time" -I{} bash -o pipefail -c '
  dvc --wait-for-lock repro --glob "*@$0" "$@" 2>&1 | sed -u "s/^/$0: /" || exit 1
' {} "$@"
