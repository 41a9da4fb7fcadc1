#!/bin/sh
# Run by cloud-init at a machine's first boot, from the disk that has this: puts the agent beside it into the guest.
set -e
disk=/run/ovm-first-boot
mkdir -p "$disk"
mount -o ro LABEL=cidata "$disk"
trap 'umount "$disk"; rmdir "$disk"' EXIT
[ -d /run/systemd/system ] || { echo "ovm-agent: without systemd nothing starts it" >&2; exit 1; }
mkdir -p /usr/local/sbin
cp "$disk/ovm-agent" /usr/local/sbin/ovm-agent
chmod 755 /usr/local/sbin/ovm-agent
cp "$disk/ovm-agent.service" /etc/systemd/system/ovm-agent.service
systemctl daemon-reload
systemctl enable ovm-agent.service
systemctl restart ovm-agent.service
