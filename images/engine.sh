#!/usr/bin/env bash
# Runs a command with a container engine: this machine's own if one answers, else one that is started for it.
#
#   images/engine.sh docker run ...     make images and make e2e call it
#
# Where there is none, on Debian or Ubuntu as root: installs Debian's Docker, starts its daemon in a folder of
# its own, makes a base image from Debian's packages where Docker Hub cannot be reached, serves the CPU build of
# torch if this machine's pip finds one, and hands pip's settings and certificates in as secrets. At the end
# the daemon is stopped and all that it made is removed; ENGINE_ROOT names a folder to keep for the next time,
# PACKAGES what the command needs of Debian besides.
set -euo pipefail

docker=${DOCKER:-docker}
if "$docker" info >/dev/null 2>&1; then
  exec "$@"
fi
[ "$(id -u)" = 0 ] || { echo "no container engine answers: start Docker, or set DOCKER_HOST" >&2; exit 69; }

here=$(cd "$(dirname "$0")/.." && pwd)
root=${ENGINE_ROOT:-$(mktemp -d /var/tmp/trunkline-engine.XXXXXX)}
mkdir -p "$root"
processes=()

finish() {
  for process in "${processes[@]}"; do kill "$process" 2>/dev/null && wait "$process" || true; done
  awk -v root="$root/" 'index($2, root) == 1 {print $2}' /proc/mounts | sort -r | xargs -r umount
  [ -n "${ENGINE_ROOT:-}" ] || rm -rf "$root"
}
trap finish EXIT

missing=()
[ -x /usr/sbin/dockerd ] && [ -x /usr/bin/docker ] || missing+=(docker.io)
command -v debootstrap >/dev/null || missing+=(debootstrap)
for package in ${PACKAGES:-}; do dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package"); done
if [ ${#missing[@]} -gt 0 ]; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

export DOCKER=/usr/bin/docker DOCKER_HOST="unix://$root/docker.sock" # this client builds with BuildKit alone
/usr/sbin/dockerd --data-root "$root/data" --exec-root "$root/run" --pidfile "$root/pid" --host "$DOCKER_HOST" \
  --bridge none --iptables=false --storage-driver overlay2 >"$root/dockerd.log" 2>&1 &
processes+=($!)
for _ in $(seq 60); do "$DOCKER" info >/dev/null 2>&1 && break; sleep 0.5; done
"$DOCKER" info >/dev/null || { tail -5 "$root/dockerd.log" >&2; exit 69; }

base=${BASE_IMAGE:-$(sed -n 's/^ARG BASE_IMAGE=//p' "$here/images/base/Dockerfile")}
if ! "$DOCKER" image inspect "$base" >/dev/null 2>&1 && ! "$DOCKER" pull --quiet "$base" 2>/dev/null; then
  debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$root/base" >"$root/base.log"
  rm -rf "$root"/base/var/{cache/apt,lib/apt/lists,log}/* "$root"/base/usr/share/{doc,man,locale}/*
  tar -C "$root/base" -c . | "$DOCKER" import - "$base" >/dev/null
  rm -rf "$root/base"
fi

if [ -z "${TORCH_INDEX:-}" ]; then
  python="$here/.venv/bin/python"
  rm -rf "$root/index" # of the time before
  PYTHONPATH="$here" "$python" -m images.torch_index "$root/index"
  if [ -e "$root/index/torch/index.html" ]; then
    port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    "$python" -m http.server "$port" --bind 127.0.0.1 --directory "$root/index" >"$root/index.log" 2>&1 &
    processes+=($!)
    export TORCH_INDEX="http://127.0.0.1:$port"
  fi
fi

certificates=${PIP_CERT:-/etc/ssl/certs/ca-certificates.crt}
if [ -z "${PIP_CONF:-}" ] && [ -e "$certificates" ]; then
  printf '[global]\ncert = /run/secrets/ca\n' >"$root/pip.conf"
  export PIP_CONF="$root/pip.conf" CA_BUNDLE="$certificates"
fi
export BUILD_NETWORK=host
"$@"
