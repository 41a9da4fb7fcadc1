import type { Call } from "../../content/interfaces.ts"
import { OvmError } from "../../errors.ts"
import { type Answer, type Body, discard } from "../http/http.ts"
import type { RegistryRequest } from "../transport/request.ts"
import type { Transport } from "../transport/transport.ts"

/** The repository that is uploaded to: its path under /v2/, and the permission that it takes. */
export interface UploadTarget {
  readonly base: string
  readonly scope: string
}

/** One upload on a registry, from its beginning to its commit (distribution-spec: "Pushing Blobs"). */
export class UploadSession {
  private constructor(
    private readonly transport: Transport,
    /** What all its requests have in common. */
    private readonly about: Pick<RegistryRequest, "scope" | "what" | "signal">,
    /** The newest one that the registry gave. */
    private location: URL,
    /** The least size of a chunk that the registry takes, if it said so; bytes. */
    readonly leastChunk: number | undefined,
  ) {}

  static async begin(
    transport: Transport,
    { base, scope }: UploadTarget,
    what: string,
    call: Call,
  ): Promise<UploadSession> {
    const about = { ...call, scope, what }
    const { response, url } = await transport.exchange({
      ...about,
      method: "POST",
      url: `${base}/blobs/uploads/`,
      headers: { "Content-Length": "0" },
      absent: "OVM_NAME_UNKNOWN",
    })
    await discard(response)
    const location = locationOf(response, url, transport.host, what)
    const least = /^\d{1,12}$/.exec(response.headers.get("oci-chunk-min-length") ?? "")?.[0]
    return new UploadSession(transport, about, location, Number(least) || undefined)
  }

  /** The whole content, or what is left of it, and with it the end. */
  async put(digest: string, body?: Body): Promise<void> {
    const url = new URL(this.location)
    // Appended as text: going through searchParams would rewrite what the registry put there, and perhaps signed.
    url.search += `${url.search ? "&" : "?"}digest=${encodeURIComponent(digest)}`
    const headers = { "Content-Type": "application/octet-stream", ...(!body && { "Content-Length": "0" }) }
    await this.#exchange({ method: "PUT", url, headers, body })
  }

  /** One chunk, which begins at byte `start`. Returns where the registry wants the next one to begin. */
  async patch(start: number, body: Body): Promise<number> {
    const end = start + body.size
    const headers = {
      "Content-Type": "application/octet-stream",
      "Content-Range": `${start}-${end - 1}`,
    }
    const { response, url } = await this.#exchange({ method: "PATCH", url: this.location, headers, body })
    this.#follow(response, url)
    return receivedOf(response.headers) ?? end
  }

  /** How many bytes the registry has, asked of itself; undefined if it does not know the upload any more. */
  async received(): Promise<number | undefined> {
    try {
      const { response, url } = await this.#exchange({ method: "GET", url: this.location })
      this.#follow(response, url)
      return receivedOf(response.headers)
    } catch (error) {
      // Whatever it answers, beginning anew is the way on.
      this.about.signal?.throwIfAborted()
      if (error instanceof Error) return undefined
      throw error
    }
  }

  /** Best effort: registries throw unfinished uploads away by themselves, later. */
  cancel(): Promise<void> {
    return cancel(this.transport, this.about, this.location)
  }

  async #exchange(request: Pick<RegistryRequest, "method" | "url" | "headers" | "body">): Promise<Answer> {
    const answer = await this.transport.exchange({ ...this.about, ...request })
    await discard(answer.response)
    return answer
  }

  #follow(response: Response, url: URL): void {
    if (response.headers.has("location"))
      this.location = locationOf(response, url, this.transport.host, this.about.what)
  }
}

/** Bytes that a Range header says were received: `0-N`, where `0-0` stands for none. */
function receivedOf(headers: Headers): number | undefined {
  const last = /^(?:bytes=)?0-(\d{1,15})$/.exec(headers.get("range")?.trim() ?? "")?.[1]
  if (last === undefined) return undefined
  return last === "0" ? 0 : Number(last) + 1
}

/** The place that the registry gives to an upload: relative or absolute, its query kept. */
export function locationOf(response: Response, url: URL, host: string, what: string): URL {
  const location = response.headers.get("location")
  if (location !== null && URL.canParse(location, url.href)) return new URL(location, url)
  throw new OvmError("OVM_REGISTRY_FAILED", `${host}: ${what}: it gave no Location to upload to`)
}

const CANCEL_MS = 5_000

/** Ends an upload that is not wanted any more, if the registry can. */
export async function cancel(
  transport: Transport,
  { scope, what }: Pick<RegistryRequest, "scope" | "what">,
  location: URL,
): Promise<void> {
  try {
    const { response } = await transport.exchange({
      signal: AbortSignal.timeout(CANCEL_MS),
      method: "DELETE",
      url: location,
      scope,
      what,
    })
    await discard(response)
  } catch {
    // The failure that led here says more.
  }
}
