# SPDX-License-Identifier: Apache-2.0
"""Attach and detach by connector, as the Cinder driver does."""

from collections.abc import Mapping
from typing import Any

from mydriver import connection, model
from mydriver.connection import iscsi
from mydriver.target import exports


def connect(service: exports.ExportService, volume_id: str,
            connector: Mapping[str, Any], *, read_only: bool = False,
            keep_writable: bool = False) -> dict[str, Any]:
    """Map a volume; return ``connection_info['data']``."""
    host = connection.Connector.parse(connector)
    can = host.capabilities
    reached = service.initialize_connection(
        volume_id, host.require_initiator(), read_only=read_only,
        keep_writable=keep_writable, mutual=can.mutual_chap)
    return iscsi.Connection(
        volume_id=volume_id,
        paths=iscsi.paths(reached.mapped.export.target, reached.portals,
                          reached.mapped.mapping.lun),
        chap=reached.secrets, read_only=read_only,
        wwn=model.naa_id(volume_id)).to_data(can)


def disconnect(service: exports.ExportService, volume_id: str,
               connector: Mapping[str, Any]) -> bool:
    """Unmap a volume; return whether others use it."""
    return service.terminate_connection(
        volume_id, connection.Connector.parse(connector).require_initiator())
