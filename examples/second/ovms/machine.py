"""The OVMS manifest and the pack source (spec/manifest.md, spec/pack-source.md)."""
from .basics import KIND_CODE, Fault
from .schema import is_type, matches, schema_of
from .strict import parse

def real_date(text):
    y, mo, d = int(text[:4]), int(text[5:7]), int(text[8:10])
    leap = y % 4 == 0 and (y % 100 != 0 or y % 400 == 0)
    return d <= [31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][mo - 1]

def machine_rules(m, add):
    """What the prose asks of a manifest (or source) and the schema cannot say."""
    names = set()
    devices = m.get("devices")
    for i, d in enumerate(devices if isinstance(devices, list) else []):
        if not isinstance(d, dict):
            continue
        size, name = d.get("size"), d.get("name")
        if is_type(size, "integer") and 4096 <= size <= 1 << 36 and size & (size - 1):
            add(f"/devices/{i}/size", "OVMS-MAN-054")
        if isinstance(name, str):
            if name in names:
                add(f"/devices/{i}/name", "OVMS-MAN-053")
            names.add(name)
    names = set()
    disks = m.get("disks")
    for i, d in enumerate(disks if isinstance(disks, list) else []):
        name = d.get("name") if isinstance(d, dict) else None
        if isinstance(name, str):
            if name in names:
                add(f"/disks/{i}/name", "OVMS-MAN-122")
            names.add(name)
        if isinstance(d, dict) and d.get("readOnly") is True and "size" in d:
            add(f"/disks/{i}/readOnly", "OVMS-MAN-126")
    shares = m.get("shares")
    shares = [s for s in shares if isinstance(s, dict)] if isinstance(shares, list) else []
    for key, requirement in (("name", "OVMS-MAN-142"), ("target", "OVMS-MAN-144")):
        seen = set()
        for i, share in enumerate(shares):
            text = share.get(key)
            if isinstance(text, str):
                if text in seen:
                    add(f"/shares/{i}/{key}", requirement)
                seen.add(text)
    meta = m.get("metadata")
    platform = meta.get("platform") if isinstance(meta, dict) else None
    arch = platform.get("arch") if isinstance(platform, dict) else None
    words = {"amd64": "x86_64", "arm64": "aarch64"}
    word = words.get(m.get("architecture", "amd64")) if isinstance(m.get("architecture", "amd64"), str) else None
    if word and arch in words.values() and arch != word:
        add("/metadata/platform/arch", "OVMS-IDX-001")
    if "firmware" in m and not (isinstance(platform, dict) and platform.get("uefi") is True):
        add("/firmware", "OVMS-MAN-157")
    if isinstance(platform, dict) and platform.get("secureBoot") is True and platform.get("uefi") is not True:
        add("/metadata/platform/secureBoot", "OVMS-MAN-159")
    created = meta.get("created") if isinstance(meta, dict) else None
    pattern = schema_of("manifest").root["properties"]["metadata"]["properties"]["created"]["pattern"]
    if isinstance(created, str) and matches(pattern, created) and not real_date(created):
        add("/metadata/created", "OVMS-MAN-072")

def read_machine(data, document, faults):
    since = len(faults)
    ok, m = parse(data, document, faults)
    if not ok:
        return None
    schema_of(document).check(m, faults)
    if isinstance(m, dict):
        machine_rules(m, lambda p, r: faults.append(Fault(document, p, r, KIND_CODE[document])))
    mine = faults[since:]
    if mine and all(f.requirement == "OVMS-MAN-003" for f in mine):     # a reserved member alone is OVM_UNSUPPORTED
        faults[since:] = [Fault(document, f.pointer, f.requirement, "OVM_UNSUPPORTED") for f in mine]
    return m if len(faults) == since else None

# ---------------------------------------------------------------- the OCI manifest
