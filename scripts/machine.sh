#!/bin/sh
# Builds the demo machine into .cache/machine, without root: Debian's kernel (which has VMGENID), an initramfs with the
# modules for its disk, a busybox userland as base disk and a second layer that changes /etc/layer. Its parts: machine/.
. "$(dirname "$0")/lib.sh"
lock machine
parts=$root/scripts/machine
out=$cache/machine

stamp=$(find "$root/scripts/machine.sh" "$parts" -type f | LC_ALL=C sort | xargs sha256sum | sha256sum)
[ "$(cat "$out/.stamp" 2>/dev/null)" != "$stamp" ] || exit 0

# The package that the meta package stands for just now. The machine's own lists may name one that is gone already.
behind() { sed -n 's/^ *Depends: //p'; }
kernel=$(apt-cache depends linux-image-amd64 2>/dev/null | behind)
if [ -z "$kernel" ] || ! (unpacked "$kernel") 2>"$cache/last.log"; then
  apt_private update
  kernel=$(apt_private depends linux-image-amd64 | behind)
  unpacked "$kernel"
fi
unpacked busybox-static
unpacked cpio
busybox=$cache/deb/busybox-static/bin/busybox
release=${kernel#linux-image-}

say "building the demo machine on $kernel"
new=$(mktemp -d "$cache/.machine.XXXXXX")
trap 'rm -rf "$new"' EXIT
# Times and identities are fixed, so that the same inputs give the same disks.
epoch=1735689600
uuid=6f766d73-0000-4000-8000-000000000001
umask 022

# modules_for NAME…: the files of these modules after those that they need; of one that the kernel has in itself, none.
"$busybox" depmod -b "$cache/deb/$kernel" "$release"
modules=$cache/deb/$kernel/lib/modules/$release
modules_for() {
  for name in "$@"; do
    ! grep -q "/$name\.ko$" "$modules/modules.builtin" || continue
    line=$(grep "/$name\.ko[^/]*:" "$modules/modules.dep") || die "$kernel has no module $name"
    # Dependencies stand after the colon, the deepest last.
    for file in ${line#*:}; do echo "$file"; done | tac
    echo "${line%%:*}"
  done | awk '!seen[$0]++'
}

# unsigned MODULE: without the signature at its end (Linux: scripts/sign-file.c), whose test takes an emulated CPU a
# twentieth of a second a module. Its length is in the last four bytes before a mark of 28.
unsigned() {
  [ "$(tail -c 28 "$1")" = "~Module signature appended~" ] || return 0
  # shellcheck disable=SC2046 # four numbers
  set -- "$1" $(tail -c 32 "$1" | od -An -t u1 -N 4)
  truncate -s "-$(($2 * 16777216 + $3 * 65536 + $4 * 256 + $5 + 40))" "$1"
}

# applets FOLDER: what busybox can do, by its names, where nothing else has them.
applets() {
  cp "$busybox" "$1/busybox"
  "$busybox" --list | while read -r applet; do [ -e "$1/$applet" ] || ln -s busybox "$1/$applet"; done
}

# archive NAME MODULE…: an initramfs, not compressed, of busybox, machine/NAME, what is in with/NAME if there is that, and
# these modules.
archive() {
  files=$new/$1
  mkdir -p "$files/bin" "$files/dev" "$files/etc" "$files/proc" "$files/root" "$files/sys" "$files/lib"
  cp -r "$parts/$1/." "$files"
  [ ! -d "$new/with/$1" ] || cp -r "$new/with/$1/." "$files"
  applets "$files/bin"
  chmod -R u=rwX,go=rX "$files"
  shift
  for file in $(modules_for "$@"); do
    name=$(basename "$file")
    cp "$modules/$file" "$files/lib/$name"
    case $name in *.xz) "$busybox" unxz "$files/lib/$name"; name=${name%.xz} ;; esac
    unsigned "$files/lib/$name"
    echo "/lib/$name" >>"$files/modules"
  done
  find "$files" -exec touch -h -d "@$epoch" {} +
  (cd "$files" && find . | sort | "$cache/deb/cpio/bin/cpio" --quiet --reproducible -o -H newc -R 0:0) >"$files.img"
  rm -rf "$files"
}

# ext4 asks for crc32c by name: no dependency that modules.dep knows of. virtio_console is the way to an agent, and 9p
# and virtiofs to folders of the host. Where there is no PCI, virtio is by MMIO, and the way to an agent is vsock.
archive initrd virtio_pci virtio_mmio virtio_blk virtio_console vmw_vsock_virtio_transport crc32c_generic ext4 virtio_net \
  button evdev 9pnet_virtio 9p virtiofs
# Whoever boots it often has it as it is: to unpack it is an eighth of what a CPU does until a shell, where the kernel is
# unpacked already.
mv "$new/initrd.img" "$new/unpacked.img"
gzip -9n <"$new/unpacked.img" >"$new/initrd.img"
# A machine without a disk, for tests of networks.
archive net virtio_pci virtio_net virtio_console button evdev

# libraries FOLDER PACKAGE…: copies what the programs in FOLDER load out of these packages, and what that loads in turn:
# which of them it is differs between releases of Debian.
libraries() {
  to=$1
  shift
  mkdir -p "$to/lib" "$to/lib64"
  for package in libc6 "$@"; do unpacked "$package"; done
  for program in "$to"/bin/* "$to"/sbin/*; do [ ! -f "$program" ] || load "$program" libc6 "$@"; done
  cp -L "$cache/deb/libc6/lib/"*/ld-linux-x86-64.so.2 "$to/lib64"
}

# load FILE PACKAGE…: the part of it for one file.
load() {
  needed=$(readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]$/\1/p')
  shift
  for library in $needed; do
    case $library in ld-linux-*) continue ;; esac
    [ ! -e "$to/lib/$library" ] || continue
    file=$(cd "$cache/deb" && find "$@" -path "*/lib/*-linux-gnu/$library" | head -n 1)
    [ -n "$file" ] || die "none of $* has $library"
    cp -L "$cache/deb/$file" "$to/lib/$library"
    load "$to/lib/$library" "$@"
  done
}

# A machine whose image brings QEMU's guest agent, with the libraries of that, for tests of what it does for ours.
with=$new/with/guest-agent
mkdir -p "$with/sbin"
unpacked qemu-guest-agent
cp "$cache/deb/qemu-guest-agent/usr/sbin/qemu-ga" "$with/sbin/qemu-ga"
libraries "$with" libglib2.0-0 libatomic1 libcap2 libpcre2-8-0 libnuma1 libudev1 liburing2
archive guest-agent virtio_pci virtio_blk virtio_console crc32c_generic ext4 button evdev

# A machine of busybox and OpenRC, which reads a disk of its first boot, for tests of the agent as a service there.
with=$new/with/openrc
mkdir -p "$with/sbin" "$with/bin" "$with/lib" "$with/run" "$with/tmp" "$with/usr" "$with/etc/insserv.conf.d"
unpacked openrc
cp -r "$cache/deb/openrc/lib/rc" "$with/lib"
# Its own folder is below usr since Debian 13.
ln -s ../lib "$with/usr/lib"
cp "$cache/deb/openrc/etc/rc.conf" "$with/etc"
# Debian's reads what insserv's package has besides.
touch "$with/etc/fstab" "$with/etc/insserv.conf"
for level in sysinit boot default shutdown; do mkdir -p "$with/etc/runlevels/$level"; done
for program in openrc openrc-run supervise-daemon rc-service rc-update; do cp "$cache/deb/openrc/sbin/$program" "$with/sbin"; done
cp "$cache/deb/openrc/bin/rc-status" "$with/bin"
libraries "$with" librc1 libeinfo1 libpam0g libaudit1 libselinux1 libcap-ng0 libcap2 libpcre2-8-0
archive openrc virtio_pci virtio_blk virtio_console isofs button evdev
rm -rf "$new/with"

# edit DISK <COMMANDS: changes an ext4 file system as it lies in a file.
edit() {
  { echo "set_current_time @$epoch"; cat; } | debugfs -w -f - "$1" >/dev/null 2>"$new/log" || die "debugfs: $(cat "$new/log")"
}

base=$new/base
mkdir -p "$base/bin" "$base/dev" "$base/mnt" "$base/proc" "$base/sys" "$base/www"
ln -s ../etc/layer "$base/www/layer"
applets "$base/bin"
cp -r "$parts/base/." "$base"
chmod -R u=rwX,go=rX "$base"
find "$base" -exec touch -h -d "@$epoch" {} +
truncate -s 64M "$new/base.raw"
mke2fs -q -F -t ext4 -b 4096 -U "$uuid" -E "hash_seed=$uuid,root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0" \
  -d "$base" "$new/base.raw"
# mke2fs of Debian 12 copies the builder's owner and change times, and takes the clock for the rest.
edit "$new/base.raw" <<COMMANDS
$(seq $((12 + $(find "$base" | wc -l))) | awk -v t="@$epoch" '{
  n = split("atime ctime mtime crtime", fields); for (i = 1; i <= n; i++) print "sif <" $1 "> " fields[i] " " t
  print "sif <" $1 "> uid 0"; print "sif <" $1 "> gid 0"
}')
ssv mkfs_time @$epoch
ssv lastcheck @$epoch
COMMANDS
qemu-img convert -q -f raw -O qcow2 "$new/base.raw" "$new/base.qcow2"

# The second layer: the same disk with a file changed, of which only the clusters that differ are kept.
cp --sparse=always "$new/base.raw" "$new/changed.raw"
edit "$new/changed.raw" <<COMMANDS
rm /etc/layer
write $parts/layer/etc/layer /etc/layer
COMMANDS
(
  cd "$new"
  qemu-img create -q -f qcow2 -b changed.raw -F raw diff1.qcow2
  qemu-img rebase -q -b base.qcow2 -F qcow2 diff1.qcow2
)

vmlinuz=$cache/deb/$kernel/boot/vmlinuz-$release
cp "$vmlinuz" "$new/vmlinuz"
cp "$parts/machine.json" "$new/machine.json"

# The same machine with its kernel and its initramfs unpacked, for whoever boots it often: the kernel alone takes an
# emulated CPU as long as all else until init. Of that a third goes with what its kernel is told (machine/quick): no tests
# of its own ciphers, no look at each page of its own for what may be written and run, no files for tracing and for BPF's
# types, which nobody reads. Where the payload is, is in the header (Linux: Documentation/arch/x86/boot.rst); its last
# four bytes are the size of what comes out.
number() { od -An -v -t "u$2" -j "$1" -N "$2" "$vmlinuz" | tr -d ' '; }
from=$((($(number 497 1) + 1) * 512 + $(number 584 4)))
# That of Debian 12 is compressed by xz, that of 13 by zstd.
case $(od -An -t x1 -j "$from" -N 4 "$vmlinuz") in *28*b5*2f*fd) unpack=zstd ;; *) unpack=xz ;; esac
tail -c "+$((from + 1))" "$vmlinuz" | head -c "$(($(number 588 4) - 4))" | $unpack -dc >"$new/vmlinux" ||
  die "$kernel is not compressed by $unpack"
sed "s/vmlinuz/vmlinux/; s/initrd.img/unpacked.img/; s/no_timer_check/$(cat "$parts/quick")/" "$parts/machine.json" >"$new/unpacked.json"
rm -rf "$base" "$new/log" "$new"/*.raw
echo "$stamp" >"$new/.stamp"
chmod 755 "$new"
rm -rf "$out"
mv -T "$new" "$out"
