"""The index of machines by platform (spec/platforms.md)."""
from .basics import SAYS_NOTHING, T, Fault
from .oci import plain
from .schema import schema_of
from .strict import parse

INDEX_T, MOST = T + "index.v1+json", 256

def read_index(data, faults):
    ok, index = parse(data, "oci-index", faults)
    if not ok:
        return

    def add(pointer, requirement, code="OVM_ARTIFACT_INVALID"):
        faults.append(Fault("oci-index", pointer, requirement, code))

    if isinstance(index, dict) and isinstance(index.get("manifests"), list) and len(index["manifests"]) > MOST:
        add("/manifests", "OVMS-IDX-011", "OVM_TOO_LARGE")
        return
    since = len(faults)
    schema_of("oci-index").check(index, faults)
    if len(faults) > since:
        return
    said = (("/artifactType", index.get("artifactType")),
            ("/annotations/ovms.type", (index.get("annotations") or {}).get("ovms.type")))
    types = [(pointer, plain(t)) for pointer, t in said if t is not None and plain(t) not in SAYS_NOTHING]
    if types and types[0][1] != INDEX_T:
        add(types[0][0], "OVMS-IDX-015")
