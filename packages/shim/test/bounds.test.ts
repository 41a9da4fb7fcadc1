import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { accessSync, constants, existsSync, mkdirSync, readFileSync, rmdirSync } from "node:fs"
import { join } from "node:path"
import { processesIn } from "@ovms/testkit/processes.ts"
import { until } from "@ovms/testkit/until.ts"
import { SHIPPED, Workshop } from "./keeper.testing.ts"

// What a keeper lets its VMM have of the host.
setDefaultTimeout(240_000)

let workshop: Workshop
beforeAll(() => {
  workshop = new Workshop()
})
afterAll(() => workshop[Symbol.dispose]())

test.each([
  ["", "0\n1024\n1024\n"],
  ["-n 200", "0\n200\n200\n"],
])("a VMM has no core file, and no more files than it needs (%s)", async (limit, said) => {
  const options = { program: SHIPPED, ...(limit && { limit }) }
  const { ended, text } = workshop.start(["sh", "-c", "ulimit -c; ulimit -Sn; ulimit -Hn"], options)
  expect((await ended).code).toBe(0)
  expect(text("console.0")).toBe(said)
})

test("a VMM whose group is not there is not started", async () => {
  for (const [group, why] of [
    [join(workshop.root, "nowhere"), "No such file or directory"],
    ["/x".repeat(2100), "File name too long"],
  ] as const) {
    const { ended, text } = workshop.start(["echo", "on"], { group })
    expect(await ended).toEqual({ code: 0, said: "" })
    expect(text("exit")).toBe("126\n")
    expect(text("console.0")).toBe("")
    expect(text("stderr")).toBe(`ovm-keeper: ${group}: ${why}\n`)
  }
})

/** Where groups can be made just now: in the hierarchy of any controller, or of none. */
const PLACES = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup"]
const place = PLACES.find((path) => existsSync(join(path, "cgroup.procs")) && isWritable(path))
const missing = place === undefined ? "(skipped: no control group can be made here)" : ""

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK)
    return true
  } catch {
    return false
  }
}

describe.skipIf(missing !== "")(`a group ${missing}`, () => {
  function made(): string {
    const group = join(place ?? "", `ovm-test-${crypto.randomUUID()}`)
    mkdirSync(group)
    return group
  }
  const membersOf = (group: string) => readFileSync(join(group, "cgroup.procs"), "utf8")

  test("has the VMM in it and not its keeper, and goes with it", async () => {
    const group = made()
    const { directory, ended, text } = workshop.start(["sleep", "60"], { group })
    await until("its VMM", () => processesIn(directory), {
      is: (all) => all.some((line) => line.startsWith("sleep")),
    })
    const [vmm] = text("pid").split(" ")
    expect(membersOf(group)).toBe(`${vmm}\n`)
    process.kill(Number(vmm), "SIGKILL")
    expect((await ended).code).toBe(0)
    expect(text("exit")).toBe("137\n")
    expect(existsSync(group)).toBe(false)
  })

  test("that the VMM has left somebody in stays, and holds up nobody", async () => {
    const group = made()
    const { ended, text } = workshop.start(["sh", "-c", "sleep 60 & echo $!"], { group })
    expect((await ended).code).toBe(0)
    const left = text("console.0").trim()
    expect(membersOf(group)).toBe(`${left}\n`)
    process.kill(Number(left), "SIGKILL")
    await until("an empty group", () => membersOf(group), { is: (members) => members === "" })
    rmdirSync(group)
  })
})
