"""Files that hardly ever are meant as a raw disk, by their bytes (spec/disk.md, "Bytes of other formats")."""
import json, struct

MAGIC = ((b"QED\0", 0), (b"WithoutFreeSpace", 0), (b"WithouFreSpacExt", 0), (b"KDMV", 0), (b"COWD", 0),
         (b"# Disk DescriptorFile", 0), (b"vhdxfile", 0), (b"\x7f\x10\xda\xbe", 64), (b"\x1f\x8b\x08", 0),
         (b"\xfd7zXZ\0", 0), (b"\x28\xb5\x2f\xfd", 0), (b"BZh", 0), (b"\x04\x22\x4d\x18", 0), (b"PK\x03\x04", 0),
         (b"\x7fELF", 0), (b"QFI\xfb\0\0\0\1", 0))


def is_vhd(data):
    for footer in (data[:512], data[-512:], data[-511:]):
        if footer[:8] == b"conectix" and footer[12:16] == b"\0\1\0\0" and footer[60:64] in (
                b"\0\0\0\2", b"\0\0\0\3", b"\0\0\0\4"):
            return True
    return data[-512:-504] == b"koly\0\0\0\4"


def is_tar(data):
    header = data[:512]
    try:
        said = int(header[148:156].strip(b" \0"), 8)
    except ValueError:
        return False
    return len(header) == 512 and said == sum(header) - sum(header[148:156]) + 8 * 32 and any(header[:100])


def is_json(data):
    try:
        return data[:1] == b"{" and isinstance(json.loads(data), dict)
    except ValueError:
        return False


def has_partitions(data):
    if data[512:520] == b"EFI PART":
        return True
    if data[510:512] != b"\x55\xaa":
        return False
    for at in range(446, 510, 16):
        status, kind, start, length = struct.unpack("<B3xB3xII", data[at:at + 16])
        if status in (0, 0x80) and kind and start and length:
            return True
    return False


def is_foreign(data):
    """Whether a file without a format is something else than a raw disk."""
    if is_vhd(data):
        return True
    if has_partitions(data):
        return False
    if any(data[at:at + len(magic)] == magic for magic, at in MAGIC) or is_tar(data) or is_json(data):
        return True
    return data[514:518] == b"HdrS" and data[510:512] == b"\x55\xaa"
