# Settings of the single-node Ceph for tests and benchmarks; read by up.sh and down.sh. All come from the environment.
#
#   CEPH_DIR        where everything is kept (required; absolute)
#   MON_PORT        port of the monitor; keep it outside 6800-7300, which the OSD takes from
#   RGW_PORT        port of the S3 endpoint
#   S3_ACCESS_KEY, S3_SECRET_KEY   the only user's keys
#   OSD_TYPE        bluestore (durable, a sparse file) or memstore (in memory, gone when stopped, quicker to start)
#   OSD_SIZE        how large the store may grow
: "${CEPH_DIR:?set CEPH_DIR to the folder the cluster shall live in}"
MON_PORT=${MON_PORT:-6789}
RGW_PORT=${RGW_PORT:-7480}
S3_ACCESS_KEY=${S3_ACCESS_KEY:-sluice}
S3_SECRET_KEY=${S3_SECRET_KEY:-sluice-secret}
OSD_TYPE=${OSD_TYPE:-bluestore}
OSD_SIZE=${OSD_SIZE:-20G}
CONF=$CEPH_DIR/ceph.conf
DAEMONS=(mon.a osd.0 client.rgw.a)

pid_of() { cat "$CEPH_DIR/run/$1.pid" 2>/dev/null; }

# A zombie counts as stopped: whoever is process 1 here may take its time to reap it.
running() {
    local pid
    pid=$(pid_of "$1") && [ -n "$pid" ] && grep -q '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$pid/status" 2>/dev/null
}

# wait_for SECONDS WHAT COMMAND...
wait_for() {
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        if [ "$SECONDS" -ge "$end" ]; then
            echo "ceph: $what did not come up; see $CEPH_DIR/log" >&2
            exit 1
        fi
        sleep 0.05
    done
}
