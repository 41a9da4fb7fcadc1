"""A snapshot: its descriptor, and the OCI manifest around it (spec/snapshot.md)."""
from .basics import CHUNK, DISK_T, SNAPSHOT_T, T, Fault
from .machine import real_date
from .oci import carriers, disk_rules, pick, read_oci, type_rules
from .schema import schema_of
from .strict import esc, parse

def read_snapshot(data, faults, artifact=False):
    since = len(faults)
    ok, s = parse(data, "snapshot", faults)
    if not ok:
        return None
    schema_of("snapshot").check(s, faults)

    def add(pointer, requirement):
        faults.append(Fault("snapshot", pointer, requirement, "OVM_SNAPSHOT_INVALID"))

    if isinstance(s, dict):
        get = lambda o, k, t: s[o].get(k) if isinstance(s.get(o), dict) and isinstance(s[o].get(k), t) else None
        size, memory = get("ram", "size", int), get("resources", "memory", int)
        bad = {f.pointer for f in faults[since:]}
        if size is not None and memory is not None and size != memory and not bad & {"/ram/size", "/resources/memory"}:
            add("/ram/size", "OVMS-SNP-022")
        accelerator = get("vmm", "accelerator", str)
        if accelerator is not None and accelerator != "tcg":
            host = s.get("host")
            if host is None or isinstance(host, dict):
                for name in ("cpuVendor", "cpuModel", "cpuFeatures"):
                    if name not in (host or {}):
                        add(f"/host/{name}", "OVMS-SNP-018")
        if isinstance(s.get("ram"), dict) and "changed" in s["ram"] and "parent" not in s:
            add("/ram/changed", "OVMS-SNP-120")
        if isinstance(s.get("created"), str) and "/created" not in bad and not real_date(s["created"]):
            add("/created", "OVMS-SNP-013")
        if isinstance(s.get("disks"), list):
            names = [d.get("name") for d in s["disks"] if isinstance(d, dict)]
            for n, d in enumerate(s["disks"]):
                if isinstance(d, dict) and isinstance(d.get("name"), str) and d["name"] in names[:n]:
                    add(f"/disks/{n}/name", "OVMS-SNP-176")
        if artifact and "base" not in s:
            add("/base", "OVMS-SNP-082")
    return s if len(faults) == since else None

ANNOTATED = {"vmm": ("vmm", "name"), "vmm-version": ("vmm", "version"), "format": ("vmm", "format"),
             "accelerator": ("vmm", "accelerator"), "architecture": ("architecture",),
             "cpu-features": ("host", "cpuFeatures"), "memory": ("resources", "memory")}

def read_snapshot_artifact(oci_bytes, snapshot_of, faults):
    bad_code = "OVM_SNAPSHOT_INVALID"

    def add(pointer, requirement, message="", document="oci-manifest", code=bad_code):
        faults.append(Fault(document, pointer, requirement, code, message))

    oci = read_oci(oci_bytes, faults, bad_code)
    if oci is None:
        return None
    type_rules(oci, SNAPSHOT_T, add, "OVMS-SNP-001")
    found = carriers(oci, SNAPSHOT_T)
    if not found:
        add("/layers", "OVMS-SNP-002")
    for pointer, _ in found[1:]:
        add(pointer, "OVMS-SNP-002")
    if "subject" not in oci:
        add("/subject", "OVMS-SNP-003")
    if not found or len(found) > 1 or any(f.requirement == "OVMS-SNP-001" for f in faults):
        return None
    s = read_snapshot(snapshot_of(found[0][1]), faults, artifact=True)
    if s is None:
        return None
    if "subject" in oci and oci["subject"]["digest"] != s["base"]["digest"]:
        add("/subject", "OVMS-SNP-003", code="OVM_BASE_MISMATCH")
    parts = {"snapshot": found[0][1]["digest"]}

    def part(pointer, ref, fits):
        hit = pick(oci, ref, fits)
        if hit is None:
            add(pointer, "OVMS-SNP-030", document="snapshot")
        elif not hit[2]:
            add(pointer, "OVMS-SNP-031", document="snapshot")
        else:
            return hit
        return None

    ram = s["ram"]
    hit = part("/ram/ref", ram["ref"], lambda t: t == f"{T}ramsnap.v1+{ram['compression']}")
    if hit:
        parts["ram"] = ram["ref"]
        note = (hit[1].get("annotations") or {}).get("ovms.ram.table")
        if note is not None and note != ram.get("table"):
            add(f"/layers/{hit[0]}/annotations/ovms.ram.table", "OVMS-SNP-033")
    if "table" in ram:
        hit = part("/ram/table", ram["table"], lambda t: t == f"{T}ramtable.v1")
        if hit:
            parts["table"] = ram["table"]
            if hit[1]["size"] != 64 + 40 * ram["size"] // CHUNK:
                add("/ram/table", "OVMS-SNP-034", document="snapshot")
    if "changed" in ram:
        hit = part("/ram/changed/ref", ram["changed"]["ref"], lambda t: t == f"{T}rampages.v1")
        if hit:
            parts["changed"] = ram["changed"]["ref"]
            if hit[1]["size"] != ram["size"] // 32768:
                add("/ram/changed", "OVMS-SNP-121", document="snapshot")
    if part("/state/ref", s["state"]["ref"], lambda t: t == f"{T}vmstate.v1"):
        parts["state"] = s["state"]["ref"]

    def chain(at, overlays):
        refs = []
        for n, o in enumerate(overlays):
            hit = part(f"{at}/overlays/{n}/ref", o["ref"], lambda t: t in DISK_T)
            if hit:
                refs.append(o["ref"])
                if hit[1]["size"] != o["size"]:
                    add(f"{at}/overlays/{n}/size", "OVMS-SNP-032", document="snapshot")
                disk_rules(oci, hit[0], hit[1], "qcow2", lambda p, r: add(p, r, code="OVM_ARTIFACT_INVALID"))
        return refs

    parts["overlays"] = chain("", s["overlays"])
    if "disks" in s:
        disks = [(d["name"], chain(f"/disks/{n}", d["overlays"])) for n, d in enumerate(s["disks"])]
        parts["disks"] = [{"name": name, "overlays": refs} for name, refs in disks]
    for name, value in (oci.get("annotations") or {}).items():
        if name.startswith("ovms.snapshot.") and name[14:] in ANNOTATED:
            node = s
            for key in ANNOTATED[name[14:]]:
                node = node.get(key, {}) if isinstance(node, dict) else {}
            if value != (str(node) if not isinstance(node, dict) else None):
                add(f"/annotations/{esc(name)}", "OVMS-SNP-007")
    return None if faults else {"oci": oci, "snapshot": s, "parts": parts}
