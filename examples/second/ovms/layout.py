"""OCI layouts: folders with index.json, oci-layout and blobs/sha256."""
import hashlib, json, os, re, stat

from .basics import MIB, OCI_T, Refused

INDEX_T = "application/vnd.oci.image.index.v1+json"
PIECE = 1 << 20


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def blob_path(folder, digest):
    if not isinstance(digest, str) or not re.fullmatch("sha256:[0-9a-f]{64}", digest):
        raise Refused("OVM_ARTIFACT_INVALID", "OVMS-OCI-004", f"{digest!r} is no digest")
    return os.path.join(folder, "blobs/sha256", digest[7:])


def regular(path):
    """Opens a regular file without waiting for what a FIFO may bring."""
    try:
        file = open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb")
    except OSError as e:
        raise Refused("OVM_CONTENT_MISSING", "OVMS-SEC-001", str(e))
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise Refused("OVM_ARTIFACT_INVALID", "OVMS-OCI-001", f"{path} is no regular file")
    return file


def verify(folder, descriptor):
    """Holds a blob against its descriptor, in pieces."""
    digest, size = descriptor["digest"], descriptor["size"]
    with regular(blob_path(folder, digest)) as file:
        if os.fstat(file.fileno()).st_size != size:
            raise Refused("OVM_SIZE_MISMATCH", "OVMS-SEC-001", f"{digest} has not {size} bytes")
        sha = hashlib.sha256()
        while piece := file.read(PIECE):
            sha.update(piece)
    if "sha256:" + sha.hexdigest() != digest:
        raise Refused("OVM_DIGEST_MISMATCH", "OVMS-SEC-001", f"the blob {digest} has other bytes")


def read_blob(folder, descriptor, limit=4 * MIB):
    """The bytes of a document, verified."""
    if descriptor["size"] > limit:
        raise Refused("OVM_TOO_LARGE", "OVMS-LIM-001", f"{descriptor['digest']} has more than {limit} bytes")
    verify(folder, descriptor)
    with regular(blob_path(folder, descriptor["digest"])) as file:
        return file.read(limit)


# What Cosign saves beside an artifact (OVMS-SIG-061).
SAVED = ("dev.cosignproject.cosign/sigs", "dev.cosignproject.cosign/atts")


def the_only(folder):
    """The descriptor of the only artifact of a layout."""
    with regular(os.path.join(folder, "index.json")) as file:
        data = file.read(4 * MIB + 1)
    try:
        entries = [d for d in json.loads(data)["manifests"] if (d.get("annotations") or {}).get("kind") not in SAVED]
        named = [d for d in entries if "org.opencontainers.image.ref.name" in (d.get("annotations") or {})]
        # What has no name belongs to what has one (OVMS-REF-025).
        found = {d["digest"]: {"digest": d["digest"], "size": int(d["size"])} for d in named or entries}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Refused("OVM_ARTIFACT_INVALID", "OVMS-OCI-001", "index.json is no index")
    if len(found) != 1:
        raise Refused("OVM_ARTIFACT_INVALID", "OVMS-OCI-001", f"the layout has {len(found)} artifacts")
    return next(iter(found.values()))


def begin(folder):
    os.makedirs(os.path.join(folder, "blobs/sha256"), exist_ok=True)


def put(folder, data):
    with open(blob_path(folder, digest_of(data)), "wb") as file:
        file.write(data)


def finish(folder, oci, artifact_type):
    """Names the artifact, when all that belongs to it is there."""
    entry = {"mediaType": OCI_T, "digest": digest_of(oci), "size": len(oci), "artifactType": artifact_type}
    index = {"schemaVersion": 2, "mediaType": INDEX_T, "manifests": [entry]}
    for name, value in (("oci-layout", {"imageLayoutVersion": "1.0.0"}), ("index.json", index)):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            json.dump(value, file)
