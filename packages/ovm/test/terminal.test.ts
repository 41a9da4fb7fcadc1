import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { join } from "node:path"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { Sandbox } from "./sandbox.ts"

// Each step is a process of its own, on a machine that may be busy.
setDefaultTimeout(240_000)

// What people see on a terminal of 60 columns: every table within it, a line an entry; whole in a pipe.

const skip =
  guestMissing || (Bun.which("qemu-system-x86_64") ? "" : "(skipped: qemu-system-x86_64 is not installed)")
if (skip) console.log(`SKIP packages/ovm/test/terminal.test.ts: ${skip}`)

const COLUMNS = 60
const LONG = "registry.example.com/a-team-of-many/debian-with-all-that-it-needs"

describe.skipIf(Boolean(skip))("on 60 columns", () => {
  let box: Sandbox

  beforeAll(async () => {
    box = await Sandbox.create()
    const store = join(box.home, "store")
    await packGuest(store, `${LONG}:13.1-with-a-long-tag`, "button=1 tick_ms=50 hlt=1")
    await packGuest(store, "brief:latest", "ticks=2 tick_ms=20 off=1")
    await packGuest(store, "rebooting:latest", "ticks=2 tick_ms=20")
    const env = { COSIGN_PASSWORD: "secret" }
    await box.ok(["key", "generate"], { env })
    await box.ok(["sign", "--key", "cosign.key", `store:${LONG}:13.1-with-a-long-tag`], { env })
  })
  afterAll(() => box?.[Symbol.asyncDispose]())

  /** The lines of a command there; all but single words fit. */
  async function lines(...args: string[]): Promise<string[]> {
    const { status, output } = await box.onTerminal(args, [], COLUMNS)
    expect(status).toBe(0)
    const shown = output.split(/\r?\n/).filter(Boolean)
    expect(
      shown.filter((line) => [...line].length > COLUMNS && /\S\s\S/.test(line.replace(/^\S+ +/, ""))),
    ).toEqual([])
    return shown
  }

  test("ovm images says name, tag, type and age; a pipe has everything", async () => {
    const [heading, ...rows] = await lines("images")
    expect(heading).toMatch(/^NAME +TAG +TYPE +(SIZE +)?CREATED$/)
    expect(rows).toHaveLength(3)
    const long = rows.find((row) => row.includes("…"))
    expect(long).toMatch(/^…\S*that-it-needs +13\.1-\S*… +machine /)
    for (const row of [heading, ...rows]) expect([...(row ?? "")].length).toBeLessThanOrEqual(COLUMNS)
    const piped = await box.ok(["images"])
    expect(piped).toMatch(/^NAME +TAG +TYPE +DIGEST +SIZE +BASE +CREATED\n/)
    expect(piped).toContain(`${LONG}  13.1-with-a-long-tag  machine`)
  })

  test("ovm ps and ovm ps --all say what goes on, and how the others ended", async () => {
    await box.ok(["run", "brief"])
    await box.fails(["run", "rebooting"], "OVM_GUEST_RESET", [])
    await box.ok(["run", "--detach", "--name", "a-machine-with-a-long-name", `${LONG}:13.1-with-a-long-tag`])
    const [heading, ...running] = await lines("ps")
    expect(heading).toMatch(/^ID +NAME +.*STATE .*CREATED$/)
    expect(heading).not.toContain("EXIT")
    expect(running).toHaveLength(1)
    expect(running[0]).toMatch(/^[0-9a-f]{8} +a-mach\S* .*running .*(just now|ago)$/)
    const [all, ...rows] = await lines("ps", "--all")
    expect(all).toMatch(/^ID +NAME +.*STATE +EXIT .*CREATED$/)
    expect(rows).toHaveLength(3)
    expect(rows.filter((row) => row.includes("guest-shutdown"))).toHaveLength(1)
    expect(rows.filter((row) => row.includes("guest-reset"))).toHaveLength(1)
    for (const row of rows) expect([...row].length).toBeLessThanOrEqual(COLUMNS)
    const piped = await box.ok(["ps", "--all"])
    expect(piped).toMatch(/^ID +NAME +IMAGE +STATE +EXIT +VMM +CPUS +MEMORY +PORTS +CREATED\n/)
    expect(piped).toContain(`a-machine-with-a-long-name  ${LONG}:13.1-with-a-long-tag  running`)
  })

  test("trees have short digests, and go on below themselves", async () => {
    const image = `store:${LONG}:13.1-with-a-long-tag`
    const tree = await lines("discover", "--key", "cosign.pub", image)
    expect(tree.some((line) => /└─ valid +key sha256:[0-9a-f]{12}/.test(line))).toBe(true)
    await lines("inspect", `${LONG}:13.1-with-a-long-tag`)
    await lines("verify", "--key", "cosign.pub", image)
    await lines("policy", "check", `${LONG}:13.1-with-a-long-tag`)
    expect(await box.ok(["discover", "--key", "cosign.pub", image])).toMatch(/key sha256:[0-9a-f]{64}, for /)
  })

  test("and so do lists of names and values", async () => {
    const info = await lines("info")
    expect(info.some((line) => /^vmm +qemu /.test(line))).toBe(true)
    await lines("status", "a-machine-with-a-long-name")
    await lines("prune", "--dry-run")
  })
})
