"""A pack source and its files into an artifact (spec/pack-source.md)."""
import json, os, stat, time

from .basics import MANIFEST_T, OCI_T, T, TAR_T, Refused
from .disk import read_disk
from .foreign import is_foreign
from .kernel import bad, check_kernel
from .layout import begin, digest_of, finish, put

TITLE = "org.opencontainers.image.title"


def canonical(value):
    """RFC 8785 for what is written here: names in UTF-16 order, no fractions."""
    if isinstance(value, dict):
        names = sorted(value, key=lambda n: n.encode("utf-16-be"))
        return "{" + ",".join(f"{json.dumps(n, ensure_ascii=False)}:{canonical(value[n])}" for n in names) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def file_of(folder, path):
    """The bytes of a file of the source; a FIFO is not waited for."""
    try:
        with open(os.open(os.path.join(folder, path), os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Refused("OVM_FILE_UNREADABLE", "OVMS-SRC-009", f"{path} is no regular file")
            data = file.read()
    except OSError as e:
        raise Refused("OVM_FILE_UNREADABLE", "OVMS-SEC-046", str(e))
    if not data:
        raise Refused("OVM_SOURCE_INVALID", "OVMS-SRC-009", f"{path} is empty")
    return data


class Packer:
    """Collects layers; writes nothing before all files were checked."""
    def __init__(self, folder):
        self.folder, self.layers, self.blobs, self.titles = folder, [], [], set()

    def layer(self, data, media_type, title, notes=None):
        descriptor = {"mediaType": media_type, "digest": digest_of(data), "size": len(data),
                      "annotations": {TITLE: title, **(notes or {})}}
        self.layers.append(descriptor)
        self.blobs.append(data)
        return descriptor["digest"]

    def disk(self, layers, name):
        read = []
        for layer in layers:
            data = file_of(self.folder, layer["path"])
            if "format" not in layer and is_foreign(data):
                raise Refused("OVM_DISK_INVALID", "OVMS-SRC-020", f"{layer['path']} is no raw disk by its bytes")
            read.append((layer.get("format") or ("qcow2" if data[:4] == b"QFI\xfb" else "raw"), data))
        read_disk(read)
        return [{"ref": self.layer(data, TAR_T, f"{name}{i}.{form}", {"ovms.format": form}),
                 "format": form, "size": len(data)} for i, (form, data) in enumerate(read)]


def pack(source, folder, layout):
    """`source` was judged already; gives the digest."""
    if "disks" in source or "firmware" in source:
        raise NotImplementedError("further disks and firmware")
    packer, manifest = Packer(folder), {"os": "linux", "architecture": "amd64", **source, "mediaType": MANIFEST_T}
    notes = manifest.pop("annotations", {})
    if "kernel" in source:
        data = file_of(folder, source["kernel"]["path"])
        architecture = check_kernel(data)
        if source.get("architecture", architecture) != architecture:
            raise bad("OVMS-IDX-002", f"a kernel for {architecture}")
        manifest["architecture"] = architecture
        rest = {k: v for k, v in source["kernel"].items() if k != "path"}
        manifest["kernel"] = {**rest, "ref": packer.layer(data, T + "kernel.v1", "kernel.bin")}
    if "initrd" in source:
        data = file_of(folder, source["initrd"]["path"])
        manifest["initrd"] = {"ref": packer.layer(data, T + "initrd.v1", "initrd.img")}
    if "diskLayers" in source:
        manifest["diskLayers"] = packer.disk(source["diskLayers"], "disk")
    created = created_at(source)
    if created:
        manifest["metadata"] = {**manifest.get("metadata", {}), "created": created}
        notes = {**notes, "org.opencontainers.image.created": created}
    body = canonical(manifest).encode()
    config = {"mediaType": MANIFEST_T, "digest": digest_of(body), "size": len(body)}
    oci = {"schemaVersion": 2, "mediaType": OCI_T, "artifactType": MANIFEST_T, "config": config,
           "layers": packer.layers, **({"annotations": notes} if notes else {})}
    data = canonical(oci).encode()
    begin(layout)
    for blob in [*packer.blobs, body, data]:
        put(layout, blob)
    finish(layout, data, MANIFEST_T)
    return digest_of(data)


def created_at(source):
    said = source.get("metadata", {}).get("created")
    seconds = os.environ.get("SOURCE_DATE_EPOCH")
    if said or seconds is None:
        return said
    if not seconds.isascii() or not seconds.isdigit() or int(seconds) > 253402300799:
        raise Refused("OVM_SOURCE_INVALID", "OVMS-SRC-013", f"SOURCE_DATE_EPOCH is {seconds!r}")
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(seconds)))
