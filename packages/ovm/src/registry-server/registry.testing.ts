import { expect } from "bun:test"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Descriptor } from "../content/descriptor.ts"
import { OCI_MANIFEST } from "../content/manifest.ts"
import { describeBytes, manifestOver, text } from "../content/store.testing.ts"
import { type OvmError, toOvmError } from "../errors.ts"
import { type RegistryServerOptions, startRegistry } from "./run.ts"

// What the tests of the embedded registry share: a real one in this process, and requests as they are on the wire.

export type TestOptions = Partial<RegistryServerOptions>

export interface TestRegistry extends AsyncDisposable {
  /** `127.0.0.1:PORT` */
  readonly host: string
  readonly root: string
  /** What it said of faults of its own. */
  readonly errors: readonly OvmError[]
  /** A request to a path below /v2/, or to a Location. */
  call(method: string, path: string, init?: BunFetchRequestInit): Promise<Response>
  /** Ends it and starts it again over the same folder, at another port. */
  restart(): Promise<void>
}

export async function startTest(options: TestOptions = {}): Promise<TestRegistry> {
  const root = await mkdtemp(join(tmpdir(), "ovm-serve-"))
  const errors: OvmError[] = []
  const start = () =>
    startRegistry({
      hostname: "127.0.0.1",
      port: 0,
      source: { root, readOnly: false },
      log: (error) => errors.push(error),
      ...options,
    })
  let server = await start().catch(async (error) => {
    await rm(root, { recursive: true })
    throw toOvmError(error)
  })
  return {
    root,
    errors,
    get host() {
      return server.address
    },
    call: (method, path, init = {}) =>
      fetch(path.startsWith("/") ? server.url + path : `${server.url}/v2/${path}`, {
        redirect: "manual",
        ...init,
        method,
      }),
    async restart() {
      await server.close()
      server = await start()
    },
    async [Symbol.asyncDispose]() {
      await server.close()
      await rm(root, { recursive: true, force: true })
    },
  }
}

/** Reads an error answer and checks its shape (distribution-spec: "Error Codes"). */
export async function expectError(
  answer: Response,
  status: number,
  code: string,
  culprit = "",
): Promise<void> {
  const body = (await answer.json()) as { errors: { code: string; message: string }[] }
  expect({ status: answer.status, errors: body.errors }).toMatchObject({ status, errors: [{ code }] })
  expect(body.errors).toHaveLength(1)
  expect(JSON.stringify(body)).toContain(culprit)
}

/** Pushes one blob in one request. */
export async function pushBlob(
  registry: TestRegistry,
  repository: string,
  content: string,
): Promise<Descriptor> {
  const target = describeBytes(text(content))
  const answer = await registry.call("POST", `${repository}/blobs/uploads/?digest=${target.digest}`, {
    body: content,
  })
  expect(answer.status).toBe(201)
  return target
}

/** Begins an upload and returns its Location. */
export async function beginUpload(registry: TestRegistry, repository: string): Promise<string> {
  const answer = await registry.call("POST", `${repository}/blobs/uploads/`)
  expect(answer.status).toBe(202)
  return locationOf(answer)
}

export function locationOf(answer: Response): string {
  const location = answer.headers.get("location")
  if (location === null) throw new Error(`no Location in an answer of status ${answer.status}`)
  return location
}

/** Pushes a manifest over one blob, which is pushed first. */
export async function pushManifest(
  registry: TestRegistry,
  repository: string,
  reference: string,
  more: object = {},
): Promise<Descriptor> {
  const config = await pushBlob(registry, repository, "{}")
  const bytes = manifestOver([config], reference, more)
  const target = describeBytes(bytes, "application/vnd.oci.image.manifest.v1+json")
  const answer = await putManifest(registry, repository, reference === "" ? target.digest : reference, bytes)
  expect(answer.status).toBe(201)
  return target
}

/** `path` is the manifest's own, below /v2/. */
export function putTyped(
  registry: TestRegistry,
  path: string,
  type: string,
  body: Uint8Array | string,
): Promise<Response> {
  return registry.call("PUT", path, { body, headers: { "Content-Type": type } })
}

export function putManifest(
  registry: TestRegistry,
  repository: string,
  reference: string,
  body: Uint8Array | string,
): Promise<Response> {
  return putTyped(registry, `${repository}/manifests/${reference}`, OCI_MANIFEST, body)
}
