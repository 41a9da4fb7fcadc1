import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { createConnection } from "node:net"
import { join } from "node:path"
import { connect, type Runtime } from "@ovms/client"
import { machineMissing, UNPACKED } from "@ovms/testkit/machines.ts"
import { until } from "@ovms/testkit/until.ts"
import { freezeGuest } from "../src/guest/agent/freeze.ts"
import { OwnSession } from "../src/guest/agent/session.ts"
import { Sandbox } from "./sandbox.ts"

// A Linux takes tens of seconds where there is no KVM.
setDefaultTimeout(300_000)

// A guest that is made ready for its snapshot: commands, hooks, and file systems that stand still, in a real one.

const PATIENCE = 200_000
const skip = await machineMissing()
if (skip) console.log(`SKIP packages/ovm/test/freeze.test.ts: ${skip}`)

const HOOK = `#!/bin/sh
echo "$1" >>/log
if [ "$1" = pre-snapshot ] && [ -e /refuse ]; then echo "the database says no" >&2; exit 1; fi
`
/** Of ext4: whether its journal has to be read before the disk is what it says (bit 2 of s_feature_incompat). */
const UNCLEAN = "echo $(($(dd if=/dev/vda bs=4 skip=280 count=1 2>/dev/null | od -An -tu4) & 4))"

describe.skipIf(Boolean(skip))("a guest before its snapshot", () => {
  let box: Sandbox
  let runtime: Runtime
  let id: string

  const inside = (script: string, name = "web") => box.ok(["exec", name, "sh", "-c", script])
  const log = async (name = "web") => (await inside("cat /log", name)).split("\n")

  beforeAll(async () => {
    box = await Sandbox.create()
    await box.ok(["pack", "-f", UNPACKED, "-t", "debian:12"])
    id = (await box.json(["run", "-d", "--agent", "--name", "web", "debian:12"])).instance_id
    runtime = connect(join(box.home, "ovm.sock"))
    await runtime.ready(id, { timeoutMs: PATIENCE })
    await box.console(id, "OVM-DISK writable")
    await box.file("hook", HOOK)
    await box.shell(`chmod +x ${box.path("hook")}`)
    await inside("mkdir -p /etc/ovm/hooks.d")
    await box.ok(["cp", box.path("hook"), "web:/etc/ovm/hooks.d/10-log"])
  })
  afterAll(() => box?.[Symbol.asyncDispose]())

  test("a command runs first, then hooks, then its disk stands still; a clone writes at once [OVMS-API-420, OVMS-API-421, OVMS-AGT-072]", async () => {
    await box.ok(["snapshot", "web", "--tag", "ready", "--exec-before", "echo before >/log", "--freeze"])
    await until("it was told", log, { is: (lines) => lines.includes("post-snapshot") })
    expect(await log()).toEqual(["before", "pre-snapshot", "post-snapshot"])
    await inside("echo written >/after")
    await box.ok(["run", "-d", "--name", "clone", "debian:ready"])
    expect(await log("clone")).toEqual(["before", "pre-snapshot", "post-resume", "link-up"])
    expect(await inside("echo written >/clones; cat /clones; ls /after 2>/dev/null || true", "clone")).toBe(
      "written",
    )
    await box.ok(["rm", "--force", "clone"])
  })

  // OVMS-BLD-001
  test("a daemon that is killed while it commits a guest that stands still leaves one that goes on", async () => {
    await inside("dd if=/dev/urandom of=/much bs=1M count=32 2>/dev/null; sync")
    const { pid } = (await box.json(["info"])).daemon
    const events = await runtime.events({ follow: true })
    const commit = runtime.commit(id, { name: "localhost/cut:1", freeze: true }).catch(({ code }) => code)
    try {
      for await (const { type } of events) if (type === "paused") process.kill(pid, "SIGKILL")
    } catch {
      // They have ended with it.
    }
    await commit
    await until("it goes on", () => box.json(["status", "web"]), { is: ({ state }) => state === "running" })
    expect(await inside("rm /much; echo goes on")).toBe("goes on")
  })

  test("one that is not ready is not snapshotted, and goes on [OVMS-API-421, OVMS-API-422]", async () => {
    const failed = ["snapshot", "web", "--tag", "never", "--exec-before", "echo broken >&2; exit 7"]
    await box.fails(failed, "OVM_GUEST_NOT_READY", ["status 7", "broken"])
    await inside("touch /refuse; rm /log")
    await box.fails(["snapshot", "web", "--tag", "never"], "OVM_GUEST_NOT_READY", ["the database says no"])
    await until("it was told", log, { is: (lines) => lines.includes("post-snapshot") })
    await inside("rm /refuse")
    await box.fails(["inspect", "debian:never"], "OVM_NAME_UNKNOWN", ["never"])
    const plain = (await box.json(["run", "-d", "debian:12"])).instance_id
    await box.fails(["snapshot", plain, "--tag", "never", "--freeze"], "OVM_UNSUPPORTED", ["agent"])
    await box.ok(["rm", "--force", plain])
    expect(await box.json(["status", "web"])).toMatchObject({ state: "running" })
  })

  test("a frozen disk is whole, a write to it waits, and it is thawed whoever goes [OVMS-AGT-071, OVMS-AGT-072]", async () => {
    await inside("setsid sh -c 'while sleep 0.2; do cat /proc/uptime >/ticks; done' >/dev/null 2>&1 &")
    // The daemon is killed, so that its end of the channel is free.
    process.kill((await runtime.info()).pid, "SIGKILL")
    const channel = createConnection({ path: join(box.home, "instances", id, "agent.sock") })
    const session = await OwnSession.open(channel)
    if (!session) throw new Error("the agent does not answer")
    const run = async (script: string) => {
      const stream = session.do(["exec", "argument=sh", "argument=-c", `argument=${script}`])
      let said = ""
      for await (const { bytes } of stream.output()) said += Buffer.from(bytes)
      return said.trim()
    }
    expect(await run(UNCLEAN)).toBe("4")
    const freeze = await freezeGuest(session)
    // Nothing needs to be read from the journal, and nothing is written.
    expect(await run(UNCLEAN)).toBe("0")
    const before = await run("cat /ticks")
    await Bun.sleep(1500)
    expect(await run("cat /ticks")).toBe(before)
    expect(await freeze.held()).toBe(true)
    expect(await run(UNCLEAN)).toBe("4")
    await until("it is written again", () => run("cat /ticks"), { is: (now) => now !== before })
    // By time, with its host still there.
    const short = session.do(["freeze", "seconds=1"])
    const said: string[] = []
    for await (const { bytes } of short.output()) said.push(`${Buffer.from(bytes)}`)
    expect([said.join(""), await short.ending]).toEqual([
      expect.stringMatching(/^frozen [1-9]\d*\n$/),
      { status: 2 },
    ])
    // And where its host goes in the middle, as a daemon that is killed does.
    await freezeGuest(session)
    channel.destroy()
    await inside("echo written >/after-all")
    expect(await inside(`cat /after-all; ${UNCLEAN}`)).toBe("written\n4")
  })
})
