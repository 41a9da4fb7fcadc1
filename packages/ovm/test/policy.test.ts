import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { readdir, rm, writeFile } from "node:fs/promises"
import { request } from "node:http"
import { join } from "node:path"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { findPeer, type RegistryServer, registryMissing, startRegistry } from "@ovms/testkit/registry.ts"
import { makeSigner, type TestSigner } from "@ovms/testkit/signers.ts"
import { until } from "@ovms/testkit/until.ts"
import { Sandbox } from "./sandbox.ts"

setDefaultTimeout(240_000)

// What may run, from outside: a real daemon, real machines, real registries, and Cosign.

const skip =
  guestMissing ||
  registryMissing ||
  (Bun.which("qemu-system-x86_64") ? "" : "qemu-system-x86_64 is not installed")
if (skip) console.log(`SKIP packages/ovm/test/policy.test.ts: ${skip}`)
const cosign = findPeer("cosign")
if (!cosign) console.log("SKIP packages/ovm/test/policy.test.ts with cosign: it is not there (make peers)")

const NO_PASSWORD = { env: { COSIGN_PASSWORD: "" } }
const REJECT = { requirements: [{ type: "reject" }] }
const DIGEST = { requirements: [{ type: "digestOnly" }] }
const signedBy = (...keys: string[]) => ({
  requirements: [{ type: "signed", keys: keys.map((key) => ({ path: `${key}.pub` })) }],
})

/** A host with the keys of alice and bob, and with their private halves outside of its own folder. */
async function host(signers: Record<string, TestSigner>): Promise<Sandbox> {
  const box = await Sandbox.create()
  await box.ovm(["images"])
  for (const [name, signer] of Object.entries(signers)) {
    await writeFile(join(box.home, `${name}.pub`), signer.public)
    await box.file(`${name}.key`, signer.private)
  }
  return box
}

async function setPolicy(box: Sandbox, policy: object | undefined): Promise<void> {
  const file = join(box.home, "policy.json")
  if (policy === undefined) return rm(file, { force: true })
  await writeFile(file, JSON.stringify({ schemaVersion: 1, ...policy }))
}

const sign = (box: Sandbox, who: string, name: string, ...more: string[]) =>
  box.ok(["sign", "--key", `${who}.key`, ...more, name], NO_PASSWORD)

/** POST to the daemon of `box`, as any client could. */
async function post(box: Sandbox, path: string, body: object) {
  return new Promise<{ status: number; code: string; text: string }>((resolve, reject) => {
    const asked = request(
      { socketPath: join(box.home, "ovm.sock"), path, method: "POST" },
      async (response) => {
        let text = ""
        for await (const chunk of response) text += chunk
        const { errors } = JSON.parse(text) as { errors?: { code: string }[] }
        resolve({ status: response.statusCode ?? 0, code: errors?.[0]?.code ?? "", text })
      },
    )
    asked.on("error", reject)
    asked.end(JSON.stringify(body))
  })
}

describe.skipIf(Boolean(skip))("a policy", () => {
  let signers: Record<"alice" | "bob", TestSigner>
  let registry: RegistryServer
  beforeAll(async () => {
    signers = { alice: await makeSigner(), bob: await makeSigner() }
    registry = await startRegistry({ program: "distribution" })
  })
  afterAll(() => registry.stop())

  test("is enforced by the daemon whoever asks, and explained (OVMS-API-029, OVMS-POL-009, OVMS-POL-080)", async () => {
    await using box = await host(signers)
    const name = "r.example/edge:1"
    await packGuest(join(box.home, "store"), name, "tick_ms=20")
    await box.ok(["daemon", "--detach"])

    // Without a policy it runs, and that nobody signed it is said.
    const free = await box.json(["run", "-d", name])
    expect((await box.json(["status", free.instance_id])).warnings.join()).toContain("is not signed")
    expect(await box.ok(["info"])).toMatch(/^policy +none/m)

    // With one it does not, whoever asks, and however: there is nothing in a request that could help.
    await setPolicy(box, { default: REJECT, scopes: { "r.example": signedBy("alice", "bob") } })
    await box.fails(["run", "-d", name], "OVM_POLICY_REFUSED", [name, "/scopes/r.example/requirements/0"])
    expect(await post(box, "/start", { manifest: name })).toMatchObject({
      status: 403,
      code: "OVM_POLICY_REFUSED",
      text: expect.stringContaining("OVM_SIGNATURE_MISSING"),
    })
    for (const wish of [{ policy: false }, { overrides: { verify: false } }, { insecure: true }])
      expect(await post(box, "/start", { manifest: name, ...wish })).toMatchObject({
        status: 400,
        code: "OVM_REQUEST_INVALID",
      })
    // Nor in a client's environment: the daemon's own counts.
    await box.fails(["run", "-d", name], "OVM_POLICY_REFUSED", [name], {
      env: { XDG_CONFIG_HOME: box.directory },
    })
    expect(await box.instances("--all")).toHaveLength(1)
    // What runs goes on.
    expect((await box.json(["status", free.instance_id])).state).toBe("running")

    // The explanation is the same before and after.
    const refusal = await box.fails(["policy", "check", name], "OVM_POLICY_REFUSED", [name])
    expect(refusal.stdout).toContain("scope   r.example")
    expect(refusal.stdout).toContain("OVM_SIGNATURE_MISSING")
    await sign(box, "bob", `store:${name}`)
    const decision = await box.json(["policy", "check", name])
    expect(decision).toMatchObject({
      allowed: true,
      scope: "r.example",
      rules: [{ pointer: "/scopes/r.example/requirements/0", type: "signed", holds: true }],
    })
    expect(decision.rules[0].evidence).toMatchObject([
      { form: "bundle", kind: "signature", counts: true, key_id: expect.stringMatching(/^sha256:/) },
    ])
    const { instance_id } = await box.json(["run", "-d", name])
    expect((await box.json(["status", instance_id])).warnings).toEqual([])

    // The same digest by another name, by a path, by no host.
    const { digest } = await box.json(["inspect", name])
    await box.fails(["start", `other.example/edge@${digest}`], "OVM_NAME_UNKNOWN", ["other.example"])
    await box.ok(["tag", name, "mine:1"])
    await box.fails(["start", "mine:1"], "OVM_POLICY_REFUSED", ["mine:1", "/default"])
    await box.fails(["start", `${join(box.home, "store")}:${name}`], "OVM_POLICY_REFUSED", ["/default"])
  })

  test("that cannot be understood lets nothing start, and the daemon says so (OVMS-POL-005, OVMS-POL-006)", async () => {
    await using box = await host(signers)
    await packGuest(join(box.home, "store"), "guest:1", "tick_ms=20")
    await box.ok(["daemon", "--detach"])
    await writeFile(join(box.home, "policy.json"), '{"schemaVersion": 1, "defualt": {}}')
    await box.fails(["run", "-d", "guest:1"], "OVM_POLICY_INVALID", ["policy.json", "/defualt"])
    expect(await post(box, "/start", { manifest: "guest:1" })).toMatchObject({
      status: 500,
      code: "OVM_POLICY_INVALID",
    })
    expect(await box.ok(["info"])).toContain("nothing starts")
    expect((await box.json(["info"])).policy).toMatchObject({
      active: true,
      error: { code: "OVM_POLICY_INVALID" },
    })
    const faults = await box.fails(["policy", "validate", "--json"], "OVM_POLICY_INVALID", ["/default"])
    expect(JSON.parse(faults.stdout).faults).toContainEqual(
      expect.objectContaining({ pointer: "/defualt", requirement: "OVMS-POL-001" }),
    )
    await setPolicy(box, { default: DIGEST })
    expect(await box.ok(["policy", "validate"])).toContain("valid (policy)")
    await box.ok(["run", "-d", "guest:1"])
  })

  test("judges a snapshot and its base, each by itself", async () => {
    await using box = await host(signers)
    const base = "r.example/guest:1"
    const warm = "r.example/guest:warm"
    await packGuest(join(box.home, "store"), base, "tick_ms=20")
    await setPolicy(box, { default: DIGEST })
    await box.ok(["run", "-d", "--name", "source", base])
    await box.console("source", "TICK")
    await box.ok(["snapshot", "source", "--tag", "warm", "--stop"])
    const starts = (name: string) => box.json(["run", "-d", name])
    const refused = (name: string, ...culprits: string[]) =>
      box.fails(["run", "-d", name], "OVM_POLICY_REFUSED", culprits)

    // The base signed and the snapshot not; then the reverse; then both.
    await setPolicy(box, { default: signedBy("alice") })
    await sign(box, "alice", `store:${base}`)
    await starts(base)
    await refused(warm, "the snapshot", "there is no signature")
    await setPolicy(box, { default: { ...signedBy("alice"), snapshots: [{ type: "digestOnly" }] } })
    await starts(warm)
    await setPolicy(box, { default: signedBy("bob") })
    await sign(box, "bob", `store:${warm}`)
    await refused(warm, "/default/requirements/0")
    await setPolicy(box, { default: { ...signedBy("alice"), snapshots: signedBy("bob").requirements } })
    await starts(warm)

    // By one hand.
    await setPolicy(box, { default: { ...signedBy("alice", "bob"), snapshots: "sameSignerAsBase" } })
    await refused(warm, "the snapshot", "did not sign its base")
    await setPolicy(box, { default: { ...signedBy("alice", "bob"), snapshots: "signed" } })
    await starts(warm)
    await sign(box, "alice", `store:${warm}`)
    await setPolicy(box, { default: { ...signedBy("alice", "bob"), snapshots: "sameSignerAsBase" } })
    await starts(warm)

    // Not at all; and a start that looks for a snapshot by itself finds none that may not be (OVMS-POL-077).
    await setPolicy(box, { default: { ...signedBy("alice"), snapshots: "reject" } })
    await refused(warm, "/default/snapshots")
    await box.fails(["run", "-d", "--resume", base], "OVM_POLICY_REFUSED", ["/default/snapshots"])
    await setPolicy(box, { default: signedBy("alice") })
    const { instance_id } = await box.json(["run", "-d", "--resume", base])
    const { digest } = await box.json(["inspect", warm])
    expect((await box.json(["status", instance_id])).snapshot).toBe(digest)
  })

  test("lets a start find a snapshot in the registry that somebody whom it trusts has signed (OVMS-SNP-113 to 115)", async () => {
    await using maker = await host(signers)
    const registry = await startRegistry({ program: "distribution" })
    const [base, warm] = [`${registry.host}/found:1`, `${registry.host}/found:warm`]
    await packGuest(join(maker.home, "store"), base, "tick_ms=20")
    await maker.ok(["run", "-d", "--name", "source", base])
    await maker.console("source", "TICK")
    await maker.ok(["snapshot", "source", "--tag", "warm", "--stop"])
    for (const name of [base, warm]) await maker.ok(["push", name])
    await sign(maker, "alice", base)
    const { digest } = await maker.json(["inspect", warm])

    await using box = await host(signers)
    const started = async (...more: string[]) => {
      const { instance_id } = await box.json(["run", "-d", "--resume", ...more, base])
      const { snapshot, warnings } = await box.json(["status", instance_id])
      await box.ok(["rm", "--force", instance_id])
      return { snapshot, warnings }
    }
    const refused = (...culprits: string[]) =>
      box.fails(["run", "--rm", "--resume", base], "OVM_SNAPSHOT_INCOMPATIBLE", culprits)

    // Nobody says whose; a rule lets all pass; the snapshot is not signed; it is by somebody else.
    await box.ok(["pull", base])
    await refused("there is none on this host")
    await setPolicy(box, { default: { ...signedBy("alice"), snapshots: [{ type: "digestOnly" }] } })
    await refused("there is none on this host")
    await setPolicy(box, { default: signedBy("alice") })
    await box.fails(["run", "--rm", "--resume", base], "OVM_POLICY_REFUSED", ["there is no signature"])
    await sign(maker, "bob", warm)
    await box.fails(["run", "--rm", "--resume", base], "OVM_POLICY_REFUSED", ["the snapshot"])
    expect(await box.json(["images"])).toMatchObject([{ type: "machine", tag: "1" }])

    // What does not fit is not fetched.
    await sign(maker, "alice", warm)
    await box.fails(["run", "--rm", "--resume", "--memory", "300MiB", base], "OVM_SNAPSHOT_INCOMPATIBLE", [
      "/resources/memory",
    ])
    expect(await box.json(["images"])).toMatchObject([{ type: "machine", tag: "1" }])

    expect(await started()).toMatchObject({ snapshot: digest })
    // From now on it is here, and the registry is not needed.
    const found = `${registry.host}/found@${digest}`
    expect((await box.json(["inspect", found])).digest).toBe(digest)
    await registry.stop()
    expect(await started()).toMatchObject({ snapshot: digest })

    await box.ok(["rmi", found])
    await refused("its registry could not be asked", "ECONNREFUSED")
    expect((await started("--cold-boot-on-mismatch")).warnings).toContainEqual(
      expect.stringContaining("booted in place of resumed"),
    )
  })

  test("holds for slots: when they are filled, and again when one is taken (OVMS-POL-085, OVMS-API-111)", async () => {
    await using box = await host(signers)
    const warm = "r.example/guest:warm"
    await packGuest(join(box.home, "store"), "r.example/guest:1", "tick_ms=20")
    await setPolicy(box, { default: DIGEST })
    await box.ok(["run", "-d", "--name", "source", "r.example/guest:1"])
    await box.console("source", "TICK")
    await box.ok(["snapshot", "source", "--tag", "warm", "--stop"])
    await box.ok(["rm", "--force", "source"])

    await setPolicy(box, { default: signedBy("alice") })
    await box.fails(["warm", warm], "OVM_POLICY_REFUSED", [warm])
    expect(await readdir(join(box.home, "instances"))).toEqual([])
    await sign(box, "alice", "store:r.example/guest:1")
    await sign(box, "alice", `store:${warm}`)
    expect(await box.ok(["warm", warm])).toBe("1 of 1 ready")
    const first = await box.json(["run", "-d", warm])
    expect((await box.json(["status", first.instance_id])).timings_ms.spawn).toBeUndefined()
    const full = () =>
      until("the slot is ready", () => box.json(["info"]), { is: ({ warm }) => warm[0]?.ready === 1 })
    await full()

    // The slot is there; the policy has changed: it is not taken, and the next review ends it.
    await setPolicy(box, { default: signedBy("bob") })
    await box.fails(["run", "-d", warm], "OVM_POLICY_REFUSED", [warm])
    await until("the slot is refused", () => box.json(["info"]), {
      is: ({ warm }) => warm[0]?.reason?.code === "OVM_POLICY_REFUSED",
    })
    expect((await box.json(["info"])).warm[0].ready).toBe(0)
    await setPolicy(box, { default: signedBy("alice") })
    await full()
    const second = await box.json(["run", "-d", warm])
    expect((await box.json(["status", second.instance_id])).timings_ms.spawn).toBeUndefined()
  })

  describe.skipIf(!cosign)("with Cosign", () => {
    const run = (box: Sandbox, ...args: string[]) => {
      const { status, stderr } = spawnSync(cosign ?? "", args, {
        cwd: box.directory,
        encoding: "utf8",
        env: { PATH: process.env.PATH, HOME: box.directory, COSIGN_PASSWORD: "" },
      })
      expect({ args, status, stderr: status === 0 ? "" : stderr }).toEqual({ args, status: 0, stderr: "" })
    }
    const OFFLINE = ["--use-signing-config=false", "--tlog-upload=false", "--allow-http-registry", "-y"]

    test("lets what it signed run, in both forms, without the registry; rmi takes all along (OVMS-POL-087)", async () => {
      await using maker = await host(signers)
      await using box = await host(signers)
      await using own = await startRegistry()
      await packGuest(join(maker.home, "store"), "guest:1", "tick_ms=20")
      await packGuest(join(maker.home, "store"), "guest:2", "tick_ms=21")
      await setPolicy(box, { default: signedBy("alice") })
      const names = ["1", "2"].map((tag) => `${own.host}/tests/guest:${tag}`)
      for (const [at, name] of names.entries()) {
        const { digest } = await maker.json(["copy", `guest:${at + 1}`, name])
        await box.fails(["pull", name], "OVM_POLICY_REFUSED", [name])
        expect(await box.blobs()).toEqual([])
        const form = at === 0 ? [] : ["--new-bundle-format=false"]
        run(maker, "sign", "--key", "alice.key", ...form, ...OFFLINE, `${own.host}/tests/guest@${digest}`)
      }
      for (const name of names) expect((await box.ovm(["pull", name])).stderr).toBe("")
      await own.stop()
      for (const name of names) {
        const { instance_id } = await box.json(["run", "-d", name])
        expect((await box.json(["status", instance_id])).warnings).toEqual([])
        await box.ok(["rm", "--force", instance_id])
      }
      expect(await box.json(["images"])).toHaveLength(2)
      // The older form says for which repository: elsewhere it is worth nothing.
      await box.ok(["tag", names[1] ?? "", `${own.host}/tests/other:2`])
      await box.fails(["run", "-d", `${own.host}/tests/other:2`], "OVM_POLICY_REFUSED", [
        "there is no signature",
      ])
      await box.ok(["rmi", `${own.host}/tests/other:2`, ...names])
      expect(await box.blobs()).toEqual([])
    })

    test("an attestation of its own satisfies attested, and no signed", async () => {
      await using box = await host(signers)
      await packGuest(join(box.home, "store"), "guest:1", "tick_ms=20")
      const name = `${registry.host}/tests/attested:1`
      const { digest } = await box.json(["copy", "guest:1", name])
      await box.file("predicate.json", {
        buildDefinition: { buildType: "https://example.com/b" },
        runDetails: {},
      })
      const at = `${registry.host}/tests/attested@${digest}`
      run(
        box,
        "attest",
        "--key",
        "alice.key",
        "--type",
        "slsaprovenance1",
        "--predicate",
        "predicate.json",
        ...OFFLINE,
        at,
      )
      const attested = (equals: string) => ({
        type: "attested",
        predicateType: "https://slsa.dev/provenance/v1",
        keys: [{ path: "alice.pub" }],
        conditions: [{ pointer: "/buildDefinition/buildType", equals }],
      })
      await setPolicy(box, { default: signedBy("alice") })
      await box.fails(["pull", name], "OVM_POLICY_REFUSED", ["attestation"])
      await setPolicy(box, { default: { requirements: [attested("https://example.com/other")] } })
      await box.fails(["pull", name], "OVM_POLICY_REFUSED", ["/buildDefinition/buildType"])
      await setPolicy(box, { default: { requirements: [attested("https://example.com/b")] } })
      await box.ok(["pull", name])
      await box.ok(["run", "-d", name])
    })
  })
})
