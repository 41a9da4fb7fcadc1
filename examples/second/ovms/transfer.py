"""Artifacts from and to registries, and the reading of a whole one (spec/distribution.md)."""
import re

from .artifact import read_artifact
from .basics import MANIFEST_T, MIB, Refused
from .layout import begin, digest_of, finish, put, read_blob, the_only, verify
from .oci import carriers, read_oci
from .reference import read_reference
from .registry import Registry
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


def judged(oci_bytes, manifest_of):
    """Both manifests, or Invalid."""
    faults = []
    found = read_artifact(oci_bytes, manifest_of, faults)
    if faults:
        raise Invalid(faults)
    return found


def pull(text, folder):
    registry, name, digest = place(text)
    data = registry.manifest(name, digest)
    faults = []
    oci = read_oci(data, faults)
    if oci is None or faults:
        raise Invalid(faults)
    begin(folder)

    def manifest_of(descriptor):
        if descriptor["size"] > 4 * MIB:
            raise Refused("OVM_TOO_LARGE", "OVMS-LIM-001", "the OVMS manifest has more than 4 MiB")
        registry.fetch(descriptor, folder)
        return read_blob(folder, descriptor)

    judged(data, manifest_of)
    carrier = carriers(oci, MANIFEST_T)[0][1]["digest"]
    for descriptor in descriptors(oci):
        if descriptor["digest"] != carrier:
            registry.fetch(descriptor, folder)
    put(folder, data)
    finish(folder, data, MANIFEST_T)


def inspect(folder):
    """Reads the only artifact of a layout, and verifies all that it consists of."""
    data = read_blob(folder, the_only(folder))
    found = judged(data, lambda descriptor: read_blob(folder, descriptor))
    for descriptor in descriptors(found["oci"]):
        verify(folder, descriptor)
    return data, found


def push(folder, text):
    registry, name, digest = place(text)
    data, found = inspect(folder)
    if digest and digest != digest_of(data):
        raise Refused("OVM_DIGEST_MISMATCH", "OVMS-REF-006", f"the artifact is not {digest}")
    for descriptor in descriptors(found["oci"]):
        registry.send(descriptor, folder)
    registry.put(name or digest, data)
