#!/bin/sh
# Runs a script of this project with the pinned Node; installs the dependencies first where they are missing or old.
cd "$(dirname "$0")/.." || exit 1
if [ ! -x node_modules/node/bin/node ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  echo "installing dependencies (npm ci) ..." >&2
  npm ci --no-audit --no-fund --loglevel=error >&2 || exit 1
fi
exec node_modules/node/bin/node "$@"
