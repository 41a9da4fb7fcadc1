import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { dirname, join } from "node:path"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { until } from "@ovms/testkit/until.ts"
import { PROGRAM, Sandbox } from "./sandbox.ts"
import { SystemdHost, systemdMissing } from "./systemd.ts"

setDefaultTimeout(240_000)

let box: Sandbox
beforeAll(async () => {
  box = await Sandbox.create()
})
afterAll(() => box[Symbol.asyncDispose]())

test("the unit says what is to be run, whatever characters that has", async () => {
  const home = `${box.directory}/a "b" 100% $x\\y`
  const unit = await box.ok(["install-service", "--print"], { env: { OVM_HOME: home } })
  expect(unit).toContain(`\nEnvironment="OVM_HOME=${box.directory}/a \\"b\\" 100%% $x\\\\y"\n`)
  expect(unit).toMatch(/^ExecStart="\/.*" "daemon"$/m)
  expect(unit).toContain("\nKillMode=process\n")
  expect(unit).toContain("\nDelegate=cpu memory pids io\nDelegateSubgroup=daemon\n")
  await box.fails(["install-service", "--print"], "OVM_USAGE", ["line break"], {
    env: { OVM_HOME: `${home}\nx` },
  })
  await box.fails(["install-service", "--print", "--remove"], "OVM_USAGE", ["--remove"])
})

const skip =
  guestMissing ||
  (Bun.which("qemu-system-x86_64") ? "" : "(skipped: qemu-system-x86_64 is not installed)") ||
  systemdMissing()
if (skip) console.log(`SKIP packages/ovm/test/service.test.ts: ${skip}`)

describe.skipIf(Boolean(skip))("under a real systemd", () => {
  let host: SystemdHost
  const ovm = () => `OVM_HOME=${box.home} ${PROGRAM.map((word) => `'${word}'`).join(" ")}`

  function ok(script: string): string {
    const { status, stdout, stderr } = host.run(script)
    expect({ script, status, stderr }).toMatchObject({ status: 0 })
    return stdout
  }
  const pid = () => ok("systemctl show --property MainPID --value ovm.service")
  const machine = () => ok(`cut -d' ' -f1 ${box.home}/instances/*/pid`)
  const state = () => JSON.parse(ok(`${ovm()} status web --json`)).state

  beforeAll(async () => {
    await packGuest(join(box.home, "store"), "guest:1", "tick_ms=50 hlt=1")
    host = await SystemdHost.boot([box.directory, dirname(PROGRAM.at(-1) ?? "")])
  })
  afterAll(() => host?.[Symbol.asyncDispose]())

  test("the daemon is the service's, also where one had been started by hand", () => {
    ok(`${ovm()} run --detach --name web guest:1`)
    const before = JSON.parse(ok(`${ovm()} info --json`)).daemon.pid
    expect(ok(`${ovm()} install-service`)).toBe("/etc/systemd/system/ovm.service  installed and started")
    expect(ok("systemctl is-enabled ovm.service")).toBe("enabled")
    expect(pid()).not.toBe(`${before}`)
    expect(JSON.parse(ok(`${ovm()} info --json`)).daemon.pid).toBe(Number(pid()))
    expect(state()).toBe("running")
  })

  test("a restart, a crash and another installation of it leave machines running", async () => {
    ok(`${ovm()} run --detach --name born-below-it guest:1`)
    const machines = machine()
    for (const script of [
      "systemctl restart ovm.service",
      "systemctl kill --signal KILL --kill-who main ovm.service",
      `${ovm()} install-service`,
    ]) {
      const before = pid()
      ok(script)
      await until(`another daemon after ${script}`, pid, { is: (now) => now !== before && now !== "0" })
      await until("it answers", () => host.run(`${ovm()} info --json`), {
        is: ({ stdout }) => stdout.includes('"running": true'),
      })
      expect(machine()).toBe(machines)
      expect(state()).toBe("running")
    }
  })

  test("removed, it leaves them running as well, and nothing of itself", () => {
    const machines = machine()
    const answer = JSON.parse(ok(`${ovm()} install-service --remove --json`))
    expect(answer).toEqual({ unit: "/etc/systemd/system/ovm.service", installed: false })
    expect(host.run("systemctl cat ovm.service").status).not.toBe(0)
    expect(host.run(`${ovm()} install-service --remove`).stderr).toContain("OVM_FILE_UNREADABLE")
    expect(machine()).toBe(machines)
    expect(state()).toBe("running")
    ok(`${ovm()} rm --force web born-below-it`)
    ok(`${ovm()} daemon --stop`)
  })
})
