import { randomUUID } from "node:crypto"
import { type CheckCall, fail, must } from "../check.ts"
import { digestOf } from "../registry/content.ts"

const ANSWER_LIMIT = 64 << 20

export interface Asked {
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array
}

export interface Told {
  readonly status: number
  readonly headers: Headers
  readonly bytes: Buffer
}

/** A registry by its address, as the distribution-spec speaks with it: one repository of its own for each check. */
export class Remote {
  constructor(
    readonly origin: string,
    readonly repository: string,
    private readonly signal: AbortSignal,
  ) {}

  /** The same for one check. */
  of({ signal }: CheckCall): Remote {
    return new Remote(this.origin, `${this.repository}/${randomUUID()}`, signal)
  }

  async ask(method: string, place: string, { headers, body }: Asked = {}): Promise<Told> {
    const url = /^https?:/.test(place)
      ? place
      : `${this.origin}${place.startsWith("/") ? "" : `/v2/${this.repository}/`}${place}`
    try {
      const answer = await fetch(url, {
        method,
        signal: this.signal,
        ...(headers && { headers }),
        ...(body && { body: Buffer.from(body) }),
      })
      const bytes = Buffer.from(await answer.arrayBuffer())
      if (bytes.length > ANSWER_LIMIT) fail(`${method} ${place}: an answer of ${bytes.length} bytes`)
      return { status: answer.status, headers: answer.headers, bytes }
    } catch (thrown) {
      const { message, cause } = thrown as Error
      fail(`${method} ${place}: ${cause instanceof Error ? cause.message : message}`)
    }
  }

  /** An answer with one of these statuses. */
  async good(statuses: readonly number[], method: string, place: string, asked?: Asked): Promise<Told> {
    const told = await this.ask(method, place, asked)
    const said = told.bytes.toString("utf8", 0, 200).trim()
    must(
      statuses.includes(told.status),
      `${method} ${place.slice(0, 100)} was answered with ${told.status}: ${said}`,
    )
    return told
  }

  /** Where an upload goes on, as the registry says. */
  async begin(): Promise<string> {
    const { headers } = await this.good([202], "POST", "blobs/uploads/")
    return this.next(headers)
  }

  next(headers: Headers): string {
    const location = headers.get("location") ?? fail("an upload has no Location")
    return new URL(location, this.origin).href
  }

  /** A blob in one request; its digest. */
  async blob(bytes: Buffer): Promise<string> {
    const digest = digestOf(bytes)
    const headers = { "content-type": "application/octet-stream" }
    await this.good([201], "PUT", withDigest(await this.begin(), digest), { headers, body: bytes })
    return digest
  }

  async manifest(name: string, mediaType: string, bytes: Buffer): Promise<Told> {
    return await this.good([201], "PUT", `manifests/${name}`, {
      headers: { "content-type": mediaType },
      body: bytes,
    })
  }
}

export function withDigest(place: string, digest: string): string {
  const url = new URL(place)
  url.searchParams.set("digest", digest)
  return url.href
}
