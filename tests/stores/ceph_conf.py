"""The configuration of a Ceph cluster for tests: one machine, small, quick and unreplicated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.stores.processes import LOCALHOST

if TYPE_CHECKING:
    from pathlib import Path

TEMPLATE = """\
[global]
fsid = {fsid}
mon_host = v1:{host}:{mon_port}
public_addr = {host}
cluster_addr = {host}
# one protocol is enough, and mon_host names one port
ms_bind_msgr2 = false
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
# one OSD, one copy
mon_allow_pool_size_one = true
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_crush_chooseleaf_type = 0
# enough placement groups that parallel requests do not queue on the lock of one
osd_pool_default_pg_num = 16
osd_pool_default_pgp_num = 16
osd_pool_default_pg_autoscale_mode = off
# everything below one directory; a socket's path would be too long for the kernel in a deep one
admin_socket =
run_dir = {directory}
crash_dir = {directory}
keyring = {directory}/keyring
log_file = {directory}/$name.log
log_to_stderr = false
err_to_stderr = true
mon_data = {directory}/mon
mgr_data = {directory}/mgr
osd_data = {directory}/osd
rgw_data = {directory}
# no module of the manager is needed, and loading them takes seconds of CPU
mgr_module_path = {directory}/mgr_modules
# by default a change of the maps is held back for a second, in case more come
paxos_propose_interval = 0.05
paxos_min_wait = 0.02
# how soon a client notices that the OSD, for which it waits, is there
objecter_tick_interval = 0.2
mgr_tick_period = 1
mgr_stats_period = 1
# the machine's disk may be nearly full; what counts is our own file
mon_data_avail_warn = 0
mon_data_avail_crit = 0
# The OSD does both as its first act, and ends for good when the monitor has not told it the fsid
# yet ('wrong fsid', one start in six). We put it into the CRUSH map ourselves.
osd_class_update_on_start = false
osd_crush_update_on_start = false
osd_objectstore = bluestore
bluestore_block_create = true
bluestore_fsck_on_mkfs = false
# each of the dozen times that the start opens and closes the file takes this long
bdev_aio_poll_ms = 25
bluestore_block_size = {size_bytes}
bluestore_cache_autotune = false
# without tcp_nodelay each small GET waits for a delayed acknowledgement
rgw_frontends = beast endpoint={host}:{rgw_port} tcp_nodelay=1
# of 512, which it starts otherwise, most are woken in vain
rgw_thread_pool_size = 96
# deleted data is given back within seconds instead of two hours
rgw_gc_obj_min_wait = 5
rgw_gc_processor_period = 10
rgw_gc_processor_max_time = 10
# no statistics, usage or sync threads
rgw_enable_ops_log = false
rgw_enable_usage_log = false
rgw_run_sync_thread = false
# In production the store has machines of its own. Here it shares two cores with what is tested, so
# it does without what helps to find faults: notes of each step, kept in memory for a crash; a list
# of the operations under way; checksums of messages that never leave this machine.
osd_enable_op_tracker = false
throttler_perf_counter = false
ms_crc_data = false
ms_crc_header = false
{quiet}
"""

NOTING = (
    "auth", "bdev", "bluefs", "bluestore", "buffer", "finisher", "memdb", "mon", "monc", "ms",
    "objclass", "objecter", "osd", "rados", "rgw", "rocksdb", "throttle", "timer", "tp",
)  # fmt: skip
"""What writes notes on each request."""


def write_ceph_conf(
    directory: Path, *, fsid: str, mon_port: int, rgw_port: int, size_bytes: int
) -> Path:
    """Write ``ceph.conf`` into *directory*, which holds everything else too; return its path."""
    path = directory / "ceph.conf"
    path.write_text(
        TEMPLATE.format(
            fsid=fsid,
            host=LOCALHOST,
            mon_port=mon_port,
            rgw_port=rgw_port,
            directory=directory,
            size_bytes=size_bytes,
            quiet="\n".join(f"debug_{name} = 0/0" for name in NOTING),
        )
    )
    return path
