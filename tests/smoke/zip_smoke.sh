#!/bin/sh
# Runs a job from the zip with a plain spark-submit on this machine, from another folder than the checkout.
#   tests/smoke/zip_smoke.sh jobs/daily.py ARGS...      (paths in ARGS absolute)
set -eu
. "$(dirname "$0")/elsewhere.sh"
spark-submit --master 'local[2]' --py-files "$zip" "$job" "$@"
