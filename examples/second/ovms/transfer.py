"""Artifacts from and to registries, and the reading of a whole one (spec/distribution.md)."""
import os, re

from .artifact import read_artifact
from .basics import MANIFEST_T, MIB, SNAPSHOT_T, Refused
from .layout import begin, blob_path, digest_of, finish, put, read_blob, the_only, verify
from .oci import read_oci, says
from .reference import read_reference
from .registry import Registry
from .snapshot import read_snapshot_artifact
from .validate import Invalid, NotDone


def place(text):
    reference = read_reference(text)
    if "host" not in reference:
        raise Refused("OVM_REFERENCE_INVALID", "OVMS-REF-002", f"{text} names no registry")
    if not re.fullmatch(r"(localhost|127(\.[0-9]+){3}|\[::1\])(:[0-9]+)?", reference["host"]):
        raise NotDone("registries that want TLS")       # OVMS-DST-020
    name = reference.get("tag")
    return Registry(reference["host"], reference["repository"]), name, reference.get("digest")


def descriptors(oci):
    """All that a manifest refers to, each once."""
    return list({d["digest"]: d for d in [oci["config"], *oci["layers"]]}.values())


def type_of(oci):
    """What the artifact says that it is; of one that says nothing, as `oras push` makes it, a machine is expected."""
    return next((t for _, t in says(oci)), MANIFEST_T)


def judged(data, document_of):
    """The OCI manifest of a machine or snapshot, whose other document `document_of` a descriptor gives, or Invalid."""
    faults = []
    oci = read_oci(data, faults)
    if oci is None or faults:
        raise Invalid(faults)
    read = read_snapshot_artifact if type_of(oci) == SNAPSHOT_T else read_artifact
    found = read(data, document_of, faults)
    if faults:
        raise Invalid(faults)
    return found["oci"]


def bring(registry, data, folder):
    """All that a manifest consists of, the document first; and the base of a snapshot."""
    def document_of(descriptor):
        if descriptor["size"] > 4 * MIB:
            raise Refused("OVM_TOO_LARGE", "OVMS-LIM-001", "the document has more than 4 MiB")
        registry.fetch(descriptor, folder)
        return read_blob(folder, descriptor)

    oci = judged(data, document_of)
    if base := oci.get("subject"):
        bring(registry, registry.manifest(None, base["digest"]), folder)
    for descriptor in descriptors(oci):
        if not os.path.exists(blob_path(folder, descriptor["digest"])):
            registry.fetch(descriptor, folder)
    put(folder, data)
    return oci


def pull(text, folder):
    registry, name, digest = place(text)
    data = registry.manifest(name, digest)
    begin(folder)
    finish(folder, data, type_of(bring(registry, data, folder)))


def inspect(folder, entry=None):
    """Reads the only artifact of a layout, or another manifest of it, and verifies all that it consists of."""
    data = read_blob(folder, entry or the_only(folder))
    oci = judged(data, lambda descriptor: read_blob(folder, descriptor))
    for descriptor in descriptors(oci):
        verify(folder, descriptor)
    return data, oci


def push(folder, text):
    registry, name, digest = place(text)
    data, oci = inspect(folder)
    if digest and digest != digest_of(data):
        raise Refused("OVM_DIGEST_MISMATCH", "OVMS-REF-006", f"the artifact is not {digest}")
    chain = [(name or digest, data, oci)]
    if base := oci.get("subject"):
        chain.insert(0, (base["digest"], *inspect(folder, base)))       # OVMS-SNP-005
    for called, manifest, described in chain:
        for descriptor in descriptors(described):
            registry.send(descriptor, folder)
        registry.put(called, manifest)
        if described.get("subject"):
            registry.list_among_referrers(manifest, described)
