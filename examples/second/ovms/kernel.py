"""Kernels, as far as a packer looks into them (spec/pack-source.md)."""
import struct

from .basics import Refused


def bad(requirement, why):
    return Refused("OVM_KERNEL_INVALID", requirement, why)


def check_kernel(data):
    """The architecture that it is for."""
    if data[0x1FE:0x200] == b"\x55\xAA" and data[0x202:0x206] == b"HdrS":
        check_bzimage(data)
        return "amd64"
    if data[:6] == b"\x7fELF\x02\x01" and data[18:20] == b"\x3e\0" and len(data) >= 64:
        check_elf(data)
        return "amd64"
    if data[56:60] == b"ARM\x64" and len(data) >= 64 and not data[24] & 1:
        return "arm64"
    raise bad("OVMS-SRC-010", "neither a bzImage nor an ELF64 file for x86_64, nor an Image for arm64")


def check_bzimage(data):
    sectors, (protocol,) = data[0x1F1] or 4, struct.unpack_from("<H", data, 0x206)
    size = (sectors + 1) * 512
    if protocol >= 0x204:
        size += 16 * struct.unpack_from("<I", data, 0x1F4)[0]
    if len(data) < size:
        raise bad("OVMS-SRC-023", f"the bzImage has {len(data)} of {size} bytes")


def check_elf(data):
    (at,), (each, count) = struct.unpack_from("<Q", data, 32), struct.unpack_from("<HH", data, 54)
    if each < 56 or at + each * count > len(data):
        raise bad("OVMS-SRC-022", "the ELF file is cut off")
    segments = [struct.unpack_from("<IIQQQQQQ", data, at + each * i) for i in range(count)]
    if any(s[2] + s[5] > len(data) for s in segments):
        raise bad("OVMS-SRC-022", "the ELF file is cut off")
    loads = [(s[4], s[4] + s[6]) for s in segments if s[0] == 1]
    notes = [data[s[2]:s[2] + s[5]] for s in segments if s[0] == 4]
    multiboot = multiboot_flags(data)
    if multiboot is not None and not multiboot & 1 << 16:
        raise bad("OVMS-SRC-022", "a multiboot header without load addresses")
    if multiboot is None and not any(a <= e < b for n in notes for e in entries(n) for a, b in loads):
        raise bad("OVMS-SRC-022", "neither a PVH note nor a multiboot header")


def multiboot_flags(data):
    for at in range(0, min(len(data), 8192) - 11, 4):
        magic, flags, checksum = struct.unpack_from("<III", data, at)
        if magic == 0x1BADB002 and (magic + flags + checksum) & 0xFFFFFFFF == 0:
            return flags
    return None


def entries(note):
    """Addresses in notes `Xen` of type 18."""
    at = 0
    while at + 12 <= len(note):
        names, size, kind = struct.unpack_from("<III", note, at)
        start = at + 12 + (names + 3) // 4 * 4
        if note[at + 12:at + 12 + names] == b"Xen\0" and kind == 18 and size in (4, 8) and start + size <= len(note):
            yield int.from_bytes(note[start:start + size], "little")
        at = start + (size + 3) // 4 * 4
