"""Disks, by their structure (spec/disk.md)."""
import struct
from .basics import TIB16, Refused

def read_disk(layers):
    """layers: list of (format, bytes-like); returns the virtual size of the last."""
    below = 0
    for i, (fmt, data) in enumerate(layers):
        try:
            if fmt == "raw":
                if i:
                    raise Refused("OVM_DISK_INVALID", "OVMS-DSK-002", "raw above the base")
                if not data or len(data) % 512 or len(data) > TIB16:
                    raise Refused("OVM_DISK_INVALID", "OVMS-DSK-030", f"{len(data)} bytes")
                size = len(data)
            else:
                size = Qcow2(data, base=i == 0).size
            if size < below:
                raise Refused("OVM_DISK_INVALID", "OVMS-DSK-003", f"{size} above {below}")
        except Refused as e:
            e.layer = i
            raise
        below = size
    return below

class Qcow2:
    def __init__(self, data, base=True):
        self.d = memoryview(data)
        self.n = len(data)
        if self.n < 72:
            self.bad("010", "header is cut")
        (magic, version, backing, backing_len, bits, self.size, crypt, l1_size, l1, rt, rt_clusters,
         snapshots, _) = struct.unpack(">4sIQIIQIIQQIIQ", self.d[:72])
        if magic != b"QFI\xfb" or version not in (2, 3) or not 9 <= bits <= 21:
            self.bad("010", "magic, version or cluster bits")
        if self.size == 0 or self.size % 512 or self.size > TIB16:
            self.bad("010", f"virtual size {self.size}")
        self.cluster = 1 << bits
        incompatible, header, compression = 0, 72, 0
        if version == 3:
            if self.n < 104:
                self.bad("010", "header is cut")
            incompatible, _, _, order, header = struct.unpack(">QQQII", self.d[72:104])
            if header % 8 or header < 104 or header > self.cluster:
                self.bad("042", f"a header of {header} bytes")
            if header > self.n or order > 6:
                self.bad("010", "header is cut, or refcount order")
            compression = self.d[104] if header > 104 else 0
        if incompatible & 4:
            self.bad("011", "external data file")
        if incompatible & ~0x1F or incompatible & 3:
            self.bad("012", f"incompatible features {incompatible:#x}")
        if crypt:
            self.bad("013", "encrypted")
        if snapshots:
            self.bad("014", "internal snapshots")
        if compression > 1 or bool(incompatible & 8) != (compression != 0):
            self.bad("019", f"compression type {compression}")
        if backing and not (1 <= backing_len <= 1023 and backing >= header and backing + backing_len <= self.cluster):
            self.bad("047", "name of the backing file")
        self.extensions(header, backing)
        if base and backing:
            self.bad("005", "base with a backing file")
        extended = bool(incompatible & 16)
        if extended and bits < 14:
            self.bad("046", "extended L2 entries in small clusters")
        entry, self.version = 16 if extended else 8, version
        per_l2 = self.cluster // entry
        if l1_size < -(-self.size // (self.cluster * per_l2)):
            self.bad("017", "L1 table too small")
        self.inside(l1, l1_size * 8, "015", "L1 table")
        self.inside(rt, rt_clusters * self.cluster, "015", "refcount table")
        if rt_clusters == 0:
            self.bad("015", "no refcount table")
        for (block,) in struct.iter_unpack(">Q", self.d[rt:rt + rt_clusters * self.cluster]):
            if block & ~0x1FF:
                self.inside(block & ~0x1FF, self.cluster, "015", "refcount block")
        seen, mask = set(), 0x00FFFFFFFFFFFE00
        for index, (e,) in enumerate(struct.iter_unpack(">Q", self.d[l1:l1 + l1_size * 8])):
            if e & ~(mask | 1 << 63):
                self.bad("044", "reserved bits of an L1 entry")
            l2 = e & mask
            if not l2:
                continue
            if l2 in seen:
                self.bad("017", "two L1 entries with one L2 table")
            seen.add(l2)
            self.inside(l2, self.cluster, "015", "L2 table")
            self.left = self.size - index * per_l2 * self.cluster    # of the disk, from this table on
            self.l2(l2, entry, bits, mask)

    def l2(self, at, entry, bits, mask):
        for k in range(0, self.cluster, entry):
            (e,) = struct.unpack_from(">Q", self.d, at + k)
            extended = entry == 16
            if not e and not extended:
                continue
            if e >> 62 & 1:
                x = 62 - (bits - 8)
                offset, sectors = e & ((1 << x) - 1), ((e & ((1 << 62) - 1)) >> x) + 1
                end = (offset & ~511) + sectors * 512
                if offset >= self.n or end > (self.n + 511) & ~511:     # the last sector may be cut by the end
                    self.bad("045", "compressed cluster outside the file")
                continue
            zero_bit = 0 if extended or self.version == 2 else 1
            if e & ~(mask | 1 << 63 | zero_bit):
                self.bad("044", "reserved bits of an L2 entry")
            if (e & mask) % self.cluster:
                self.bad("043", "data cluster starts within a cluster")
            needed = min(self.cluster, max(0, self.left - k // entry * self.cluster))
            if e & mask and (e & mask) + needed > self.n:
                self.bad("016", "data cluster outside the file")
            if extended:
                self.subclusters(struct.unpack_from(">Q", self.d, at + k + 8)[0], e & mask)

    def subclusters(self, bitmap, offset):
        allocated, zero = bitmap & 0xFFFFFFFF, bitmap >> 32
        if allocated & zero or allocated and not offset:
            self.bad("046", "a subcluster is allocated and zero, or allocated nowhere")

    def extensions(self, at, backing):
        end = min(self.cluster, backing or self.cluster)
        while at + 8 <= min(end, self.n):
            kind, length = struct.unpack(">II", self.d[at:at + 8])
            if kind == 0:
                return
            if at + 8 + length > min(self.cluster, self.n):
                self.bad("018", "extension outside the first cluster")
            if kind == 0x44415441:
                self.bad("011", "external data file extension")
            at += 8 + (length + 7) // 8 * 8

    def inside(self, at, length, requirement, what):
        if at % self.cluster or at == 0 or at + length > self.n:
            self.bad(requirement, f"{what} outside the file or not at a cluster")

    def bad(self, n, why):
        raise Refused("OVM_DISK_INVALID", f"OVMS-DSK-{n}", why)
