"""RAM on the wire, with zstd (spec/snapshot.md)."""
import hashlib, site, struct

site.main()                                         # for zstandard; the program is started without (-S)
import zstandard

from .basics import CHUNK, Refused

class Sink:
    """Takes inflated bytes: counts, bounds, and makes the memory digest."""
    def __init__(self, size):
        self.size, self.count, self.outer, self.inner, self.fill = size, 0, hashlib.sha256(), hashlib.sha256(), 0

    def write(self, b):
        if self.count + len(b) > self.size:
            raise Refused("OVM_RAM_INVALID", "OVMS-SNP-044", "more than ram.size")
        self.count += len(b)
        b = memoryview(b)
        while len(b):
            k = min(len(b), CHUNK - self.fill)
            self.inner.update(b[:k])
            self.fill += k
            b = b[k:]
            if self.fill == CHUNK:
                self.outer.update(self.inner.digest())
                self.inner, self.fill = hashlib.sha256(), 0

    def digest(self):
        if self.count != self.size or self.fill:
            raise Refused("OVM_RAM_INVALID", "OVMS-SNP-044", f"{self.count} bytes in place of {self.size}")
        return "sha256:" + self.outer.hexdigest()

def inflate(blob, sink, step=65536):
    """SNP-042: any number of frames of the format, skippable ones among them; to sink.write."""
    bad = lambda why: Refused("OVM_RAM_INVALID", "OVMS-SNP-044", why)
    blob, at = memoryview(blob), 0
    error, magic = zstandard.ZstdError, b"\x28\xb5\x2f\xfd"
    while at < len(blob):
        head = bytes(blob[at:at + 8])
        if len(head) == 8 and head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50:
            at += 8 + struct.unpack("<I", head[4:])[0]
            if at > len(blob):
                raise bad("skippable frame is cut")
            continue
        if head[:4] != magic:
            raise bad(f"no frame at {at}")
        d = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
        try:
            while not d.eof:
                if at >= len(blob):
                    raise bad("frame is cut")
                piece = bytes(blob[at:at + step])
                sink.write(d.decompress(piece))
                at += len(piece)
            at -= len(d.unused_data or b"")
        except error as e:
            raise bad(str(e))

def read_table(table, size, compression, ref=None, blob_size=None):
    """SNP-050 to 052; the frames as (offset, length, zero, digest)."""
    def bad(n, why):
        raise Refused("OVM_SNAPSHOT_INVALID", f"OVMS-SNP-{n}", why)
    if len(table) < 64 or len(table) != 64 + 40 * (size // CHUNK):
        bad("050", "length of the table")
    magic, version, chunk, ram, count, kind, digest = struct.unpack("<8sIIQII32s", table[:64])
    if magic != b"OVMSRAMT" or version != 1 or chunk != CHUNK or count != ram // CHUNK or kind not in (1, 2):
        bad("050", "header of the table")
    if ram != size or {1: "zstd", 2: "lz4"}[kind] != compression or (ref and ref != "sha256:" + digest.hex()):
        bad("052", "table and descriptor differ")
    frames, at = [], 0
    for length, flags, sha in struct.iter_unpack("<II32s", table[64:]):
        if flags & ~1:
            bad("050", "unknown flag")
        if not 1 <= length <= 327680:
            bad("051", f"frame of {length} bytes")
        frames.append((at, length, bool(flags & 1), sha))
        at += length
    if blob_size is not None and at != blob_size:
        bad("051", "sum of the frames")
    return frames, at, digest

ZERO = bytes(CHUNK)

def read_ram(blob, compression, size, digest, table=None, ref=None):
    """Inflates and verifies RAM."""
    sink = Sink(size)
    if table is None:
        inflate(blob, sink)
    else:
        frames, total, sha = read_table(table, size, compression, ref)
        if total != len(blob):
            raise Refused("OVM_SIZE_MISMATCH", "OVMS-SNP-064", "table and blob")
        if hashlib.sha256(blob).digest() != sha:
            raise Refused("OVM_DIGEST_MISMATCH", "OVMS-SNP-064", "table and blob")
        for n, (at, length, zero, want) in enumerate(frames):
            frame = bytes(blob[at:at + length])
            if hashlib.sha256(frame).digest() != want:
                raise Refused("OVM_DIGEST_MISMATCH", "OVMS-SNP-061", f"frame {n}")
            chunk = Chunk()
            try:
                inflate(frame, chunk)
            except Refused as e:
                raise Refused("OVM_RAM_INVALID", "OVMS-SNP-061", f"frame {n}: {e.message}")
            if len(chunk.b) != CHUNK or (chunk.b == ZERO) != zero:
                raise Refused("OVM_RAM_INVALID", "OVMS-SNP-061", f"frame {n}: size or flag")
            sink.write(chunk.b)
    if sink.digest() != digest:
        raise Refused("OVM_DIGEST_MISMATCH", "OVMS-SNP-063", "memory digest")

class Chunk:
    def __init__(self):
        self.b = bytearray()

    def write(self, b):
        if len(self.b) + len(b) > CHUNK:
            raise Refused("OVM_RAM_INVALID", "OVMS-SNP-061", "more than a chunk")
        self.b += b
