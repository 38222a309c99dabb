#!/bin/bash
# Start one monitor, one OSD and radosgw on the loopback interface, without systemd and without cephx. The first start
# creates the cluster; a later one starts what is not running. No manager: neither the OSD nor radosgw needs one, and it
# would cost 300 MB. Settings: see common.sh. The S3 endpoint is http://127.0.0.1:$RGW_PORT.
set -euo pipefail
. "$(dirname "$0")/common.sh"

# What is in memory is gone once the OSD has stopped, and a monitor that remembers its pools would wait for them for ever.
if [ "$OSD_TYPE" = memstore ] && ! running osd.0 && ! running mon.a; then
    rm -rf "$CEPH_DIR"
fi
mkdir -p "$CEPH_DIR"/{run,log,mon,osd,rgw}

write_conf() {
    local fsid=$1
    cat > "$CONF" <<CONF
[global]
fsid = $fsid
mon_host = v2:127.0.0.1:$MON_PORT
public_network = 127.0.0.0/8
cluster_network = 127.0.0.0/8
ms_bind_ipv6 = false
ms_bind_msgr1 = false
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
keyring = $CEPH_DIR/none
# radosgw insists on a "secure" link to the monitor, which exists only with cephx: without these two lines it hangs
ms_mon_client_mode = crc
ms_client_mode = crc
run_dir = $CEPH_DIR/run
pid_file = $CEPH_DIR/run/\$name.pid
admin_socket = $CEPH_DIR/run/\$name.asok
log_file = $CEPH_DIR/log/\$name.log
mon_cluster_log_file = $CEPH_DIR/log/cluster.log
crash_dir = $CEPH_DIR/log
log_to_stderr = false
err_to_stderr = false
# one node, one copy
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pgp_num = 4
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_warn_on_pool_no_redundancy = false
mon_max_pg_per_osd = 2000
# every new pool is a map change, and each waits this long (default 1 s)
paxos_propose_interval = 0.05
[mon]
mon_data = $CEPH_DIR/mon
mon_data_avail_crit = 1
mon_data_avail_warn = 2
[osd]
osd_data = $CEPH_DIR/osd
osd_objectstore = $OSD_TYPE
osd_memory_target = 939524096
osd_class_load_list = *
osd_class_default_list = *
bluestore_block_size = $(numfmt --from=iec "$OSD_SIZE")
memstore_device_bytes = $(numfmt --from=iec "$OSD_SIZE")
# the device is opened and closed some 15 times on the way up, and every close waits one poll (default 250 ms)
bdev_aio_poll_ms = 10
bluestore_fsck_on_mkfs = false
osd_op_num_shards = 2
osd_op_num_threads_per_shard = 2
[client]
# civetweb: this version's beast aborts on batch deletes with notifications. tcp_nodelay: 2 ms a GET instead of 48
rgw_frontends = civetweb port=127.0.0.1:$RGW_PORT num_threads=64 tcp_nodelay=1
rgw_data = $CEPH_DIR/rgw
rgw_thread_pool_size = 32
rgw_rados_pool_pg_num_min = 4
rgw_dynamic_resharding = false
rgw_override_bucket_index_max_shards = 1
rgw_enable_usage_log = false
rgw_enable_ops_log = false
rgw_enable_apis = s3, admin, notifications
CONF
}

if [ ! -f "$CONF" ]; then
    write_conf "$(cat /proc/sys/kernel/random/uuid)"
fi
fsid=$(sed -n 's/^fsid = //p' "$CONF")

if ! running mon.a; then
    if [ ! -d "$CEPH_DIR/mon/store.db" ]; then
        monmaptool --create --clobber --fsid "$fsid" --addv a "[v2:127.0.0.1:$MON_PORT]" "$CEPH_DIR/monmap" >/dev/null
        ceph-mon -c "$CONF" -i a --mkfs --monmap "$CEPH_DIR/monmap"
    fi
    ceph-mon -c "$CONF" -i a
fi
wait_for 30 "the monitor" ceph -c "$CONF" --connect-timeout 2 mon stat

if ! running osd.0; then
    if [ ! -f "$CEPH_DIR/osd/whoami" ]; then
        [ -f "$CEPH_DIR/osd_uuid" ] || cat /proc/sys/kernel/random/uuid > "$CEPH_DIR/osd_uuid"
        ceph -c "$CONF" --connect-timeout 10 osd new "$(cat "$CEPH_DIR/osd_uuid")" >/dev/null
        ceph-osd -c "$CONF" -i 0 --mkfs --osd-uuid "$(cat "$CEPH_DIR/osd_uuid")" >/dev/null
    fi
    ceph-osd -c "$CONF" -i 0 >/dev/null
fi
osd_is_up() { ceph -c "$CONF" --connect-timeout 5 osd stat | grep -q '1 up'; }
wait_for 60 "the OSD" osd_is_up

# Creating the user first also creates the zone and its pools, so that radosgw finds them and is up at once.
if [ ! -f "$CEPH_DIR/user.json" ]; then
    radosgw-admin -c "$CONF" user create --uid sluice --display-name Sluice \
        --access-key "$S3_ACCESS_KEY" --secret-key "$S3_SECRET_KEY" > "$CEPH_DIR/user.json.new"
    mv "$CEPH_DIR/user.json.new" "$CEPH_DIR/user.json"
fi
running client.rgw.a || radosgw -c "$CONF" -n client.rgw.a
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$RGW_PORT"); }
wait_for 60 "radosgw" answers
echo "ceph: S3 at http://127.0.0.1:$RGW_PORT"
