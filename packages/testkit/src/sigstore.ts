import { createHash, generateKeyPairSync, type KeyObject } from "node:crypto"
import {
  fulcioHandler,
  initializeCA,
  initializeCTLog,
  initializeTLog,
  initializeTSA,
  rekorHandler,
  tsaHandler,
} from "@sigstore/mock"

/**
 * A private Sigstore: a certificate authority with its log, a transparency log and a timestamp authority, over HTTP.
 */
export interface Sigstore extends AsyncDisposable {
  /** Of all three services. */
  readonly url: string
  /** The file that vouches for them, JSON; `without` leaves parts of it empty. */
  trustedRoot(without?: readonly ("tlogs" | "ctlogs" | "timestampAuthorities")[]): string
  /** A token by which the authority certifies `subject`, as vouched for by `issuer`. */
  token(subject: string, issuer: string): string
}

/**
 * Their clocks stand at `clock`, a whole second; at the next one unless told, so that their own certificates are older.
 */
export async function startSigstore(
  clock = new Date(Math.ceil(Date.now() / 1000) * 1000),
): Promise<Sigstore> {
  const [ca, ct, log, tsa] = [pair(), pair(), pair(), pair()]
  const ctlog = await initializeCTLog(ct, clock)
  const authority = await initializeCA(ca, ctlog, clock)
  const stamps = await initializeTSA(tsa, clock)
  const handlers: { path: string; fn: Handler }[] = [fulcioHandler(authority), tsaHandler(stamps)]
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const handler = handlers.find(({ path }) => path === new URL(request.url).pathname)
      if (!handler) return new Response("no such service", { status: 404 })
      const log = handler.path.endsWith("/entries")
      const body = authorized(await request.text(), request.headers.get("authorization"))
      const { statusCode, response, contentType } = await handler.fn(body)
      return new Response(response as string, {
        // The real authority answers 200, and Cosign takes nothing else from it.
        status: statusCode === 201 && handler.path.endsWith("/signingCert") ? 200 : statusCode,
        headers: {
          "Content-Type": contentType ?? "text/plain",
          ...(log && { ETag: idOf(String(response)) }),
        },
      })
    },
  })
  const url = `http://127.0.0.1:${server.port}`
  const rekor = rekorHandler(await initializeTLog(url, log, clock))
  handlers.push({ path: rekor.path, fn: (body) => rekor.fn(canonical(body)) })
  const validFor = { start: "2020-01-01T00:00:00Z" }
  const tlogs = [logOf(log.publicKey, url)]
  const ctlogs = [logOf(ct.publicKey, url)]
  const chain = (...certificates: ArrayBufferView[]) => ({
    certChain: { certificates: certificates.map((one) => ({ rawBytes: base64(bytesOf(one)) })) },
    uri: url,
    validFor,
  })
  const root = {
    mediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
    tlogs,
    ctlogs,
    certificateAuthorities: [chain(authority.rootCertificate)],
    timestampAuthorities: [chain(stamps.intCertificate, stamps.rootCertificate)],
  }
  await Bun.sleep(Math.max(0, clock.getTime() - Date.now()))
  return {
    url,
    trustedRoot: (without = []) =>
      JSON.stringify({ ...root, ...Object.fromEntries(without.map((part) => [part, []])) }),
    token: (sub, iss) => ["{}", JSON.stringify({ sub, iss }), "x"].map((part) => base64url(part)).join("."),
    [Symbol.asyncDispose]: async () => void (await server.stop(true)),
  }
}

type Handler = (
  body: string,
) => Promise<{ statusCode: number; response: string | ArrayBufferView; contentType?: string }>

/** Cosign's token is in the header, where the handler does not look for it. */
function authorized(body: string, header: string | null): string {
  if (header === null) return body
  return JSON.stringify({
    ...JSON.parse(body),
    credentials: { oidcIdentityToken: header.replace("Bearer ", "") },
  })
}

/** Of the one entry in a log's answer. */
function idOf(answer: string): string {
  return Object.keys(JSON.parse(answer))[0] ?? ""
}

/** What a real log keeps of a proposed entry for an envelope: digests and signatures, and not the envelope. */
function canonical(body: string): string {
  const { apiVersion, kind, spec } = JSON.parse(body)
  if (kind !== "dsse") return body
  const { envelope, verifiers } = spec.proposedContent
  const { payload, signatures } = JSON.parse(envelope)
  const sha256 = (bytes: string | Buffer) => ({
    algorithm: "sha256",
    value: createHash("sha256").update(bytes).digest("hex"),
  })
  return JSON.stringify({
    apiVersion,
    kind,
    spec: {
      envelopeHash: sha256(envelope),
      payloadHash: sha256(Buffer.from(payload, "base64")),
      signatures: [{ signature: signatures[0].sig, verifier: verifiers[0] }],
    },
  })
}

function pair(): { publicKey: KeyObject; privateKey: KeyObject } {
  return generateKeyPairSync("ec", { namedCurve: "P-256" })
}

function logOf(key: KeyObject, baseUrl: string) {
  const der = key.export({ type: "spki", format: "der" })
  return {
    baseUrl,
    hashAlgorithm: "SHA2_256",
    publicKey: {
      rawBytes: base64(der),
      keyDetails: "PKIX_ECDSA_P256_SHA_256",
      validFor: { start: "2020-01-01T00:00:00Z" },
    },
    logId: { keyId: base64(createHash("sha256").update(der).digest()) },
  }
}

const bytesOf = (view: ArrayBufferView) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64")
const base64url = (text: string) => Buffer.from(text).toString("base64url")
