#!/bin/sh
# Builds a Debian server into .cache/server: one disk that boots by BIOS and GRUB, with systemd, sshd and cloud-init out
# of Debian's packages. Nothing is mounted or attached for it here: the file system is made of a folder, and GRUB is
# written before the partition. What the disk has of our own: server/.
. "$(dirname "$0")/lib.sh"
lock server
parts=$root/scripts/server
out=$cache/server

stamp=$(find "$root/scripts/server.sh" "$parts" "$root/scripts/machine/quick" -type f | LC_ALL=C sort | xargs sha256sum | sha256sum)
[ "$(cat "$out/.stamp" 2>/dev/null)" != "$stamp" ] || exit 0
# Debian's packages are configured in a chroot, and files belong to others.
[ "$(id -u)" = 0 ] || { say "no Debian server: root alone can make it (make server)"; exit 0; }

say "building the Debian server"
# What is left of one that was killed over it.
rm -rf "$cache"/.server.*
new=$(mktemp -d "$cache/.server.XXXXXX")
trap 'rm -rf "$new"' EXIT
tree=$new/tree
uuid=6f766d73-0000-4000-8000-000000000002
label=0x6f766d73
mib=1048576
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
umask 022

# Debian's own sources among those of this host, however they are written down.
apt_private update >"$new/log" 2>&1 || { cat "$new/log" >&2; die "Debian's package lists could not be fetched"; }
# shellcheck disable=SC2016 # apt's own variables
apt_private indextargets --format "deb [signed-by=$keyring] "'$(REPO_URI) $(RELEASE) $(COMPONENT)' \
  "Created-By: Packages" "Origin: Debian" >"$new/sources"
[ -s "$new/sources" ] || die "this host has no apt source of Debian"

boots="linux-image-cloud-amd64 grub-pc-bin grub2-common systemd-sysv udev dbus"
serves="openssh-server cloud-init cloud-guest-utils systemd-resolved iproute2 sudo"
without="man doc info locale lintian"
# Whoever stops in the middle begins anew: dpkg need not wait for the disk after each file.
export DPKG_FORCE=unsafe-io
# The files are there before the packages, which look at some of them: what the initramfs has, which units start.
# shellcheck disable=SC2046,SC2086 # words on purpose
quietly mmdebstrap --variant=minbase --include="$(echo $boots $serves | tr ' ' ,)" \
  $(for what in $without; do echo "--dpkgopt=path-exclude=/usr/share/$what/*"; done) \
  --essential-hook="cp -r '$parts/files/.' \"\$1\"" "" "$tree" - <"$new/sources" ||
  die "mmdebstrap could not make the Debian server"

# What a server in a machine has no use for, and who it is: made at the first boot of each machine.
chroot "$tree" systemctl -q mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
  e2scrub_reap.service fstrim.timer getty@tty1.service systemd-binfmt.service systemd-networkd-wait-online.service
# Nor for file systems of the kernel's, modules of devices that it has not, records of who logged in, and a stage of
# cloud-init's whose modules run in the last one (files/etc/cloud): each stage loads Python anew, for 12 s of an
# emulated CPU, of which a third went to a schema and to templates that cloud-init does without where they are missing.
chroot "$tree" systemctl -q mask dev-hugepages.mount dev-mqueue.mount sys-kernel-config.mount sys-kernel-debug.mount \
  sys-kernel-tracing.mount sys-fs-fuse-connections.mount modprobe@.service kmod-static-nodes.service \
  systemd-network-generator.service systemd-update-utmp.service systemd-update-utmp-runlevel.service \
  systemd-pstore.service systemd-tmpfiles-clean.timer cloud-config.service
rm -r "$tree"/usr/lib/python3/dist-packages/jsonschema "$tree"/usr/lib/python3/dist-packages/jinja2
# Each of these is run at a boot, and again whenever a unit is enabled.
mkdir -p "$tree/etc/systemd/system-generators"
for what in cryptsetup debug gpt-auto hibernate-resume integritysetup rc-local run system-update sysv veritysetup; do
  ln -s /dev/null "$tree/etc/systemd/system-generators/systemd-$what-generator"
done
chroot "$tree" systemctl -q enable who-am-i what-is-up.timer systemd-networkd systemd-resolved
rm -f "$tree"/etc/ssh/ssh_host_* "$tree/var/lib/dbus/machine-id" "$tree"/var/cache/apt/*.bin
: >"$tree/etc/machine-id"
echo debian >"$tree/etc/hostname"
ln -sf ../run/systemd/resolve/stub-resolv.conf "$tree/etc/resolv.conf"

# GRUB as grub-install leaves it: its first sector and, behind that, what can read the file system with the rest.
grub=$tree/boot/grub
mkdir -p "$grub"
sed "/^ *linux/s/QUICK/$(cat "$root/scripts/machine/quick")/" "$parts/grub.cfg" >"$grub/grub.cfg"
cp -r "$tree/usr/lib/grub/i386-pc" "$grub"
chroot "$tree" grub-mkimage -O i386-pc -o /boot/grub/i386-pc/core.img -p '(hd0,msdos1)/boot/grub' \
  biosdisk part_msdos ext2 normal linux search_fs_uuid serial
truncate -s 2048M "$tree/tmp/disk"
printf 'label: dos\nlabel-id: %s\n2048,,83,*\n' "$label" | chroot "$tree" sfdisk -q /tmp/disk
disk=$new/disk.raw
mv "$tree/tmp/disk" "$disk"
dd status=none conv=notrunc bs=440 count=1 if="$grub/i386-pc/boot.img" of="$disk"
dd status=none conv=notrunc bs=512 seek=1 if="$grub/i386-pc/core.img" of="$disk"

# Features that GRUB does not read are left out.
mke2fs -q -F -t ext4 -b 4096 -U "$uuid" -O ^metadata_csum_seed,^orphan_file -m 1 -d "$tree" \
  -E "offset=$mib,hash_seed=$uuid,root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0" "$disk" 2047M
# zlib takes the same several times as long, here and at every boot.
qemu-img convert -q -c -f raw -O qcow2 -o compression_type=zstd "$disk" "$new/disk.qcow2"

cp "$parts/machine.json" "$new"
rm -rf "$tree" "$disk" "$new/log" "$new/sources"
echo "$stamp" >"$new/.stamp"
chmod 755 "$new"
rm -rf "$out"
mv -T "$new" "$out"
