import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { spawn } from "node:child_process"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { findPeer, type RegistryProgram, startRegistry } from "@ovms/testkit/registry.ts"
import { expectSuccess, finished, Sandbox } from "./sandbox.ts"

setDefaultTimeout(240_000)

// What cosign and oras attach to a machine, as ovm discover shows it, beside what they show themselves.

const REGISTRIES: Readonly<Record<string, RegistryProgram | undefined>> = {
  embedded: undefined,
  "CNCF distribution 3": "distribution",
  "Debian's docker-registry": "docker-registry",
  "ggcr's registry": "ggcr-registry",
}
const SNAPSHOT = "application/vnd.ovms.snapshot.v1+json"
const CYCLONEDX = "application/vnd.cyclonedx+json"
const absent = (name: string | undefined) => name !== undefined && findPeer(name) === undefined
const missing = guestMissing || ["cosign", "oras"].find(absent)
if (missing) console.log(`SKIP packages/ovm/test/discover.test.ts: ${missing}`)

interface Listed {
  readonly digest: string
  readonly referrers?: readonly Listed[]
}
interface Statement {
  readonly status: string
  readonly form: string
  readonly manifest: string
  readonly key_id?: string
}
interface Graph extends Listed {
  readonly signatures: readonly Statement[]
  readonly sboms: readonly Statement[]
  readonly attestations: readonly Statement[]
  readonly snapshots: readonly Graph[]
  readonly referrers: readonly Graph[]
}

/** Digests of all that refers to something in the graph by a `subject`. */
const referrersIn = ({ signatures, sboms, attestations, snapshots, referrers }: Graph): string[] => [
  ...[...signatures, ...sboms, ...attestations]
    .filter(({ form }) => form === "bundle")
    .map(({ manifest }) => manifest),
  ...[...snapshots, ...referrers].flatMap((node) => [node.digest, ...referrersIn(node)]),
]
const listedIn = ({ referrers = [] }: Listed): string[] =>
  referrers.flatMap((one) => [one.digest, ...listedIn(one)])

for (const [registry, program] of Object.entries(REGISTRIES))
  describe.skipIf(Boolean(missing) || absent(program))(registry, () => {
    let box: Sandbox
    let stop = async () => {}
    let name = ""
    let digest = ""
    let graph: Graph

    async function peer(program: string, ...args: readonly string[]): Promise<string> {
      const env = { PATH: process.env.PATH, HOME: box.directory, COSIGN_PASSWORD: "" }
      const child = spawn(findPeer(program) ?? program, args, { cwd: box.directory, env })
      const result = await finished(child)
      expectSuccess(result, [program, ...args])
      return result.stdout
    }
    const cosign = (verb: string, reference: string, ...args: readonly string[]) => {
      const offline = ["--use-signing-config=false", "--tlog-upload=false", "--allow-http-registry", "-y"]
      return peer("cosign", verb, ...args, ...offline, reference)
    }
    const attach = async (type: string, file: string): Promise<string> => {
      const args = ["--plain-http", "--format", "json", "--artifact-type", type]
      const text = await peer("oras", "attach", ...args, `${name}@${digest}`, `${file}:application/json`)
      return JSON.parse(text).digest
    }
    const listed = async (reference: string): Promise<string[]> =>
      listedIn(JSON.parse(await peer("oras", "discover", "--plain-http", "--format", "json", reference)))

    beforeAll(async () => {
      box = await Sandbox.create()
      let host = ""
      if (program) {
        const server = await startRegistry({ program })
        ;({ host, stop } = server)
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
      name = `${host}/machines/debian`
      await box.file("disk.raw", Buffer.alloc(4096, 1))
      await box.ok(["pack", "--layer", "disk.raw", "-t", `${name}:1`, "--provenance"])
      await box.ok(["sbom", `${name}:1`, "--format", "spdx", "--output", "spdx.json"])
      digest = (await box.json(["push", `${name}:1`])).digest
      for (const who of ["ours", "theirs"])
        await peer("cosign", "generate-key-pair", "--output-key-prefix", who)

      const subject = `${name}@${digest}`
      await cosign("sign", subject, "--key", "ours.key")
      await cosign("sign", subject, "--key", "theirs.key")
      await cosign("sign", subject, "--key", "ours.key", "--new-bundle-format=false")
      await cosign("attest", subject, "--key", "ours.key", "--type", "spdxjson", "--predicate", "spdx.json")
      const provenance = ["--type", "slsaprovenance1", "--predicate", "provenance.json"]
      await cosign("attest", subject, "--key", "theirs.key", ...provenance)
      await box.file("bom.json", "{}")
      await attach(CYCLONEDX, "bom.json")
      await box.file("snapshot.json", "{ }")
      const snapshot = await attach(SNAPSHOT, "snapshot.json")
      await cosign("sign", `${name}@${snapshot}`, "--key", "ours.key")
      graph = await box.json(["discover", "--key", "ours.pub", `${name}:1`])
    })
    afterAll(async () => {
      await stop()
      await box?.[Symbol.asyncDispose]()
    })

    test("everything is there, and judged", () => {
      const judged = (all: readonly Statement[]) => all.map(({ status, form }) => `${status} ${form}`).sort()
      expect(graph.digest).toBe(digest)
      expect(judged(graph.signatures)).toEqual(["unknown bundle", "valid bundle", "valid legacy"])
      expect(new Set(graph.signatures.map(({ key_id }) => key_id)).size).toBe(2)
      expect(judged(graph.sboms)).toEqual(["valid bundle"])
      expect(judged(graph.attestations)).toEqual(["unknown bundle"])
      expect(graph.snapshots).toMatchObject([{ kind: "snapshot", signatures: [{ status: "valid" }] }])
      expect(graph.referrers).toMatchObject([{ kind: "sbom", artifact_type: CYCLONEDX }])
      expect(graph).toMatchObject({ kind: "machine", rejected: [] })
    })

    test("oras discover lists the same", async () => {
      expect(referrersIn(graph).sort()).toEqual((await listed(`${name}@${digest}`)).sort())
    })

    test("cosign tree lists the same, and the tag of the older form", async () => {
      const text = await peer("cosign", "tree", "--allow-http-registry", `${name}@${digest}`)
      const direct = [...graph.signatures, ...graph.sboms, ...graph.attestations]
      for (const { manifest, form } of direct)
        if (form === "bundle") expect(text).toContain(manifest)
        else expect(text).toContain(`${digest.replace(":", "-")}.sig`)
    })

    test("both filters leave the rest out", async () => {
      const sboms = await box.json(["discover", "--key", "ours.pub", "--type", "spdxjson", `${name}:1`])
      expect(sboms).toMatchObject({
        signatures: [],
        sboms: [{ status: "valid" }],
        attestations: [],
        referrers: [],
      })
      const plain = await box.json(["discover", "--artifact-type", CYCLONEDX, `${name}:1`])
      expect(plain).toMatchObject({ signatures: [], sboms: [], referrers: [{ artifact_type: CYCLONEDX }] })
    })

    test("a layout and an archive of it show the same", async () => {
      await box.ok(["copy", "--include-referrers", `${name}:1`, `oci:layout-${program}:1`])
      await box.ok(["copy", "--include-referrers", `oci:layout-${program}:1`, "oci-archive:a.tar:1"])
      for (const place of [`oci:layout-${program}:1`, "./a.tar"]) {
        const copied = await box.json(["discover", "--key", "ours.pub", place])
        expect(referrersIn(copied).sort()).toEqual(referrersIn(graph).sort())
      }
    })

    test("people get a tree", async () => {
      const text = await box.ok(["discover", "--key", "ours.pub", `${name}:1`])
      expect(text).toStartWith(`${name}:1  (machine)\ndigest  ${digest}\n├─ signatures  3\n`)
      expect(text).toContain("unknown  says key sha256:")
      expect(text).toContain("in the older form")
      expect(text).toMatch(/└─ sha256:\w+ {2}20.*\n[│ ]+└─ signatures {2}1\n[│ ]+└─ valid {2}key sha256:/)
    })
  })

test.skipIf(Boolean(guestMissing))("what cannot be asked for", async () => {
  await using box = await Sandbox.create()
  await box.file("disk.raw", Buffer.alloc(4096, 1))
  await box.ok(["pack", "--layer", "disk.raw", "-t", "m:1"])
  await box.fails(["discover", "nothing:1"], "OVM_NAME_UNKNOWN", ["nothing:1"])
  await box.fails(["discover", "m:1", "--key", "no.pub"], "OVM_FILE_UNREADABLE", ["no.pub"])
  await box.fails(["discover", "m:1", "--key", "disk.raw"], "OVM_KEY_INVALID", ["disk.raw"])
  await box.fails(["discover", "m:1", "--type", "sbom"], "OVM_USAGE", ["cyclonedx"])
  await box.fails(["discover", "m:1", "--depth", "0"], "OVM_USAGE", ["--depth"])
})
