import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { createHash } from "node:crypto"
import { copyFile, mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { ARM64_READY, arm64Guest, arm64Missing } from "@ovms/testkit/arm64.ts"
import { buildGuest, guestMissing } from "@ovms/testkit/guest.ts"
import { type RegistryServer, registryMissing, startRegistry } from "@ovms/testkit/registry.ts"
import { Sandbox } from "./sandbox.ts"

// Indexes of machines by platform: made, moved, signed, started, and what becomes of those that lie.

setDefaultTimeout(240_000)

const skip = guestMissing || registryMissing
if (skip || arm64Missing) console.log(`SKIP packages/ovm/test/platforms.test.ts: ${skip || arm64Missing}`)

const MANIFEST = "application/vnd.oci.image.manifest.v1+json"
const INDEX = "application/vnd.oci.image.index.v1+json"
const MACHINE = "application/vnd.ovms.manifest.v1+json"
const PASSWORD = { env: { COSIGN_PASSWORD: "" } }

describe.skipIf(Boolean(skip))("platforms", () => {
  let registry: RegistryServer
  let box: Sandbox
  /** By architecture. */
  const digests: Record<string, string> = {}
  let index = ""
  let remote = ""

  beforeAll(async () => {
    registry = await startRegistry()
    remote = `${registry.host}/machines/m:1`
    box = await Sandbox.create()
    await copyFile(await buildGuest(), box.path("kernel"))
    await box.file("Image", arm64Guest())
    for (const [architecture, kernel] of [
      ["amd64", "kernel"],
      ["arm64", "Image"],
    ] as const) {
      const pack = [
        "pack",
        "--kernel",
        box.path(kernel),
        "--memory",
        "32MiB",
        "--args",
        "hz=50",
        "-t",
        architecture,
      ]
      digests[architecture] = (await box.json(pack)).digest
    }
    index = (await box.json(["index", "create", remote, "arm64", "amd64"])).digest
    await box.ok(["push", remote])
    for (const key of ["alice", "bob"])
      await box.ok(["key", "generate", "--output-key-prefix", key], { ...PASSWORD, cwd: box.directory })
  })
  afterAll(async () => {
    await box?.[Symbol.asyncDispose]()
    await registry?.stop()
  })

  const platforms = async (where: Sandbox, name: string) =>
    (await where.json(["index", "inspect", name])).machines.map(
      ({ platform, here }: { platform: string; here?: boolean }) => `${platform} ${here}`,
    )

  test("a kernel says for which architecture a machine is, and one for another is refused [OVMS-IDX-002, OVMS-IDX-003]", async () => {
    expect((await box.json(["inspect", "arm64"])).architecture).toBe("arm64")
    expect((await box.json(["inspect", "amd64"])).architecture).toBe("amd64")
    const other = ["pack", "--kernel", box.path("Image"), "--platform", "linux/amd64", "-t", "other"]
    await box.fails(other, "OVM_KERNEL_INVALID", ["Image", "arm64", "amd64"])
  })

  test("an index is the same whatever the order, of machines only [OVMS-IDX-021, OVMS-IDX-022]", async () => {
    expect((await box.json(["index", "create", "again", "amd64", "arm64"])).digest).toBe(index)
    expect((await box.json(["index", "create", "half", "amd64"])).digest).not.toBe(index)
    expect((await box.json(["index", "add", "half", "arm64"])).digest).toBe(index)
    expect((await box.json(["index", "add", "half", "arm64"])).digest).toBe(index)
    await box.fails(["index", "create", "x", "again"], "OVM_UNSUPPORTED", ["again", "index"])
    await box.fails(["index", "create", "x", "amd64", "amd64"], "OVM_USAGE", ["linux/amd64"])
    await box.fails(["index", "add", "amd64", "arm64"], "OVM_UNSUPPORTED", ["amd64", "no index"])
    await box.ok(["rmi", "half", "again"])
  })

  test("a name of an index means the machine for the host, or for --platform [OVMS-IDX-018, OVMS-IDX-019]", async () => {
    const inspect = async (...args: string[]) => (await box.json(["inspect", ...args])).digest
    expect(await inspect(remote)).toBe(digests.amd64)
    expect(await inspect("--platform", "linux/arm64", remote)).toBe(digests.arm64)
    expect(await inspect("--platform", "linux/arm64", "arm64")).toBe(digests.arm64)
    const missing = ["linux/riscv64", "linux/amd64, linux/arm64"]
    await box.fails(["inspect", "--platform", "linux/riscv64", remote], "OVM_PLATFORM_MISSING", missing)
    await box.fails(["inspect", "--platform", "linux/arm64", "amd64"], "OVM_PLATFORM_MISSING", [
      "linux/amd64",
    ])
    await box.fails(["inspect", "--platform", "arm64", remote], "OVM_USAGE", ["OS/ARCHITECTURE"])
  })

  test("one machine of an index is pushed by its platform", async () => {
    const part = `${registry.host}/machines/part:1`
    await box.ok(["tag", remote, part])
    const pushed = await box.json(["push", "--platform", "linux/arm64", part])
    expect(pushed.digest).toBe(digests.arm64)
    await box.ok(["rmi", part])
    expect((await box.json(["inspect", "--platform", "linux/arm64", part])).digest).toBe(digests.arm64)
    await box.fails(["push", "--platform", "linux/riscv64", remote], "OVM_PLATFORM_MISSING", ["riscv64"])
    expect((await box.json(["index", "inspect", remote])).digest).toBe(index)
  })

  test.skipIf(Boolean(arm64Missing))(
    "a sandbox is of the machine for its platform, whose agent there has to be [OVMS-IDX-028]",
    async () => {
      for (const [platform, words] of [
        ["linux/arm64", /OVM_UNSUPPORTED: .*\/agent: .* for x86_64/],
        ["linux/riscv64", /OVM_PLATFORM_MISSING: .*linux\/arm64/],
      ] as const) {
        const said = await box.ovm(["sandbox", "run", "--platform", platform, remote, "--", "true"])
        expect(said).toMatchObject({ status: 125, stderr: expect.stringMatching(words) })
      }
    },
  )

  test("a pull takes the host's machine or all; a part is kept, and not copied on as a whole [OVMS-IDX-023, OVMS-IDX-024]", async () => {
    await using other = await Sandbox.create()
    expect((await other.json(["pull", remote])).digest).toBe(index)
    expect(await platforms(other, remote)).toEqual(["linux/amd64 true", "linux/arm64 false"])
    const [listed] = await other.json(["images"])
    expect(listed).toMatchObject({ type: "index", digest: index, platforms: ["linux/amd64"] })
    const elsewhere = `${registry.host}/machines/other:1`
    await other.ok(["tag", remote, elsewhere])
    await other.fails(["push", elsewhere], "OVM_CONTENT_MISSING", [elsewhere, "--all-platforms"])
    await other.fails(["inspect", "--platform", "linux/arm64", remote], "OVM_CONTENT_MISSING", [
      digests.arm64 ?? "",
    ])
    await other.ok(["rmi", elsewhere])
    await other.ok(["pull", "--all-platforms", remote])
    await other.ok(["prune", "--all"])
    expect(await platforms(other, remote)).toEqual(["linux/amd64 true", "linux/arm64 true"])
    expect(await other.ok(["validate", remote])).toContain("valid (index)")
    expect((await other.json(["rmi", remote])).removed.length).toBeGreaterThan(4)
  })

  test("a signature of an index is one of its machines, and not the other way round [OVMS-IDX-025, OVMS-IDX-026]", async () => {
    const at = { ...PASSWORD, cwd: box.directory }
    const signed = `${registry.host}/signed/m:1`
    await box.ok(["copy", `store:${remote}`, signed])
    const verify = (key: string, ...args: string[]) => ["verify", "--key", `${key}.pub`, ...args, signed]
    await box.ok(["sign", "--key", "alice.key", signed], at)
    const amd64 = ["--platform", "linux/amd64"]
    expect((await box.json(verify("alice", ...amd64), at)).digest).toBe(digests.amd64)
    expect((await box.json(verify("alice"), at)).digest).toBe(index)
    await box.ok(["sign", "--key", "bob.key", ...amd64, signed], at)
    expect((await box.json(verify("bob", ...amd64), at)).digest).toBe(digests.amd64)
    await box.fails(verify("bob"), "OVM_SIGNATURE_KEY_UNKNOWN", [signed], at)
    await box.fails(verify("bob", "--platform", "linux/arm64"), "OVM_SIGNATURE_KEY_UNKNOWN", [signed], at)
    const predicate = await box.file("predicate.json", { tested: true })
    const type = ["--type", "https://example.com/tested/v1"]
    await box.ok(["attest", "--key", "alice.key", ...type, "--predicate", predicate, signed], at)
    await box.ok(verify("alice", ...type, ...amd64), at)
    const none = ["--platform", "linux/arm64"]
    await box.fails(verify("alice", ...type, ...none), "OVM_ATTESTATION_MISSING", [signed], at)
    const graph = await box.json(["discover", "--key", "bob.pub", signed], at)
    expect(graph.machines.map((one: { platform: string }) => one.platform)).toEqual([
      "linux/amd64",
      "linux/arm64",
    ])
    // And all of it goes along (OVMS-IDX-027).
    await box.ok(["copy", "--include-referrers", signed, `oci:${box.path("layout")}:1`])
    await box.ok(["verify", "--any-reference", "--key", "bob.pub", ...amd64, "./layout"], at)
    await box.ok(["verify", "--any-reference", "--key", "alice.pub", ...none, "./layout"], at)
  })

  test("a machine of an index is started, and again, where the policy asks for a signature of the index [OVMS-IDX-005, OVMS-IDX-028]", async () => {
    await using other = await Sandbox.create()
    const signed = `${registry.host}/signed/m:1`
    await other.ok(["images"])
    const keys = [{ path: box.path("alice.pub") }]
    const policy = { schemaVersion: 1, default: { requirements: [{ type: "signed", keys }] } }
    await other.file("home/policy.json", policy)
    const { instance_id: id } = await other.json(["run", "-d", "--name", "one", signed])
    expect((await other.json(["status", id])).image).toEqual({
      reference: signed,
      digest: digests.amd64,
    })
    await other.ok(["stop", "--time", "0", "one"])
    await other.ok(["start", "one"])
    await other.ok(["rm", "--force", "one"])
    const foreign = ["run", "--rm", "--platform", "linux/riscv64", signed]
    await other.fails(foreign, "OVM_PLATFORM_MISSING", ["linux/riscv64"])
    const machines = { one: { image: signed, platform: "linux/riscv64" } }
    const file = await other.file("machines.yaml", JSON.stringify({ machines }))
    await other.fails(["up", "-f", file], "OVM_PLATFORM_MISSING", ["linux/riscv64"])
    await other.file("home/policy.json", {
      ...policy,
      default: { requirements: [{ type: "signed", keys: [{ path: box.path("bob.pub") }] }] },
    })
    // Bob has signed the machine itself.
    expect((await other.json(["policy", "check", signed])).allowed).toBe(true)
    const arm64 = ["pull", "--platform", "linux/arm64", signed]
    await other.fails(arm64, "OVM_POLICY_REFUSED", [signed])
  })

  test.skipIf(Boolean(arm64Missing))(
    "a machine for arm64 runs emulated, and says so; without a QEMU for it it is refused [OVMS-IDX-004, OVMS-IDX-005]",
    async () => {
      await using other = await Sandbox.create()
      const run = ["run", "--rm", "--platform", "linux/arm64", remote]
      const without = { env: { OVM_QEMU_ARM64: "/nothing" } }
      await other.fails(run, "OVM_UNSUPPORTED", ["/architecture", "arm64"], without)
      await other.ok(["daemon", "--stop"])
      expect(await other.ok(run)).toContain(ARM64_READY)
      const { instance_id: id } = await other.json(["create", "--platform", "linux/arm64", remote])
      await other.ok(["start", id])
      await other.ok(["wait", id])
      const { warnings, vmm, image } = await other.json(["status", id])
      expect(warnings.join()).toContain("every instruction is emulated")
      expect({ accelerator: vmm.accelerator, digest: image.digest }).toEqual({
        accelerator: "tcg",
        digest: digests.arm64,
      })
      const agent = ["run", "--rm", "--agent", "--platform", "linux/arm64", remote]
      await other.fails(agent, "OVM_UNSUPPORTED", ["/agent"])
    },
  )

  test.each([
    ["is for another platform", { platform: "linux/arm64" }, "OVM_ARTIFACT_INVALID", "OVMS-IDX-020"],
    ["is of another size", { size: -1 }, "OVM_SIZE_MISMATCH", ""],
    ["has another digest", { digest: true }, "OVM_DIGEST_MISMATCH", ""],
    ["is not there", { absent: true }, "OVM_CONTENT_MISSING", ""],
    ["is an index", { type: INDEX }, "OVM_ARTIFACT_INVALID", "OVMS-IDX-012"],
    ["is there 10,000 times", { times: 10_000 }, "OVM_TOO_LARGE", "OVMS-IDX-011"],
    ["is no machine", { other: true }, "OVM_ARTIFACT_INVALID", "OVMS-OCI-012"],
  ] as const)("an index whose machine %s is refused", async (_, lie, code, requirement) => {
    const layout = box.path(`hostile-${code}-${requirement}`)
    await hostileIndex(layout, lie)
    const platform = "platform" in lie ? lie.platform : "linux/amd64"
    const culprits = requirement === "" ? [] : [requirement]
    await box.fails(["inspect", "--platform", platform, layout], code, culprits)
    if (requirement !== "OVMS-IDX-020") return
    await box.fails(["run", "--rm", "--platform", platform, layout], code, culprits)
  })
})

interface Lie {
  readonly platform?: string
  readonly size?: number
  readonly digest?: boolean
  readonly absent?: boolean
  readonly type?: string
  readonly times?: number
  readonly other?: boolean
}

/** An OCI layout with one index, in which something is not as it says. */
async function hostileIndex(folder: string, lie: Lie): Promise<void> {
  const blobs = join(folder, "blobs/sha256")
  await mkdir(blobs, { recursive: true })
  const put = async (mediaType: string, value: unknown) => {
    const bytes = Buffer.from(JSON.stringify(value))
    const hex = createHash("sha256").update(bytes).digest("hex")
    await writeFile(join(blobs, hex), bytes)
    return { mediaType, digest: `sha256:${hex}`, size: bytes.length }
  }
  const disk = await put("application/vnd.oci.image.layer.v1.tar", "x".repeat(1022))
  const type = lie.other ? "application/vnd.example.thing.v1" : MACHINE
  const layer = { ref: disk.digest, format: "raw", size: disk.size }
  const config = await put(type, {
    schemaVersion: 1,
    mediaType: MACHINE,
    name: "hostile",
    diskLayers: [layer],
  })
  const oci = { schemaVersion: 2, mediaType: MANIFEST, artifactType: type, config, layers: [disk] }
  const machine = await put(MANIFEST, oci)
  if (lie.digest) await writeFile(join(blobs, machine.digest.slice(7)), "x".repeat(machine.size))
  const [os, architecture] = (lie.platform ?? "linux/amd64").split("/")
  const entry = {
    ...machine,
    ...(lie.absent && { digest: `sha256:${"0".repeat(64)}` }),
    ...(lie.size !== undefined && { size: machine.size + lie.size }),
    mediaType: lie.type ?? MANIFEST,
    platform: { os, architecture },
  }
  const manifests = Array.from({ length: lie.times ?? 1 }, () => entry)
  const root = await put(INDEX, { schemaVersion: 2, mediaType: INDEX, manifests })
  await writeFile(join(folder, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}')
  await writeFile(join(folder, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [root] }))
}
