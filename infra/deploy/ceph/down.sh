#!/bin/bash
# Stop what up.sh started, by process id, in reverse order. --kill: at once, as a crash would; --purge: remove the data too.
set -uo pipefail
. "$(dirname "$0")/common.sh"

for ((i = ${#DAEMONS[@]} - 1; i >= 0; i--)); do
    name=${DAEMONS[i]}
    if running "$name"; then
        pid=$(pid_of "$name")
        [[ " $* " == *" --kill "* ]] && kill -KILL "$pid" || kill -TERM "$pid"
        # radosgw keeps no state of its own and is slow to stop: 5 s; the others flush, and get 20 s
        tries=400
        [ "$name" = client.rgw.a ] && tries=100
        while running "$name" && [ $((tries--)) -gt 0 ]; do sleep 0.05; done
        if running "$name"; then
            kill -KILL "$pid"
            sleep 0.2
        fi
    fi
    rm -f "$CEPH_DIR/run/$name.pid"
done
if [[ " $* " == *" --purge "* ]]; then
    rm -rf "$CEPH_DIR"
fi
