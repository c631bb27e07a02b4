#!/usr/bin/env bash
# GitHub's identity token for AWS, on standard output. It lives for minutes and names the repository
# and the environment, which is what the role trusts. The job needs `id-token: write`.
set -euo pipefail
curl --silent --show-error --fail --header "Authorization: bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN" \
  "$ACTIONS_ID_TOKEN_REQUEST_URL&audience=sts.amazonaws.com" |
  python3 -c 'import json, sys; print(json.load(sys.stdin)["value"], end="")'
