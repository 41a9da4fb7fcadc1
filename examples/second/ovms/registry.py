"""A registry on a loopback address, by the OCI distribution specification (spec/distribution.md)."""
import hashlib, http.client, json, os, urllib.error, urllib.parse, urllib.request

from .basics import MIB, OCI_T, Refused
from .layout import INDEX_T, PIECE, blob_path, digest_of
from .strict import parse

SECONDS = 20
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Registry:
    def __init__(self, host, repository):
        self.origin, self.base = f"http://{host}", f"http://{host}/v2/{repository}"

    def ask(self, method, url, data=None, headers=None):
        """The answer, whatever its status; urllib follows redirects of GET and HEAD."""
        request = urllib.request.Request(url, data=data, method=method, headers=headers or {})
        try:
            return DIRECT.open(request, timeout=SECONDS)
        except urllib.error.HTTPError as answer:
            return answer
        except (OSError, http.client.HTTPException) as e:
            raise Refused("OVM_REGISTRY_UNREACHABLE", "OVMS-ERR-005", f"{method} {url}: {e}")

    def good(self, wanted, *request, missing="OVM_CONTENT_MISSING"):
        answer = self.ask(*request)
        if answer.status in wanted:
            return answer
        code = missing if answer.status == 404 else "OVM_REGISTRY_FAILED"
        raise Refused(code, "OVMS-ERR-005", f"{request[0]} {request[1]}: status {answer.status}")

    def manifest(self, name, digest):
        """The bytes of a manifest, by tag or digest; held against `digest`, or what the registry says of them."""
        url = f"{self.base}/manifests/{digest or name}"
        with self.good([200], "GET", url, None, {"Accept": OCI_T}, missing="OVM_NAME_UNKNOWN") as answer:
            data = read(answer, 4 * MIB + 1)
            said = digest or answer.headers.get("Docker-Content-Digest")
        if len(data) > 4 * MIB:
            raise Refused("OVM_TOO_LARGE", "OVMS-LIM-001", f"the manifest {name} has more than 4 MiB")
        if said and said != digest_of(data):
            raise Refused("OVM_DIGEST_MISMATCH", "OVMS-SEC-001", f"the manifest {name} is not {said}")
        return data

    def fetch(self, descriptor, folder):
        """A blob into the layout, never more of it than its descriptor says."""
        digest, size = descriptor["digest"], descriptor["size"]
        path, got, sha = blob_path(folder, digest), 0, hashlib.sha256()
        with self.good([200], "GET", f"{self.base}/blobs/{digest}") as answer, open(path + ".part", "wb") as file:
            while got <= size and (piece := read(answer, min(PIECE, size + 1 - got))):
                got += len(piece)
                sha.update(piece)
                file.write(piece)
        if got != size or "sha256:" + sha.hexdigest() != digest:
            os.remove(path + ".part")
            code = "OVM_SIZE_MISMATCH" if got != size else "OVM_DIGEST_MISMATCH"
            raise Refused(code, "OVMS-SEC-001", f"the blob {digest} is not what its descriptor says")
        os.rename(path + ".part", path)

    def send(self, descriptor, folder):
        """A blob of the layout, unless it is there."""
        digest = descriptor["digest"]
        if self.ask("HEAD", f"{self.base}/blobs/{digest}").status == 200:
            return
        place = self.good([202], "POST", f"{self.base}/blobs/uploads/", b"").headers["Location"]
        url = urllib.parse.urljoin(self.origin, place)
        url += ("&" if "?" in url else "?") + urllib.parse.urlencode({"digest": digest})
        with open(blob_path(folder, digest), "rb") as file:
            headers = {"Content-Type": "application/octet-stream", "Content-Length": str(descriptor["size"])}
            self.good([201], "PUT", url, file, headers)

    def put(self, name, data, mime=OCI_T):
        self.good([201], "PUT", f"{self.base}/manifests/{name}", data, {"Content-Type": mime})

    def list_among_referrers(self, data, oci):
        """Where the registry keeps no list of what refers to a subject, the fallback tag is one (OVMS-DST-003)."""
        subject = oci["subject"]["digest"]
        if self.ask("GET", f"{self.base}/referrers/{subject}").status != 404:
            return
        tag, entries = subject.replace(":", "-"), []
        answer = self.ask("GET", f"{self.base}/manifests/{tag}", None, {"Accept": INDEX_T})
        if answer.status == 200:
            _, listed = parse(read(answer, 4 * MIB), "oci-index", [])
            if not isinstance(listed, dict) or listed.get("mediaType") != INDEX_T:
                raise Refused("OVM_REGISTRY_FAILED", "OVMS-OCI-090", f"{tag} is no list of referrers")
            entries = [one for one in listed["manifests"] if one["digest"] != digest_of(data)]
        entry = {"mediaType": OCI_T, "digest": digest_of(data), "size": len(data), "artifactType": oci["artifactType"]}
        if "annotations" in oci:
            entry["annotations"] = oci["annotations"]
        index = {"schemaVersion": 2, "mediaType": INDEX_T, "manifests": [*entries, entry]}
        self.put(tag, json.dumps(index).encode(), INDEX_T)


def read(answer, limit):
    try:
        return answer.read(limit)
    except http.client.IncompleteRead as e:
        return e.partial
    except (OSError, http.client.HTTPException) as e:
        raise Refused("OVM_REGISTRY_UNREACHABLE", "OVMS-ERR-005", str(e))
