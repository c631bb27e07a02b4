#!/usr/bin/env bash
# A base image for the Dockerfile where no registry can be reached: Debian 12 with its Python 3.11.
#
#   scripts/base_image.sh [TAG]    as root, with debootstrap and a Docker engine; about a minute
#
# An image of that name is kept as it is. Where SSL_CERT_FILE names a CA bundle (a TLS proxy), the
# bundle is built in, so that pip trusts it too.
set -euo pipefail

tag=${1:-oncopixel-base:bookworm}
docker image inspect "$tag" >/dev/null 2>&1 && exit

[ "$(id -u)" = 0 ] || { echo "error: debootstrap makes device files: run this as root" >&2; exit 2; }
command -v debootstrap >/dev/null || { echo "error: no debootstrap. apt-get install debootstrap" >&2; exit 2; }

root=$(mktemp -d)
trap 'rm -rf --one-file-system "$root"' EXIT
debootstrap --variant=minbase --include=python3-venv,ca-certificates bookworm "$root" >"$root.log" 2>&1 ||
  { tail -5 "$root.log" >&2; echo "error: debootstrap failed, see $root.log" >&2; exit 2; }
rm -rf "$root.log" "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
ln -s /usr/bin/python3 "$root/usr/local/bin/python"

changes=(--change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin')
if [ -n "${SSL_CERT_FILE:-}" ]; then
  bundle=/etc/ssl/certs/ca-certificates.crt
  cp "$SSL_CERT_FILE" "$root$bundle"
  changes+=(--change "ENV PIP_CERT=$bundle SSL_CERT_FILE=$bundle")
fi
tar -C "$root" -c . | docker import "${changes[@]}" --change 'CMD ["python3"]' - "$tag" >/dev/null
