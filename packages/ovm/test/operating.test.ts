import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { once } from "node:events"
import { chmod, mkdir, readdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import { createInterface } from "node:readline"
import type { RuntimeEvent } from "@ovms/client"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { until } from "@ovms/testkit/until.ts"
import { PROGRAM, Sandbox } from "./sandbox.ts"

setDefaultTimeout(240_000)

const METRICS = join(import.meta.dir, "../../../examples/metrics")

const skip =
  guestMissing || (Bun.which("qemu-system-x86_64") ? "" : "(skipped: qemu-system-x86_64 is not installed)")
if (skip) console.log(`SKIP packages/ovm/test/operating.test.ts: ${skip}`)

const noCurl = Bun.which("curl") ? "" : "(skipped: curl is not installed)"
if (noCurl) console.log(`SKIP numbers beside the node exporter's own: ${noCurl}`)

// What somebody sees who looks after a host with machines on it.

describe.skipIf(Boolean(skip))("a host with machines", () => {
  let box: Sandbox
  let busy: string

  beforeAll(async () => {
    box = await Sandbox.create()
    await packGuest(join(box.home, "store"), "busy:1", "hlt=0 tick_ms=50")
    await packGuest(join(box.home, "store"), "idle:1", "hlt=1 tick_ms=50")
    busy = (await box.json(["run", "--detach", "--name", "busy", "busy:1"])).instance_id
    await box.json(["run", "--detach", "--name", "idle", "idle:1"])
    await box.json(["run", "--detach", "--name", "over", "idle:1"])
    await box.ok(["stop", "--time", "0", "over"])
  })
  afterAll(() => box[Symbol.asyncDispose]())

  // OVMS-API-220
  test("numbers for Prometheus: of every state, and of each machine that has not ended", async () => {
    const socket = (await box.json(["info"])).paths.socket
    const answer = await fetch("http://ovm/metrics", { unix: socket })
    expect(answer.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8")
    const lines = (await answer.text()).split("\n")
    const value = (what: string) =>
      Number(
        lines
          .find((line) => line.startsWith(`${what} `))
          ?.split(" ")
          .at(-1),
      )
    expect(value('ovm_instances{state="running"}')).toBe(2)
    expect(value('ovm_instances{state="stopped"}')).toBe(1)
    expect(value('ovm_instances{state="failed"}')).toBe(0)
    expect(value("ovm_instances_limit")).toBe(64)
    const labels = `{instance_id="${busy}",name="busy"}`
    expect(value(`ovm_instance_resident_bytes${labels}`)).toBeGreaterThan(1 << 20)
    expect(value(`ovm_instance_cpu_seconds_total${labels}`)).toBeGreaterThan(0)
    expect(value("process_open_fds")).toBeGreaterThan(3)
    expect(lines.join("\n")).not.toContain('name="over"')
    expect(lines).toContain("# TYPE ovm_instance_cpu_seconds_total counter")
  })

  test.skipIf(noCurl !== "")(
    "numbers beside the node exporter's own, and all that alerts and dashboard ask for",
    async () => {
      const folder = box.path("collected")
      await mkdir(folder)
      const bin = await box.file("ovm", `#!/bin/sh\nexec ${PROGRAM.join(" ")} "$@"\n`)
      await chmod(bin, 0o755)
      const PATH = `${box.directory}:${process.env.PATH}`
      const script = join(METRICS, "ovm-metrics.sh")
      const { stderr } = spawnSync("sh", [script, folder], {
        encoding: "utf8",
        env: { ...process.env, OVM_HOME: box.home, PATH },
      })
      expect(stderr).toBe("")
      const names = new Set(
        (await readFile(join(folder, "ovm.prom"), "utf8")).match(/^[a-z_]+(?=[ {])/gm) as string[],
      )
      expect([...names].filter((name) => !name.startsWith("ovm_"))).toEqual([])
      for (const file of ["alerts.yaml", "dashboard.json"]) {
        const asked = (await readFile(join(METRICS, file), "utf8")).match(/\bovm_[a-z_]+/g) as string[]
        expect(asked.length).toBeGreaterThan(3)
        // Of those that have no sample here there is the type.
        const typed = await readFile(join(folder, "ovm.prom"), "utf8")
        expect(asked.filter((name) => !typed.includes(`# TYPE ${name} `))).toEqual([])
      }
      expect(await readdir(folder)).toEqual(["ovm.prom"])
    },
  )

  // OVMS-API-230, OVMS-API-232
  test("events: what happened, in order; what comes; and on from where one was", async () => {
    const { instance_id: id } = await box.json(["run", "--detach", "--name", "told", "idle:1"])
    const watcher = box.begin(["events", "--follow", "--json"])
    const seen: RuntimeEvent[] = []
    if (!watcher.stdout) throw new Error("it has no output")
    const lines = createInterface(watcher.stdout)
    lines.on("line", (line) => seen.push(JSON.parse(line)))
    const types = (): string[] => seen.filter(({ instance_id }) => instance_id === id).map(({ type }) => type)
    try {
      await until("its start was told", types, { is: (all) => all.includes("running") })
      await box.ok(["pause", "told"])
      await box.ok(["resume", "told"])
      await box.ok(["snapshot", "told", "--tag", "told"])
      await box.ok(["stop", "--time", "0", "told"])
      await box.ok(["rm", "told"])
      await until("its end was told", types, { is: (all) => all.includes("removed") })
    } finally {
      watcher.kill("SIGINT")
      await once(watcher, "close")
    }
    const wanted = ["starting", "running", "paused", "running", "snapshot", "stopping", "stopped", "removed"]
    expect(types()).toEqual(wanted)
    expect(seen.find(({ type }) => type === "snapshot")?.snapshot_ref).toMatch(/^sha256:/)
    expect(seen.find(({ type }) => type === "paused")?.reason).toBe("request")
    const paused = seen.find(({ type }) => type === "paused")
    const rest = (await box.ok(["events", "--after", paused?.id ?? ""])).trimEnd().split("\n")
    expect(rest.map((line) => line.split("  ")[1])).toEqual(wanted.slice(3))
    const socket = (await box.json(["info"])).paths.socket
    const answer = await fetch("http://ovm/events", {
      unix: socket,
      headers: { "last-event-id": paused?.id ?? "" },
    })
    expect(answer.headers.get("content-type")).toBe("text/event-stream")
    expect((await answer.text()).match(/^id: /gm)).toHaveLength(wanted.length - 3)
  })

  // OVMS-API-230
  test("events: a machine that cannot be reached, and can again", async () => {
    const pid = Number((await box.shell(`cat ${box.home}/instances/${busy}/pid`)).stdout.split(" ")[0])
    await box.ok(["daemon", "--stop"])
    process.kill(pid, "SIGSTOP")
    const told = async () => (await box.ok(["events"])).split("\n").filter((line) => line.includes("busy"))
    try {
      await until("that it cannot be reached", told, {
        is: (all) => all.some((one) => one.includes("unreachable")),
      })
    } finally {
      process.kill(pid, "SIGCONT")
    }
    await until("that it can", told, { is: (all) => all.some((one) => one.includes("  reachable")) })
  })

  test("stats: those that run, or those that are named, ended ones too", async () => {
    const { instances } = await box.json(["stats"])
    expect(instances.map(({ name }: { name: string }) => name).sort()).toEqual(["busy", "idle"])
    const [one] = (await box.json(["stats", "busy"])).instances
    expect(one.cpu_percent).toBeGreaterThan(0)
    expect(one.resources.rss).toBeGreaterThan(1 << 20)
    const text = await box.ok(["stats", "--no-stream", "busy", "over"])
    expect(text).toMatch(
      /^ID +NAME +STATE +CPU +VCPUS +RESIDENT +MEMORY +CPU TIME\n\w+ +busy +running +[\d.]+ % +1 /,
    )
    expect(text).toMatch(/\n\w+ +over +stopped/)
    await box.fails(["stats", "nobody"], "OVM_INSTANCE_UNKNOWN", ["nobody"])
  })

  test("top: the one that takes most above, in an order that a key changes, and the terminal as it was", async () => {
    const text = await box.ok(["top"])
    expect(text).toMatch(
      /^NAME +STATE +CPU +RESIDENT +MEMORY +READ\/S +WRITTEN\/S +UPTIME\nbusy +running +[\d.]+ % .*\nidle /,
    )
    const names = async (order: string): Promise<string[]> =>
      (await box.json(["top", "--sort", order])).instances.map(({ name }: { name: string }) => name)
    expect(await names("name")).toEqual(["busy", "idle"])
    const [one] = (await box.json(["top", "busy"])).instances
    expect(one.resources.disk_written).toBeGreaterThanOrEqual(0)
    const { status, output } = await box.onTerminal(
      ["top", "--sort", "name"],
      [
        ["by name", "m"],
        ["by memory", "q"],
      ],
    )
    expect(status).toBe(0)
    expect(output).toContain("by memory: c m d u n, q quits")
    expect(output.startsWith("\x1b[?1049h")).toBe(true)
    expect(output.endsWith("\x1b[?1049l\x1b[?25h")).toBe(true)
    await box.fails(["top", "nobody"], "OVM_INSTANCE_UNKNOWN", ["nobody"])
    expect((await box.onTerminal(["top", "nobody"])).output).toContain("OVM_INSTANCE_UNKNOWN")
  })
})
