# SPDX-License-Identifier: Apache-2.0
"""Configuration files of the daemons and of clients."""

from collections.abc import Mapping
from pathlib import Path

#: Modules of the manager that are of no use here. Each costs memory and time
#: at its start.
_NO_MODULES = (
    'alerts', 'cephadm', 'dashboard', 'devicehealth', 'diskprediction_local',
    'influx', 'insights', 'iostat', 'k8sevents', 'localpool', 'mirroring',
    'nfs', 'osd_perf_query', 'osd_support', 'prometheus', 'restful', 'rook',
    'selftest', 'snap_schedule', 'stats', 'telegraf', 'telemetry',
    'test_orchestrator', 'zabbix')

Section = Mapping[str, str | int | float | bool]


def render(sections: Mapping[str, Section]) -> str:
    """Return the text of a ceph.conf."""
    lines = []
    for name, options in sections.items():
        lines.append(f'[{name}]')
        for option, value in options.items():
            text = str(value).lower() if isinstance(value, bool) else value
            lines.append(f'{option} = {text}')
    return '\n'.join(lines) + '\n'


def client(fsid: str, address: str, keyrings: Path | None = None) -> str:
    """Return the configuration for clients.

    Requests fail after a minute rather than never.

    :param fsid: of the cluster.
    :param address: of the monitor.
    :param keyrings: directory of the keyrings ``ceph.USER.keyring``; None for
        the default, ``/etc/ceph``.
    """
    return render({'global': {
        'fsid': fsid,
        'mon_host': address,
        **({'keyring': f'{keyrings}/ceph.$name.keyring'} if keyrings else {}),
        'log_file': '',
        'admin_socket': '',
        'client_mount_timeout': 60,
        'rados_mon_op_timeout': 60,
        'rados_osd_op_timeout': 60,
    }})


def daemons(fsid: str, address: str, state: Path, osd_bytes: int) -> str:
    """Return the configuration of the daemons.

    They log to standard error. They have no admin sockets: the path of such a
    socket must be shorter than 108 bytes, and that of a clone may be longer.

    :param fsid: of the cluster.
    :param address: that all daemons listen on.
    :param state: directory of their files.
    :param osd_bytes: size of the OSD's sparse file.
    """
    return render({
        'global': {
            'fsid': fsid,
            'mon_host': address,
            'public_addr': address,
            'cluster_addr': address,
            'run_dir': f'{state}/run',
            'admin_socket': '',
            'crash_dir': f'{state}/crash',
            'log_file': '',
            'log_to_stderr': True,
            'err_to_stderr': True,
            'mon_cluster_log_file': '',
            'mon_cluster_log_to_stderr': False,
            'osd_pool_default_size': 1,
            'osd_pool_default_min_size': 1,
            'osd_pool_default_pg_num': 8,
            'osd_pool_default_pg_autoscale_mode': 'off',
            'osd_crush_chooseleaf_type': 0,
            'mon_allow_pool_size_one': True,
            'mon_warn_on_pool_no_redundancy': False,
            'mon_data_avail_warn': 1,
            'mon_data_avail_crit': 1,
            'ms_async_op_threads': 1,
            'ms_type': 'async+posix',
        },
        'mon': {
            'mon_data': f'{state}/$name',
            'mon_allow_pool_delete': True,
            'mon_osd_min_down_reporters': 1,
            'auth_allow_insecure_global_id_reclaim': False,
            'rocksdb_cache_size': '16M',
            'mon_memory_autotune': False,
            'mon_osd_cache_size': 10,
            # Ten years, as the driver's documentation asks for.
            'mon_osd_blocklist_default_expire': 10 * 365 * 86400,
            'debug_mon': 0,
            'debug_paxos': 0,
            'paxos_propose_interval': 0.1,
        },
        'mgr': {
            'mgr_data': f'{state}/$name',
            'mgr_initial_modules': '',
            'mgr_disabled_modules': ' '.join(_NO_MODULES),
            'mgr_tick_period': 1,
            'mgr_stats_period': 1,
        },
        'osd': {
            'osd_data': f'{state}/$name',
            'osd_objectstore': 'bluestore',
            'bluestore_block_size': osd_bytes,
            'bluestore_block_create': True,
            'bluestore_cache_autotune': False,
            'bluestore_cache_size': '32M',
            'bluestore_fsck_on_mount': False,
            'bluestore_rocksdb_options': (
                'compression=kNoCompression,max_write_buffer_number=4,'
                'min_write_buffer_number_to_merge=1,'
                'recycle_log_file_num=4,write_buffer_size=16777216,'
                'writable_file_max_buffer_size=0,'
                'compaction_readahead_size=2097152'),
            'osd_memory_target': 939524096,
            'osd_op_num_shards': 1,
            'osd_op_num_threads_per_shard': 2,
            'osd_class_update_on_start': False,
            'osd_crush_update_on_start': True,
            'osd_max_pg_log_entries': 100,
            'osd_min_pg_log_entries': 10,
        },
    })
