#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# DevStack's plugin: a Cinder backend of this driver, and Nova's plugin.
#
# DevStack sources this file at each phase:
#   source plugin.sh MODE [PHASE]
# Its lib/cinder calls the functions {configure,init,cleanup}_cinder_backend_TYPE
# for each TYPE:NAME in CINDER_ENABLED_BACKENDS.

_XTRACE_MYDRIVER=$(set +o | grep xtrace)
set +o xtrace

# A backend's place
# -----------------

# Print the path of the file that holds a backend's volumes.
function _mydriver_backing_file {
    echo "$MYDRIVER_DATA_DIR/$1.img"
}

# Print mydriver_store_path of a backend: a directory, or a volume group.
function _mydriver_store_path {
    case $MYDRIVER_STORE in
        reflink) echo "$MYDRIVER_DATA_DIR/$1" ;;
        lvmthin) echo "mydriver-$1" ;;
        *) die $LINENO "MYDRIVER_STORE is $MYDRIVER_STORE: use reflink or lvmthin" ;;
    esac
}

# Configuration
# -------------

# Write a backend's section.
# _mydriver_set_backend [-sudo] FILE NAME
function _mydriver_set_backend {
    local as_root=()
    if [[ $1 == "-sudo" ]]; then
        as_root=(-sudo)
        shift
    fi
    local file=$1 name=$2 path
    path=$(_mydriver_store_path "$name")
    iniset "${as_root[@]}" "$file" "$name" volume_driver mydriver.cinder_volume.driver.LIODriver
    iniset "${as_root[@]}" "$file" "$name" volume_backend_name "$name"
    iniset "${as_root[@]}" "$file" "$name" mydriver_store "$MYDRIVER_STORE"
    iniset "${as_root[@]}" "$file" "$name" mydriver_store_path "$path"
    iniset "${as_root[@]}" "$file" "$name" target_ip_address "$CINDER_MY_IP"
    iniset "${as_root[@]}" "$file" "$name" target_port "$CINDER_TARGET_PORT"
    iniset "${as_root[@]}" "$file" "$name" target_prefix "$CINDER_TARGET_PREFIX"
    iniset "${as_root[@]}" "$file" "$name" use_chap_auth "$MYDRIVER_USE_CHAP"
}

# Create root's own configuration files. The daemons that run as root read
# these, because the stack user can write to /etc/cinder and /etc/nova.
function _mydriver_make_conf {
    sudo install -d -o root -g root -m 0755 "$MYDRIVER_CONF_DIR"
    local service
    for service in cinder nova; do
        if [[ ! -e $MYDRIVER_CONF_DIR/$service.conf ]]; then
            sudo install -o root -g root -m 0644 /dev/null "$MYDRIVER_CONF_DIR/$service.conf"
        fi
    done
}

# Print the command that starts the privileged daemon of a service.
# _mydriver_helper BIN_DIR SERVICE
function _mydriver_helper {
    echo "$1/privsep-helper --config-file $MYDRIVER_CONF_DIR/$2.conf"
}

# Print a line for sudo.
# _mydriver_sudoers_line BIN_DIR SERVICE CONTEXT
function _mydriver_sudoers_line {
    local conf=$MYDRIVER_CONF_DIR/$2.conf
    # The arguments are a regular expression (sudo 1.9.10).
    echo "$STACK_USER ALL=(root) NOPASSWD: $1/privsep-helper" \
        "^--config-file ${conf//./\\.} --privsep_context mydriver\\.privileged\\.$3" \
        "--privsep_sock_path /tmp/[a-z0-9_]+/privsep\\.sock\$"
}

# Allow the services to start their daemons. DevStack's own rule allows the
# stack user everything, but jobs remove it before they run tests.
function configure_mydriver_sudoers {
    local new
    new=$(mktemp)
    if is_service_enabled c-vol; then
        _mydriver_sudoers_line "$CINDER_BIN_DIR" cinder target_context >> "$new"
    fi
    if is_service_enabled n-cpu && [[ $MYDRIVER_NOVA_DRIVER == True ]]; then
        _mydriver_sudoers_line "$NOVA_BIN_DIR" nova initiator_context >> "$new"
    fi
    if sudo visudo -cqf "$new"; then
        sudo install -o root -g root -m 0440 "$new" "$MYDRIVER_SUDOERS"
    else
        echo_summary "sudo is older than 1.9.10: $MYDRIVER_SUDOERS is not written"
    fi
    rm -f "$new"
}

# Called by lib/cinder
# --------------------

function configure_cinder_backend_mydriver {
    local name=$1 helper enabled
    helper=$(_mydriver_helper "$CINDER_BIN_DIR" cinder)
    _mydriver_set_backend "$CINDER_CONF" "$name"
    iniset "$CINDER_CONF" mydriver_privsep_target helper_command "sudo $helper"

    local conf=$MYDRIVER_CONF_DIR/cinder.conf
    _mydriver_make_conf
    enabled=$(iniget "$conf" DEFAULT enabled_backends)
    if [[ ,$enabled, != *,$name,* ]]; then
        iniset -sudo "$conf" DEFAULT enabled_backends "${enabled:+$enabled,}$name"
    fi
    iniset -sudo "$conf" DEFAULT state_path "$CINDER_STATE_PATH"
    _mydriver_set_backend -sudo "$conf" "$name"
}

function init_cinder_backend_mydriver {
    local name=$1 file path
    file=$(_mydriver_backing_file "$name")
    path=$(_mydriver_store_path "$name")
    sudo install -d -o "$STACK_USER" -m 0755 "$MYDRIVER_DATA_DIR"
    truncate -s "$MYDRIVER_BACKING_FILE_SIZE" "$file"
    if [[ $MYDRIVER_STORE == reflink ]]; then
        if ! mountpoint -q "$path"; then
            sudo mkfs.xfs -q -f -m reflink=1 "$file"
            mkdir -p "$path"
            sudo mount -o loop "$file" "$path"
        fi
        sudo chown "$STACK_USER" "$path"
        sudo chmod 0750 "$path"
    elif ! sudo vgs "$path" > /dev/null 2>&1; then
        # The driver creates the thin pool.
        sudo vgcreate "$path" "$(sudo losetup --find --show "$file")"
    fi
}

# Targets that have no volumes stay until the next boot. Volumes that still
# have an export keep the file system busy. What the backend remembers goes
# with its store: it would refuse another one.
function cleanup_cinder_backend_mydriver {
    local name=${1:?no backend} file path device
    file=$(_mydriver_backing_file "$name")
    path=$(_mydriver_store_path "$name")
    if [[ $MYDRIVER_STORE == reflink ]]; then
        if mountpoint -q "$path"; then
            sudo umount "$path"
        fi
        sudo rm -rf "$path"
    else
        sudo vgremove -q -f "$path" || true
        for device in $(sudo losetup --noheadings --output NAME --associated "$file"); do
            sudo losetup --detach "$device"
        done
    fi
    sudo rm -f "$file"
    sudo rm -rf "${CINDER_STATE_PATH:?}/mydriver/$name"
}

# Phases
# ------

# Packages and kernel modules.
function preinstall_mydriver {
    install_package sudo kmod udev open-iscsi lsscsi multipath-tools dmsetup \
        qemu-utils cryptsetup-bin xfsprogs lvm2 thin-provisioning-tools
    if is_service_enabled c-vol; then
        printf '%s\n' target_core_mod iscsi_target_mod | sudo tee "$MYDRIVER_MODULES" > /dev/null
        sudo modprobe -a target_core_mod iscsi_target_mod
    fi
}

function install_mydriver {
    setup_develop "$MYDRIVER_DIR" storage,compute
}

# Make nova-compute use our driver.
function configure_mydriver_nova {
    local helper
    helper=$(_mydriver_helper "$NOVA_BIN_DIR" nova)
    _mydriver_make_conf
    iniset "$NOVA_CONF" DEFAULT compute_driver mydriver.LibvirtDriver
    iniset "$NOVA_CONF" mydriver_privsep_initiator helper_command "sudo $helper"
}

function clean_mydriver {
    sudo rm -rf "$MYDRIVER_CONF_DIR"
    sudo rm -f "$MYDRIVER_SUDOERS" "$MYDRIVER_MODULES"
}

if is_service_enabled c-vol n-cpu; then
    if [[ "$1" == "stack" && "$2" == "pre-install" ]]; then
        echo_summary "Installing what mydriver needs"
        preinstall_mydriver
    elif [[ "$1" == "stack" && "$2" == "install" ]]; then
        echo_summary "Installing mydriver"
        install_mydriver
    elif [[ "$1" == "stack" && "$2" == "post-config" ]]; then
        echo_summary "Configuring mydriver"
        if is_service_enabled n-cpu && [[ $MYDRIVER_NOVA_DRIVER == True ]]; then
            configure_mydriver_nova
        fi
        configure_mydriver_sudoers
    elif [[ "$1" == "clean" ]]; then
        clean_mydriver
    fi
fi

$_XTRACE_MYDRIVER
