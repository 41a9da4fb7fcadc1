import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { KERNEL, KERNEL_ARGS, MACHINE, machineMissing } from "@ovms/testkit/machines.ts"
import { until } from "@ovms/testkit/until.ts"
import { Sandbox } from "./sandbox.ts"

// A Linux takes tens of seconds where there is no KVM.
setDefaultTimeout(600_000)

// A guest whose image brings QEMU's guest agent, Debian's, and in which ours does not answer (spec/agent.md).

const skip = await machineMissing()
if (skip) console.log(`SKIP packages/ovm/test/guest-agent.test.ts: ${skip}`)

describe.skipIf(Boolean(skip))("a guest with QEMU's guest agent", () => {
  let box: Sandbox
  // biome-ignore lint/suspicious/noExplicitAny: the test says what it expects
  const agentOf = async (name: string): Promise<any> => (await box.json(["status", name])).agent
  const answers = async (name: string, program: string) =>
    await until(`${program} in ${name}`, () => agentOf(name), {
      is: (agent) => agent.program?.name === program,
      deadlineMs: 240_000,
      everyMs: 200,
    })

  beforeAll(async () => {
    box = await Sandbox.create()
    const source = {
      schemaVersion: 1,
      name: "guest/agent",
      kernel: { path: KERNEL, args: KERNEL_ARGS },
      initrd: { path: join(MACHINE, "guest-agent.img") },
      diskLayers: [{ path: join(MACHINE, "base.qcow2"), format: "qcow2" }],
      resources: { memory: 160 << 20 },
    }
    await box.ok(["pack", "-f", await box.file("machine.json", source), "-t", "ga:1"])
    await box.ok(["run", "-d", "--agent", "--name", "ga", "ga:1"])
  })
  afterAll(async () => {
    await box.ovm(["rm", "--force", "ga", "clone"])
    await box[Symbol.asyncDispose]()
  })

  // OVMS-AGT-120, OVMS-AGT-121, OVMS-AGT-122, OVMS-AGT-123, OVMS-AGT-124, OVMS-API-510
  test("commands run by it, with their output, errors, input and status, and leave nothing", async () => {
    const agent = await answers("ga", "qemu-guest-agent")
    const { version } = agent.program
    expect([agent.ready, version]).toEqual([true, expect.stringMatching(/^7\./)])
    expect(await box.ok(["status", "ga"])).toContain(`qemu-guest-agent ${version} answers since`)
    const said = await box.ovm(["exec", "ga", "sh", "-c", "echo out; echo errors >&2; exit 3"])
    expect(said).toMatchObject({ status: 3, stdout: "out\n", stderr: "errors\n" })
    const where = ["-w", "/disk", "-e", "WHO=a b", "ga", "sh", "-c", 'echo "$PWD $WHO $HOME $(id -u)"']
    expect(await box.ok(["exec", ...where])).toBe("/disk a b /root 0")
    const large = "0123456789abcdef".repeat(1 << 14)
    expect(await box.ok(["exec", "-i", "ga", "md5sum"], { input: large })).toContain(md5(large))
    expect((await box.ok(["exec", "ga", "head", "-c", "600000", "/dev/zero"])).length).toBe(600_000)
    expect((await box.ovm(["exec", "ga", "nothing-of-that-name"])).status).toBe(127)
    expect((await box.ovm(["exec", "ga", "sh", "-c", "kill -TERM $$"])).status).toBe(143)
    // Its client has no more patience: it is killed, with what it has begun.
    const late = await box.ovm(["exec", "--timeout", "1", "ga", "sh", "-c", "sleep 1234 & sleep 1234"])
    expect(late.status).toBe(124)
    const many = Array.from({ length: 8 }, (_, at) => box.ok(["exec", "ga", "echo", `${at}`]))
    expect(await Promise.all(many)).toEqual(many.map((_, at) => `${at}`))
    const other = await box.ovm(["exec", "-u", "nobody", "ga", "true"])
    expect(other).toMatchObject({ status: 125, stderr: expect.stringContaining("root alone") })
    const left = "ls -A /tmp; pgrep -f 'sleep 123[4]'; true"
    expect(await box.ok(["exec", "ga", "sh", "-c", left])).toMatch(/^ovm\.\w{6}$/)
  })

  // OVMS-AGT-125, OVMS-AGT-127
  test("files go in and out by it, and its clock is set", async () => {
    const text = `${"a line\n".repeat(40_000)}`
    mkdirSync(box.path("in/deep"), { recursive: true })
    await box.file("in/one", text)
    await box.file("in/deep/two", "two\n")
    await box.ok(["cp", box.path("in"), "ga:/disk/there"])
    expect(
      await box.ok(["exec", "ga", "sh", "-c", "md5sum </disk/there/one; cat /disk/there/deep/two"]),
    ).toBe(`${md5(text)}  -\ntwo`)
    await box.ok(["cp", "ga:/disk/there", box.path("out")])
    expect(readFileSync(box.path("out/one"), "utf8")).toBe(text)
    await box.ok(["cp", "ga:/disk/there/one", box.path("one")])
    expect(readFileSync(box.path("one"), "utf8")).toBe(text)
    await box.fails(["cp", "ga:/disk/nothing", box.path("none")], "OVM_FILE_UNREADABLE", ["/disk/nothing"])
    await box.fails(["cp", box.path("one"), "ga:/nowhere/at/all"], "OVM_FILE_UNREADABLE", ["/nowhere"])
  })

  // OVMS-AGT-120, OVMS-AGT-126, OVMS-AGT-127
  test("a snapshot is taken of a frozen guest, and a clone has this host's clock", async () => {
    await box.ok(["snapshot", "ga", "--freeze", "--tag", "up"])
    expect(await box.ok(["exec", "ga", "sh", "-c", "echo thawed >/disk/after; sync; cat /disk/after"])).toBe(
      "thawed",
    )
    await box.ok(["exec", "ga", "date", "-s", "2020-01-01"])
    await box.ok(["rm", "--force", "ga"])
    await box.ok(["run", "-d", "--name", "clone", "ga:up"])
    const agent = await answers("clone", "qemu-guest-agent")
    expect(agent.renewed).toBeString()
    const off = Number(await box.ok(["exec", "clone", "date", "+%s"])) - Date.now() / 1000
    expect(Math.abs(off)).toBeLessThan(30)
    expect(await box.ok(["exec", "clone", "sh", "-c", "echo thawed >/disk/after && cat /disk/after"])).toBe(
      "thawed",
    )
  })

  // OVMS-AGT-121
  test("ours takes over once it answers", async () => {
    await box.ok(["exec", "clone", "sh", "-c", "setsid /ovm-agent </dev/null >/dev/null 2>&1 &"])
    expect(await answers("clone", "ovm")).toMatchObject({ ready: true })
    expect(await box.ok(["exec", "-u", "0:7", "clone", "id", "-g"])).toBe("7")
  })
})

function md5(text: string): string {
  return new Bun.CryptoHasher("md5").update(text).digest("hex")
}
