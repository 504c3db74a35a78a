#!/bin/bash
# Runs a job from the zip on a standalone master and one worker of its own, all on loopback, from another folder than
# the checkout. Both are stopped at the end, whatever the end is.
#   tests/smoke/cluster_smoke.sh jobs/daily.py ARGS...      (paths in ARGS absolute)
#   SMOKE_SECONDS=600       how long the job may take: with a dead worker Spark would wait for ever
set -eu
. "$(dirname "$0")/elsewhere.sh"
master='' worker=''

stop() {
    status=$?
    trap - EXIT INT TERM
    # The worker first: on TERM it ends its executors. Neither may outlive us, so KILL after ten seconds.
    for process in $worker $master; do
        kill -TERM "$process" 2> /dev/null || continue
        for _ in $(seq 100); do
            kill -0 "$process" 2> /dev/null || break
            sleep 0.1
        done
        kill -KILL "$process" 2> /dev/null || true
        wait "$process" 2> /dev/null || true
    done
    if [ "$status" -ne 0 ]; then
        tail -n 40 "$scratch"/*.log "$scratch"/work/*/*/stderr >&2 2> /dev/null || true
    fi
    rm -rf "$scratch"
    exit "$status"
}
trap stop EXIT
trap 'exit 130' INT TERM

port=$(python - << 'PYTHON'
import socket

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    print(free.getsockname()[1])
PYTHON
)
url=spark://127.0.0.1:$port

# Their web pages get a free port each (0) and, as everything here, listen on loopback (SPARK_LOCAL_IP).
spark-class org.apache.spark.deploy.master.Master --host 127.0.0.1 --port "$port" --webui-port 0 \
    > "$scratch/master.log" 2>&1 &
master=$!
for _ in $(seq 600); do
    kill -0 "$master" 2> /dev/null || { echo "smoke: the master ended at once" >&2; exit 1; }
    (: < "/dev/tcp/127.0.0.1/$port") 2> /dev/null && break
    sleep 0.1
done
spark-class org.apache.spark.deploy.worker.Worker --host 127.0.0.1 --cores 2 --memory 2g --webui-port 0 \
    --work-dir "$scratch/work" "$url" > "$scratch/worker.log" 2>&1 &
worker=$!

timeout "${SMOKE_SECONDS:-600}" \
    spark-submit --master "$url" --conf spark.executor.memory=1g --py-files "$zip" "$job" "$@"
