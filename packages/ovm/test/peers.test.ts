import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { copyFile, mkdir, readdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import { buildGuest, guestMissing } from "@ovms/testkit/guest.ts"
import { findPeer, type RegistryProgram, startRegistry } from "@ovms/testkit/registry.ts"
import { expectSuccess, finished, Sandbox } from "./sandbox.ts"

// Every client with every registry, both ways, byte for byte: what a client pushed is read by ovm, and what ovm pushed
// is read by the client (docs/registries.md has the table).

interface Client {
  /** From the layout `from:1`, or its files, to `to`. */
  push(from: string, to: string): string[]
  /** From `from` into a new layout `to:1`. */
  pull(from: string, to: string): string[]
  /** It copies files, under a manifest of its own making. */
  readonly files?: true
}

const CLIENTS: Readonly<Record<string, Client>> = {
  ovm: {
    push: (from, to) => ["copy", `oci:${from}:1`, to],
    pull: (from, to) => ["copy", from, `oci:${to}:1`],
  },
  oras: {
    push: (from, to) => ["copy", "--from-oci-layout", `${from}:1`, "--to-plain-http", to],
    pull: (from, to) => ["copy", "--from-plain-http", from, "--to-oci-layout", `${to}:1`],
  },
  crane: {
    push: (from, to) => ["push", "--insecure", from, to],
    pull: (from, to) => ["pull", "--insecure", "--format=oci", from, to],
  },
  regctl: {
    push: (from, to) => ["image", "copy", ...plain(to), `ocidir://${from}:1`, to],
    pull: (from, to) => ["image", "copy", ...plain(from), from, `ocidir://${to}:1`],
  },
  skopeo: {
    push: (from, to) => [
      "--insecure-policy",
      "copy",
      "--dest-tls-verify=false",
      `oci:${from}:1`,
      `docker://${to}`,
    ],
    pull: (from, to) => [
      "--insecure-policy",
      "copy",
      "--src-tls-verify=false",
      `docker://${from}`,
      `oci:${to}:1`,
    ],
  },
  "oras-py": {
    push: (_, to) => ["push", to, "kernel", "initrd"],
    pull: (from, to) => ["pull", from, to],
    files: true,
  },
}

const plain = (reference: string) => ["--host", `reg=${reference.split("/")[0]},tls=disabled`]

const REGISTRIES: Readonly<Record<string, RegistryProgram | undefined>> = {
  embedded: undefined,
  "CNCF distribution 3": "distribution",
  "Debian's docker-registry": "docker-registry",
  "ggcr's registry": "ggcr-registry",
}

const note = (name: string, reason: string) =>
  console.log(`SKIP packages/ovm/test/peers.test.ts: ${name}: ${reason}`)
if (guestMissing) note("all", guestMissing)
const absent = (name: string) => name !== "ovm" && findPeer(name) === undefined
for (const name of [...Object.keys(CLIENTS), ...Object.values(REGISTRIES)])
  if (name !== undefined && absent(name)) note(name, "not there (make peers)")

const sha256 = async (path: string) =>
  createHash("sha256")
    .update(await readFile(path))
    .digest("hex")

describe.skipIf(Boolean(guestMissing))("every client with every registry", () => {
  let box: Sandbox
  let digest: string

  beforeAll(async () => {
    box = await Sandbox.create()
    await copyFile(await buildGuest(), box.path("kernel"))
    await box.file(
      "initrd",
      // Above 4 MiB, from where on ovm fetches blobs in its own ways.
      new Uint8Array(5_000_000).map((_, at) => at * at),
    )
    const packed = await box.json([
      "pack",
      "--kernel",
      "kernel",
      "--initrd",
      "initrd",
      "--args",
      "x",
      "-t",
      "m:1",
    ])
    digest = packed.digest
    await box.ok(["copy", "m:1", "oci:lay:1"])
  })
  afterAll(() => box?.[Symbol.asyncDispose]())

  async function run(name: string, args: readonly string[]): Promise<void> {
    if (name === "ovm") return void (await box.ok(args))
    const env = { PATH: process.env.PATH, HOME: box.directory, REGCTL_CONFIG: box.path("regctl.json") }
    const child = spawn(findPeer(name) ?? name, args, {
      cwd: box.directory,
      env,
      stdio: ["ignore", "pipe", "pipe"],
    })
    expectSuccess(await finished(child), [name, ...args])
  }

  /** Every blob of the machine is in the layout `name`, and is what it is called. */
  async function expectWhole(name: string): Promise<void> {
    const index = JSON.parse(await readFile(box.path(`${name}/index.json`), "utf8"))
    expect(index.manifests.map((entry: { digest: string }) => entry.digest)).toContain(digest)
    for (const hex of await readdir(box.path("lay/blobs/sha256")))
      expect(await sha256(box.path(`${name}/blobs/sha256/${hex}`))).toBe(hex)
  }

  for (const [registry, program] of Object.entries(REGISTRIES)) {
    describe.skipIf(program !== undefined && absent(program))(registry, () => {
      let host = ""
      let stop = async () => {}
      beforeAll(async () => {
        if (program) {
          const server = await startRegistry({ program })
          host = server.host
          stop = server.stop
        } else {
          const root = box.path("registry")
          const child = box.begin(["registry", "serve", "--address", "127.0.0.1:0", "--root", root, "--json"])
          stop = async () => {
            child.kill("SIGTERM")
            await new Promise((resolve) => child.once("exit", resolve))
          }
          for await (const line of child.stdout ?? []) {
            host = JSON.parse(line.toString()).address
            break
          }
        }
        await box.ok(["copy", "m:1", `${host}/machines/ovm:1`])
      })
      afterAll(() => stop())

      for (const [name, client] of Object.entries(CLIENTS)) {
        const place = (verb: string) => `${name}-${verb}-${host.split(":")[1]}`

        test.skipIf(absent(name))(`${name} pushes`, async () => {
          const remote = `${host}/machines/by-${name}:1`
          await run(name, client.push("lay", remote))
          await box.ok(["copy", remote, `oci:${place("push")}:1`])
          if (!client.files) return expectWhole(place("push"))
          for (const file of ["kernel", "initrd"]) {
            const hex = await sha256(box.path(file))
            expect(await sha256(box.path(`${place("push")}/blobs/sha256/${hex}`))).toBe(hex)
          }
        })

        test.skipIf(absent(name))(`${name} pulls`, async () => {
          if (client.files) await mkdir(box.path(place("pull")))
          await run(name, client.pull(`${host}/machines/ovm:1`, place("pull")))
          if (!client.files) return expectWhole(place("pull"))
          const pulled = await readdir(box.path(place("pull")))
          const hashes = await Promise.all(pulled.map((file) => sha256(join(box.path(place("pull")), file))))
          for (const file of ["kernel", "initrd"]) expect(hashes).toContain(await sha256(box.path(file)))
        })
      }
    })
  }
})
