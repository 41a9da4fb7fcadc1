#!/bin/sh
# Run by cloud-init at a machine's first boot, from the disk that has this: puts the agent beside it into the guest.
set -e
disk=/run/ovm-first-boot
mkdir -p "$disk"
mount -o ro LABEL=cidata "$disk"
trap 'umount "$disk"; rmdir "$disk"' EXIT

# install MODE FILE PLACE
install() {
  cp "$disk/$2" "$3"
  chmod "$1" "$3"
}

if [ -d /run/systemd/system ]; then service=/etc/systemd/system/ovm-agent.service
elif [ -d /run/openrc ]; then service=/etc/init.d/ovm-agent
else
  echo "ovm-agent: neither systemd nor OpenRC is here to start it" >&2
  exit 1
fi
mkdir -p /usr/local/sbin
install 755 ovm-agent /usr/local/sbin/ovm-agent
case $service in
*.service)
  install 644 ovm-agent.service "$service"
  # That has it read its units anew, too.
  systemctl enable ovm-agent.service
  systemctl restart ovm-agent.service
  ;;
*)
  install 755 ovm-agent.openrc "$service"
  rc-update add ovm-agent default
  rc-service ovm-agent restart
  ;;
esac
