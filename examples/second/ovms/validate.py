"""`validate KIND FILE…` of the wrapper (spec/conformance.md): faults, and what was found."""
import json

from .artifact import read_artifact
from .basics import Refused
from .disk import read_disk
from .index import read_index
from .machine import read_machine
from .reference import read_reference
from .snapshot import read_snapshot, read_snapshot_artifact


class Invalid(Exception):
    """A document with faults."""
    def __init__(self, faults):
        super().__init__(faults[0].code)
        self.faults = faults


class NotDone(Exception):
    """What this implementation does not do: it ends with status 69."""


FILES = {"artifact": [2], "snapshot-artifact": [2], "ram": [2, 3], "disk": range(1, 65),
         "private-key": [1, 2]}


def contents(path):
    with open(path, "rb") as file:
        return file.read()


def validate(kind, files, faults):
    """What was found of a valid document; faults are added to `faults`, or Refused is raised."""
    if len(files) not in FILES.get(kind, [1]):
        raise Refused("OVM_USAGE", "OVMS-CNF-010", f"{kind} is not judged by {len(files)} files")
    if kind in ("manifest", "pack-source"):
        read_machine(contents(files[0]), kind, faults)
    elif kind == "snapshot":
        read_snapshot(contents(files[0]), faults)
    elif kind == "oci-index":
        read_index(contents(files[0]), faults)
    elif kind in ("artifact", "snapshot-artifact"):
        read = read_artifact if kind == "artifact" else read_snapshot_artifact
        found = read(contents(files[0]), lambda _: contents(files[1]), faults)
        return found and parts_of(kind, found["parts"])
    elif kind == "disk":
        layers = [name.partition(":")[::2] for name in files]
        return {"virtualSize": read_disk([(form, contents(path)) for form, path in layers])}
    elif kind == "reference":
        return read_reference(contents(files[0]).decode("utf-8", "surrogateescape"))
    elif kind == "ram":
        ram(*files)
    else:
        raise NotDone(kind)
    return None


def ram(said, blob, table=None):
    said = json.loads(contents(said))
    if said["compression"] != "zstd":
        raise NotDone(said["compression"])
    if said["size"] > 1 << 30:
        raise Refused("OVM_TOO_LARGE", "OVMS-LIM-001", "more RAM than is read here")
    import hashlib
    from .ram import read_ram                       # needs zstandard, which nothing else does
    data = contents(blob)
    ref = "sha256:" + hashlib.sha256(data).hexdigest()
    read_ram(data, said["compression"], said["size"], said["digest"], table and contents(table), ref)


def layers_of(chain):
    return [{"digest": digest, "format": form} for digest, form in chain]


def parts_of(kind, parts):
    if kind == "snapshot-artifact":
        return None
    found = {name: parts[name] for name in ("kernel", "initrd", "variables") if name in parts}
    found["layers"] = layers_of(zip(parts["disks"], parts["formats"]))
    if parts["further"]:
        found["disks"] = [{"name": name, "layers": layers_of(chain)} for name, chain in parts["further"]]
    return found
