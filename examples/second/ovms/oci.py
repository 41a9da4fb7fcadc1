"""The OCI manifest, of whatever type (spec/oci-mapping.md)."""
import re
from .basics import DISK_T, OCI_T, SAYS_NOTHING, T, Fault
from .schema import schema_of
from .strict import parse

def plain(t):
    """OCI-014: an alias is read as the type that it stands for."""
    m = re.fullmatch(r"application/vnd\.[a-z0-9-]+\.ovms\.(.+)", t, re.S)
    return T + m.group(1) if m else t

def says(oci):
    config = oci["config"]
    out = []
    for pointer, t in (("/artifactType", oci.get("artifactType")), ("/config/mediaType", config.get("mediaType")),
                       ("/annotations/ovms.type", (oci.get("annotations") or {}).get("ovms.type"))):
        if t is not None and plain(t) not in SAYS_NOTHING:
            out.append((pointer, plain(t)))
    return out

def title_ok(t):
    return (len(t) <= 255 and "\\" not in t and not re.search("[\x00-\x1f\x7f-\x9f]", t)
            and all(s not in ("", ".", "..") for s in t.split("/")))

def read_oci(data, faults, code="OVM_ARTIFACT_INVALID"):
    """The OCI manifest by itself, of whatever type; None where it cannot be relied on."""
    since = len(faults)
    ok, oci = parse(data, "oci-manifest", faults)
    if not ok:
        return None

    def add(pointer, requirement, message=""):
        faults.append(Fault("oci-manifest", pointer, requirement, code, message))

    if isinstance(oci, dict):
        mt = oci.get("mediaType")
        if "mediaType" in oci and mt != OCI_T:
            add("/mediaType", "OVMS-OCI-002", f"is {mt!r}")
            return None
        if "manifests" in oci and "config" not in oci and "layers" not in oci:
            add("/manifests", "OVMS-OCI-002", "is an index")
            return None
    schema_of("oci-manifest").check(oci, faults)
    if len(faults) > since:
        faults[since:] = [Fault(f.document, f.pointer, f.requirement, code, f.message) for f in faults[since:]]
        return None
    for pointer, d in [("/config", oci["config"])] + [(f"/layers/{i}", d) for i, d in enumerate(oci["layers"])]:
        t = (d.get("annotations") or {}).get("org.opencontainers.image.title")
        if t is not None and not title_ok(t):
            add(f"{pointer}/annotations/org.opencontainers.image.title", "OVMS-OCI-040")
    return oci

def type_rules(oci, wanted, add, req_type):
    said = says(oci)
    if not said:
        add("/artifactType", req_type, "nothing says a type")
    elif said[0][1] != wanted:
        add(said[0][0], req_type, f"is {said[0][1]}")
    ours = [x for x in said if x[1].startswith(T)]
    for pointer, t in ours[1:]:
        if t != ours[0][1]:
            add(pointer, "OVMS-OCI-013", f"{t} against {ours[0][1]}")

def carriers(oci, wanted):
    ds = [("/config", oci["config"])] + [(f"/layers/{i}", d) for i, d in enumerate(oci["layers"])]
    return [(p, d) for p, d in ds if plain(d["mediaType"]) == wanted]

def pick(oci, ref, fits):
    """OCI-030/031/038: (index, descriptor, fits?) or None."""
    same_digest = [(i, d) for i, d in enumerate(oci["layers"]) if d["digest"] == ref]
    for i, d in same_digest:
        if fits(plain(d["mediaType"])):
            return i, d, True
    return (*same_digest[0], False) if same_digest else None

def disk_rules(oci, i, d, declared, add):
    """OCI-034/035: the format of a disk layer."""
    note, by_type = (d.get("annotations") or {}).get("ovms.format"), DISK_T[plain(d["mediaType"])]
    if note is not None and note not in ("qcow2", "raw"):
        add(f"/layers/{i}/annotations/ovms.format", "OVMS-OCI-034")
        return declared
    if note is not None and note != declared:
        add(f"/layers/{i}/annotations/ovms.format", "OVMS-OCI-035")
    if by_type is not None and by_type != declared:
        add(f"/layers/{i}/mediaType", "OVMS-OCI-035")
    return note or declared
