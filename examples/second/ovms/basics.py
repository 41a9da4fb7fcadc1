"""What everything else of it knows: names of types, limits, faults and refusals."""
import os
from collections import namedtuple

SPEC = os.environ.get("OVMS_SPEC", os.path.join(os.path.dirname(__file__), "../../../spec"))
MIB, TIB16, CHUNK = 1 << 20, 17592186044416, 262144
T = "application/vnd.ovms."
MANIFEST_T, SNAPSHOT_T = T + "manifest.v1+json", T + "snapshot.v1+json"
OCI_T, EMPTY_T = "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.empty.v1+json"
TAR_T = "application/vnd.oci.image.layer.v1.tar"
DISK_T = {TAR_T: None, T + "disk.v1+qcow2": "qcow2", T + "disk.v1+raw": "raw"}
SAYS_NOTHING = {"", EMPTY_T, "application/vnd.unknown.artifact.v1", "application/vnd.unknown.config.v1+json"}
KIND_CODE = {"manifest": "OVM_MANIFEST_INVALID", "oci-manifest": "OVM_ARTIFACT_INVALID", "oci-index": "OVM_ARTIFACT_INVALID",
             "pack-source": "OVM_SOURCE_INVALID", "snapshot": "OVM_SNAPSHOT_INVALID",
             "policy": "OVM_POLICY_INVALID", "request": "OVM_REQUEST_INVALID"}

class Fault(namedtuple("Fault", "document pointer requirement code message", defaults=[""])):
    """A breach of a requirement in a document."""

class Refused(Exception):
    """A refusal without pointer: references, disks, RAM."""
    def __init__(self, code, requirement, message, layer=None):
        super().__init__(f"{code} {requirement} {message}")
        self.code, self.requirement, self.message, self.layer = code, requirement, message, layer
