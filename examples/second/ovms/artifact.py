"""A machine: the OCI manifest and the OVMS manifest in it, held against each other (spec/oci-mapping.md)."""
from .basics import DISK_T, MANIFEST_T, T, Fault
from .machine import read_machine
from .oci import carriers, disk_rules, pick, read_oci, type_rules

def read_artifact(oci_bytes, manifest_of, faults):
    """manifest_of: descriptor -> bytes of the OVMS manifest."""
    def add(pointer, requirement, message="", document="oci-manifest"):
        faults.append(Fault(document, pointer, requirement, "OVM_ARTIFACT_INVALID", message))

    oci = read_oci(oci_bytes, faults)
    if oci is None:
        return None
    type_rules(oci, MANIFEST_T, add, "OVMS-OCI-012")
    found = carriers(oci, MANIFEST_T)
    if not found:
        add("/layers", "OVMS-OCI-020", "no OVMS manifest")
    for pointer, _ in found[1:]:
        add(pointer, "OVMS-OCI-021", "a second OVMS manifest")
    if faults:
        return None
    m = read_machine(manifest_of(found[0][1]), "manifest", faults)
    if m is None:
        return None
    parts = {"manifest": found[0][1]["digest"], "disks": [], "formats": []}

    def part(pointer, ref, fits):
        hit = pick(oci, ref, fits)
        if hit is None:
            add(f"{pointer}/ref", "OVMS-OCI-030", "no layer has this digest", "manifest")
        elif not hit[2]:
            add(f"{pointer}/ref", "OVMS-OCI-031", f"layer {hit[0]} is of another type", "manifest")
        else:
            return hit
        return None

    for name in ("kernel", "initrd"):
        if name in m and part(f"/{name}", m[name]["ref"], lambda t, n=name: t == f"{T}{n}.v1"):
            parts[name] = m[name]["ref"]

    if "firmware" in m:
        v = m["firmware"]["variables"]
        hit = part("/firmware/variables", v["ref"], lambda t: t == f"{T}firmware-variables.v1")
        if hit:
            parts["variables"] = v["ref"]
            if hit[1]["size"] != v["size"]:
                add("/firmware/variables/size", "OVMS-OCI-032", f"{v['size']} against {hit[1]['size']}", "manifest")

    def chain(pointer, layers):
        for n, layer in enumerate(layers):
            hit = part(f"{pointer}/{n}", layer["ref"], lambda t: t in DISK_T)
            if hit:
                i, d, _ = hit
                if d["size"] != layer["size"]:
                    add(f"{pointer}/{n}/size", "OVMS-OCI-032", f"{layer['size']} against {d['size']}", "manifest")
                yield layer["ref"], disk_rules(oci, i, d, layer["format"], add)

    first = list(chain("/diskLayers", m.get("diskLayers", [])))
    parts["disks"], parts["formats"] = [ref for ref, _ in first], [form for _, form in first]
    parts["further"] = [(disk["name"], list(chain(f"/disks/{i}/layers", disk.get("layers", []))))
                        for i, disk in enumerate(m.get("disks", []))]
    if "ramSnapshot" in m:
        s = m["ramSnapshot"]
        part("/ramSnapshot", s["ref"], lambda t: t == f"{T}ramsnap.v1+{s['compression']}")
    return None if faults else {"oci": oci, "manifest": m, "parts": parts}
