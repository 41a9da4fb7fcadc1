import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { spawn, spawnSync } from "node:child_process"
import { chmodSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync } from "node:fs"
import { join } from "node:path"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { until } from "@ovms/testkit/until.ts"
import { PROGRAM, Sandbox } from "./sandbox.ts"

setDefaultTimeout(120_000)

// A socket that somebody else listens on for the daemon (sd_listen_fds(3)), passed by systemd's own program.

const ACTIVATE = Bun.which("systemd-socket-activate")
const skip =
  guestMissing ||
  (Bun.which("qemu-system-x86_64") ? "" : "(skipped: qemu-system-x86_64 is not installed)") ||
  (ACTIVATE ? "" : "(skipped: systemd-socket-activate is not installed)")
if (skip) console.log(`SKIP packages/ovm/test/activation.test.ts: ${skip}`)

let box: Sandbox
beforeAll(async () => {
  box = await Sandbox.create()
})
afterAll(() => box[Symbol.asyncDispose]())

const DAEMON = PROGRAM.map((word) => `'${word}'`).join(" ")

// OVMS-API-491
test("what was passed and is no socket of one's own is refused by name", async () => {
  const with3 = (environment: string, redirected: string) =>
    box.shell(`sh -c '${environment} exec ${DAEMON.replaceAll("'", "")} daemon' ${redirected}`)
  const two = await with3("LISTEN_PID=$$ LISTEN_FDS=2", "3</dev/null")
  expect(two).toMatchObject({ status: 2 })
  expect(two.stderr).toContain("OVM_USAGE")
  expect(two.stderr).toContain("2")
  const none = await with3("LISTEN_PID=$$ LISTEN_FDS=1", "3</dev/null")
  expect(none.stderr).toContain("no Unix socket with a path that listens")
})

describe.skipIf(Boolean(skip))("a daemon whose socket was passed", () => {
  // OVMS-API-491, OVMS-API-492
  test("is begun by who connects, and who connects while there is none is answered by the next one", async () => {
    await packGuest(join(box.home, "store"), "guest:1", "tick_ms=50 hlt=1")
    const socket = join(box.home, "ovm.sock")
    const again = `while :; do sh -c "LISTEN_PID=\\$\\$ exec ${DAEMON} daemon"; sleep 0.3; done`
    const script = `umask 077; exec ${ACTIVATE} -l ${socket} -E OVM_HOME=${box.home} -E HOME -E PATH sh -c '${again.replaceAll("'", "")}'`
    const keeper = spawn("sh", ["-c", script], { env: box.environment(), stdio: "ignore", detached: true })
    try {
      await until("a socket", () => lstatSync(socket, { throwIfNoEntry: false })?.isSocket() === true)
      // As SocketMode=0600 of the unit: this program knows no such setting.
      chmodSync(socket, 0o600)
      const { ino } = lstatSync(socket)
      const { instance_id: id } = await box.json(["run", "-d", "--name", "web", "guest:1"])
      const { daemon } = await box.json(["info"])
      expect(parentOf(daemon.pid)).toBe(keeper.pid as number)
      // Nobody else holds it: it would be served by a machine, which never answers.
      const inode = readlinkSync(`/proc/${daemon.pid}/fd/3`)
      const machine = Number(readFileSync(join(box.home, "instances", id, "pid"), "utf8").split(" ")[0])
      const held = (pid: number) =>
        readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`))
      for (const pid of [machine, parentOf(machine)]) expect(held(pid)).not.toContain(inode)
      process.kill(daemon.pid, "SIGKILL")
      const answer = await fetch("http://ovm/instances", { unix: socket })
      expect(JSON.stringify(await answer.json())).toContain(id)
      const next = (await box.json(["info"])).daemon.pid
      expect(next).not.toBe(daemon.pid)
      expect(parentOf(next)).toBe(keeper.pid as number)
      expect(lstatSync(socket).ino).toBe(ino)
      await box.ok(["daemon", "--stop"])
      expect((await box.json(["info"])).daemon.pid).not.toBe(next)
      expect(lstatSync(socket).ino).toBe(ino)
      await box.ok(["rm", "--force", "web"])
    } finally {
      process.kill(-(keeper.pid as number), "SIGKILL")
    }
  })
})

test("systemd finds nothing wrong with the units", async () => {
  if (!Bun.which("systemd-analyze")) return console.log("SKIP units: systemd-analyze is not installed")
  mkdirSync(box.path("units"))
  const printed = await box.ok(["install-service", "--print"])
  const units = printed.split(/^# \/.*\/(?=ovm\.)/m).filter(Boolean)
  const files = await Promise.all(
    units.map((text) => box.file(`units/${text.split("\n")[0]}`, text.slice(text.indexOf("\n") + 1))),
  )
  expect(files.map((file) => file.split("/").at(-1))).toEqual(["ovm.service", "ovm.socket"])
  expect(printed).toContain(`\nListenStream=${box.home}/ovm.sock\nSocketMode=0600\n`)
  const { status, stderr } = spawnSync("systemd-analyze", ["verify", "--man=no", ...files], {
    encoding: "utf8",
  })
  // A setting of systemd 254, which earlier ones ignore.
  const faults = stderr
    .split("\n")
    .filter((line) => line.includes(box.directory) && !line.includes("DelegateSubgroup"))
  expect({ status, faults }).toEqual({ status: 0, faults: [] })
})

function parentOf(pid: number): number {
  return Number(
    readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\) /s, "")
      .split(" ")[1],
  )
}
