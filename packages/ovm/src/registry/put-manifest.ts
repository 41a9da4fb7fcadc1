import type { Descriptor } from "../content/descriptor.ts"
import { isDigest } from "../content/digest.ts"
import type { Call } from "../content/interfaces.ts"
import { digestMismatch } from "../content/verify.ts"
import { OvmError } from "../errors.ts"
import { isObject } from "../objects.ts"
import { bytesBody, discard } from "./http/http.ts"
import { retry, Transient } from "./http/retry.ts"
import type { UploadTarget } from "./transfer/upload-session.ts"
import type { Transport } from "./transport/transport.ts"

/** A manifest on its way out: `bytes` are what `target` names, `name` is a tag or its digest. */
export interface OutgoingManifest {
  readonly target: Descriptor
  readonly name: string
  readonly bytes: Uint8Array
}

/**
 * Puts a manifest under a name and returns the headers of the answer. Throws OVM_DIGEST_MISMATCH if the registry says
 * that it stored something else, OVM_CONTENT_MISSING if it lacks what the manifest refers to, and what the transport
 * throws.
 */
export function putManifest(
  transport: Transport,
  to: UploadTarget,
  { target, name, bytes }: OutgoingManifest,
  call: Call,
): Promise<Headers> {
  return retry(transport.limits, call, async () => {
    const { response } = await transport
      .send({
        ...call,
        method: "PUT",
        url: `${to.base}/manifests/${name}`,
        headers: { "Content-Type": target.mediaType },
        body: bytesBody(bytes),
        scope: to.scope,
        what: `manifest ${name} of ${to.base.slice("/v2/".length)}`,
      })
      .catch((error) => {
        throw isTorn(error) ? new Transient(error) : error
      })
    await discard(response)
    const stored = response.headers.get("docker-content-digest")
    if (isDigest(stored) && stored !== target.digest)
      throw digestMismatch(target, stored, `what ${transport.host} stored`)
    return response.headers
  })
}

/**
 * Debian's docker-registry notes which blobs a repository has in files that it empties and writes anew. If another
 * client uploads a blob of this manifest at the same moment, it reads an empty one and answers 400 DIGEST_INVALID,
 * though every digest is right: ours was compared before. A moment later the note is whole.
 */
function isTorn(error: unknown): error is OvmError {
  if (!(error instanceof OvmError) || !isObject(error.detail)) return false
  const { status, errors } = error.detail
  return status === 400 && Array.isArray(errors) && errors.some(({ code }) => code === "DIGEST_INVALID")
}
