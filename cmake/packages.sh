#!/usr/bin/env bash
# Installs the Debian packages named, skipping those that are there; says what it needs if not root.
set -euo pipefail
missing=()
for package in "$@"; do
  status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" != 0 ]; then
  echo "== These packages are needed; run as root:"
  echo "apt-get update && apt-get install ${missing[*]}"
  exit 1
fi
echo "== Installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -q -o Dpkg::Use-Pty=0 --no-install-recommends "${missing[@]}" |
  sed -u -n 's/^Setting up \([^ ]*\).*/   \1/p'
