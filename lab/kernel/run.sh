# SPDX-License-Identifier: Apache-2.0
# Payload of `lab kernel run`: everything that a test may need, then the command
# in RUN_DIR/argv. Its output goes to files there, which the host reads as they
# grow, since a console would garble it. Its status is written atomically.
node_udev
node_lio && node_dm && node_initiator "$RUN_INITIATOR" && ready=1
if [ "$RUN_CEPH" ]; then
    node_network "$RUN_ADDRESS"
    node_ceph "$RUN_CEPH" client.admin client.cinder
fi
# The host makes this file when all is ready that it starts itself.
node_wait "$RUN_DIR/go"
status=125
if [ "$ready" ]; then
    mapfile -d '' -t argv < "$RUN_DIR/argv"
    node_log "run ${argv[0]}"
    (
        set -a
        . "$RUN_DIR/environ"
        set +a
        cd "$RUN_CWD" || exit 125
        exec "${argv[@]}"
    ) >> "$RUN_DIR/$RUN_STDOUT" 2>> "$RUN_DIR/$RUN_STDERR" < /dev/null
    status=$?
fi
node_log "status $status"
echo $status > "$RUN_DIR/status.new"
mv "$RUN_DIR/status.new" "$RUN_DIR/status"
