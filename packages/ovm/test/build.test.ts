import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { existsSync } from "node:fs"
import { mkdir, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { UNPACKED } from "@ovms/testkit/machines.ts"
import { readArtifact } from "../src/artifact/machine/read.ts"
import { listSnapshots } from "../src/artifact/snapshot/list.ts"
import { isSnapshot, readSnapshot } from "../src/artifact/snapshot/read.ts"
import { openLayout } from "../src/content/layout/store.ts"
import { finished, Sandbox } from "./sandbox.ts"

// A Linux takes tens of seconds where there is no KVM, and minutes where the host is very busy.
setDefaultTimeout(1_700_000)
const PATIENCE = 800_000

const skip =
  (existsSync(UNPACKED) ? "" : "the demo machine is not built (make machine)") ||
  (Bun.which("qemu-system-x86_64") ? "" : "qemu-system-x86_64 is not installed")
if (skip) console.log(`SKIP packages/ovm/test/build.test.ts: ${skip}`)

const STEPS = `FROM demo:1 AS one
ARG WHO=world
ENV GREETING="hello $WHO"
RUN echo "$GREETING" >/greeting && chmod 640 /greeting && ln -s greeting /link
FROM one
COPY --chown=7:8 page sub /srv/www/
WORKDIR /srv/www/app
EXPOSE 80 53/udp
CMD ["cat","/greeting"]
`
/** What it looks like in the guest. */
const LOOK = "cat /link /srv/www/page /srv/www/deep/file; pwd; stat -c '%u:%g %a %n' /greeting /srv/www/page"
/** Where its first program's stack is: at random, so the same in none but machines that go on from one boot. */
const BOOT = "grep stack /proc/1/maps"
const bootIn = (said: { readonly stderr: string }) =>
  /^([0-9a-f]+-[0-9a-f]+) .*\[stack\]$/m.exec(said.stderr)?.[1]

describe.skipIf(Boolean(skip))("a build", () => {
  let box: Sandbox
  let boot: string | undefined
  const build = async (text: string, ...args: readonly string[]) => {
    await box.file("context/Dockerfile", text)
    return await finished(box.begin(["build", "-t", "made:1", ...args, "context"]), PATIENCE)
  }
  const read = async (name: string) => {
    await using store = await openLayout(join(box.home, "store"))
    return await readArtifact(store, await store.resolve(name))
  }
  /** Of the newest snapshot of a machine that steps were done in. */
  const keptState = async () => {
    await using store = await openLayout(join(box.home, "store"))
    const found = []
    for await (const { reference, target } of store.list())
      if (reference.startsWith("ovm-build/machine:") && (await isSnapshot(store, target)))
        found.push(await readSnapshot(store, target))
    const [last] = found.sort((one, other) => other.snapshot.created.localeCompare(one.snapshot.created))
    return (last && (await store.path(last.state))) ?? "nothing is kept"
  }
  /** Names of such snapshots. */
  const keptMachines = async () => {
    await using store = await openLayout(join(box.home, "store"))
    const found: string[] = []
    for await (const { reference, target } of store.list())
      if (reference.startsWith("ovm-build/machine:") && (await isSnapshot(store, target)))
        found.push(reference)
    return found
  }
  const names = async () => (await box.json(["images"])).map(({ name }: { name: string }) => name)

  beforeAll(async () => {
    box = await Sandbox.create()
    await box.ok(["pack", "-f", UNPACKED, "-t", "demo:1"])
    await mkdir(box.path("context/sub/deep"), { recursive: true })
    await writeFile(box.path("context/page"), "a page\n")
    await writeFile(box.path("context/sub/deep/file"), "deep\n")
  })
  afterAll(() => box?.[Symbol.asyncDispose]())

  test("is refused by line before anything is started [OVMS-BLD-010, OVMS-BLD-011]", async () => {
    const said = await build("FROM demo:1\nRUN true\nONBUILD RUN x\nRUN --mount=type=ssh y", "--json")
    expect(said.status).toBe(2)
    const [{ code, message, detail }] = JSON.parse(said.stderr).errors
    expect({ code, message }).toEqual({
      code: "OVM_BUILD_INVALID",
      message: "context/Dockerfile:3: ONBUILD is not supported (and 1 more)",
    })
    expect(detail).toMatchObject([{ line: 3 }, { line: 4 }])
    expect((await build("FROM nothing:1\nRUN true")).stderr).toContain(
      "context/Dockerfile:1: there is no image nothing:1",
    )
    expect((await build("FROM demo:1\nCOPY none /x")).stderr).toContain(
      "Dockerfile:2: none is not in the context",
    )
    expect(existsSync(join(box.home, "ovm.sock"))).toBe(false)
  })

  test("that fails says where, and leaves neither machine nor image [OVMS-BLD-016]", async () => {
    const said = await build(`${STEPS}RUN ${BOOT}; ${LOOK}; exit 7\n`, "--memory", "256MiB")
    boot = bootIn(said)
    expect(boot).toBeString()
    expect(said.stderr).toContain(
      "hello world\na page\ndeep\n/srv/www/app\n0:0 640 /greeting\n7:8 644 /srv/www/page\n",
    )
    expect(said.stderr).toContain("error: OVM_BUILD_FAILED: context/Dockerfile:10: it ended with status 7")
    expect(said.status).toBe(8)
    expect(await box.instances("--all")).toEqual([])
    expect(await names()).toEqual(["demo"])
  })

  test("goes on from its last step that is as it was, in a machine that need not boot for it, and has a layer of each [OVMS-BLD-017, OVMS-BLD-020, OVMS-BLD-055, OVMS-BLD-056]", async () => {
    const said = await build(`${STEPS}RUN ${BOOT}; ${LOOK}\n`, "--memory", "256MiB", "--json")
    expect(bootIn(said)).toBe(boot)
    expect(said.stderr).toContain(
      "hello world\na page\ndeep\n/srv/www/app\n0:0 640 /greeting\n7:8 644 /srv/www/page\n",
    )
    expect(said.status).toBe(0)
    const { digest, steps } = JSON.parse(said.stdout)
    expect(steps.map(({ line, cached }: { line: number; cached: boolean }) => [line, cached])).toEqual([
      [6, true],
      [7, true],
      [10, false],
    ])
    const [{ oci, manifest }, base] = [await read("made:1"), await read("demo:1")]
    expect(manifest.diskLayers?.slice(0, -4)).toEqual([...(base.manifest.diskLayers ?? [])])
    expect(manifest).toMatchObject({
      name: "made",
      agent: { protocol: "ovms.agent.v1" },
      network: [{ ports: expect.arrayContaining([{ guest: 80 }, { guest: 53, protocol: "udp" }]) }],
    })
    expect(JSON.parse(oci.annotations?.["ovms.settings"] ?? "")).toMatchObject({
      Env: ["GREETING=hello world"],
      Cmd: ["cat", "/greeting"],
      WorkingDir: "/srv/www/app",
    })
    expect(oci.annotations?.["org.opencontainers.image.base.digest"]).toBe(base.descriptor.digest)
    await box.ok(["daemon", "--stop"])
    const again = await build(`${STEPS}RUN ${BOOT}; ${LOOK}\n`, "--json")
    expect(JSON.parse(again.stdout)).toMatchObject({ digest, steps: Array(3).fill({ cached: true }) })
    expect(existsSync(join(box.home, "ovm.sock"))).toBe(false)
    expect(await names()).toEqual(["demo", "made"])
    await using store = await openLayout(join(box.home, "store"))
    expect(await listSnapshots(store, base.descriptor)).toEqual([])
  })

  test("boots one where what was kept of it is damaged, and keeps eight at most [OVMS-BLD-055, OVMS-BLD-059]", async () => {
    await writeFile(await keptState(), "not what it was")
    const last = (await keptMachines()).at(-1) ?? ""
    {
      await using store = await openLayout(join(box.home, "store"))
      for (let count = 1; count <= 8; count++)
        await store.tag(await store.resolve(last), `ovm-build/machine:other-${count}`)
    }
    const said = await build(`${STEPS}RUN ${BOOT}; cat /greeting\n`, "--memory", "256MiB")
    expect(said.stderr).toMatch(/^ {2}a machine is booted: .+$/m)
    expect(said.stderr).toContain("[stack]\nhello world\n")
    expect([said.status, bootIn(said) === boot]).toEqual([0, false])
    // Those before have gone; the one that was taken again is the newest.
    const others = Array.from({ length: 7 }, (_, at) => `ovm-build/machine:other-${at + 2}`)
    expect(await keptMachines()).toEqual([...others, last])
    expect(await box.ok(["system", "df"])).toMatch(/^ {2}of builds +2 of 8 /m)
  })

  test("does not start what the policy refuses by its name, nor go on from what was kept of it [OVMS-POL-009]", async () => {
    const name = "registry.example/demo:1"
    await box.ok(["pack", "-f", UNPACKED, "-t", name])
    const digestOnly = { requirements: [{ type: "digestOnly" }] }
    const scopes = { "registry.example": { requirements: [{ type: "reject" }] } }
    const policy = { schemaVersion: 1, default: digestOnly, local: digestOnly, scopes }
    await writeFile(join(box.home, "policy.json"), JSON.stringify(policy))
    const said = await build(`FROM ${name}\nRUN echo $PATH`, "--memory", "256MiB", "--json")
    expect(JSON.parse(said.stderr.slice(said.stderr.indexOf("{"))).errors[0].code).toBe("OVM_POLICY_REFUSED")
    expect(await box.instances("--all")).toEqual([])
    await rm(join(box.home, "policy.json"))
    await box.ok(["rmi", name])
  })

  test("has what it kept taken away by prune --all [OVMS-BLD-021]", async () => {
    const freed = await box.json(["prune", "--all", "--dry-run"])
    expect(freed.steps).toBe(16)
    expect(freed.content.size).toBeGreaterThan(0)
    expect(await box.json(["prune", "--all"])).toEqual({ ...freed, dry_run: false })
    expect((await box.json(["prune", "--all", "--dry-run"])).steps).toBe(0)
    expect(await names()).toEqual(["demo", "made"])
  })
})
