import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { execFileSync, spawn } from "node:child_process"
import { readdirSync } from "node:fs"
import { chmod, mkdir, readFile, stat, symlink } from "node:fs/promises"
import { join } from "node:path"
import { connect, type Runtime, sandboxPieces } from "@ovms/client"
import { packGuest } from "@ovms/testkit/image.ts"
import { machineMissing, UNPACKED } from "@ovms/testkit/machines.ts"
import { vmmsBelow } from "@ovms/testkit/processes.ts"
import { until } from "@ovms/testkit/until.ts"
import { finished, Sandbox } from "./sandbox.ts"

// A Linux takes tens of seconds where there is no KVM.
setDefaultTimeout(300_000)

// One command, one machine: clones of a real guest that are gone with what they were for.

const skip = await machineMissing()
if (skip) console.log(`SKIP packages/ovm/test/sandboxes.test.ts: ${skip}`)

const SNAPSHOT = "demo:ready"
const EXAMPLES = join(import.meta.dir, "../../../examples/sandbox")
const PYTHON = join(import.meta.dir, "../../../clients/python/src")

describe.skipIf(Boolean(skip))("sandboxes", () => {
  let box: Sandbox
  let runtime: Runtime
  const run = (...words: readonly string[]) => box.ovm(["sandbox", "run", ...words])
  const sh = (script: string, ...options: readonly string[]) =>
    run(...options, SNAPSHOT, "--", "sh", "-c", script)
  const base64 = (text: string | Uint8Array) => Buffer.from(text).toString("base64")
  const instances = () => readdirSync(join(box.home, "instances"))

  /** Of a sandbox nothing is left: what there is are slots. */
  async function expectNothingLeft(): Promise<void> {
    await until("no instance is on record", () => runtime.list(), { is: (all) => all.length === 0 })
    await until("only slots are left", async () => {
      const { warm } = await runtime.info()
      const ready = warm.reduce((sum, one) => sum + one.ready, 0)
      return instances().length === ready && (await vmmsBelow(box.home)).length === ready
    })
  }

  beforeAll(async () => {
    box = await Sandbox.create()
    await box.ok(["pack", "-f", UNPACKED, "-t", "demo:1"])
    const { instance_id } = await box.json(["run", "-d", "--agent", "--name", "source", "demo:1"])
    // By then its root is its disk.
    await box.console(instance_id, "OVM-DISK")
    await box.ok(["exec", "--wait", "250", "source", "true"])
    await box.ok(["snapshot", "source", "--tag", "ready"])
    await box.ok(["rm", "--force", "source"])
    runtime = connect(join(box.home, "ovm.sock"))
  })
  afterAll(() => box?.[Symbol.asyncDispose]())

  test("a command's output and status are the program's, and nothing is left [OVMS-API-400, OVMS-API-409]", async () => {
    const said = await sh('cat; echo "$A/$(pwd)"; echo err >&2; exit 7', "-e", "A=1", "-w", "/etc")
    expect(said).toEqual({ status: 7, stdout: "1//etc\n", stderr: "err\n" })
    await expectNothingLeft()
    const bytes = "0123456789abcdef".repeat(40_000)
    const summed = box.ovm(["sandbox", "run", "--stdin", SNAPSHOT, "sha256sum"], { input: bytes })
    expect((await summed).stdout).toBe(`${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}  -\n`)
    expect((await run(SNAPSHOT, "nothing-like-it")).status).toBe(127)
    expect((await sh("kill -TERM $$")).status).toBe(143)
    await expectNothingLeft()
  })

  test("files and folders go in and come out, bytes and permissions as they are [OVMS-API-401, OVMS-API-404]", async () => {
    await mkdir(box.path("in/deep"), { recursive: true })
    const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, at) => at % 256))
    await box.file("in/deep/data", bytes)
    await box.file(
      "in/run",
      "#!/bin/sh\nmkdir -p out/sub; cp in/deep/data out/sub/copy; cp in/run out/; echo ran\n",
    )
    await chmod(box.path("in/run"), 0o755)
    await symlink("run", box.path("in/link"))
    const asked = [
      "-w",
      "/work/here",
      "-f",
      "in",
      "-f",
      "in/run:/other/name",
      "-o",
      "out:back",
      "-o",
      "/other",
    ]
    const said = await run(...asked, SNAPSHOT, "--", "in/run")
    expect(said).toMatchObject({ status: 0, stdout: "ran\n", stderr: expect.stringContaining("in/link") })
    expect(await readFile(box.path("back/sub/copy"))).toEqual(bytes)
    expect((await stat(box.path("back/run"))).mode & 0o777).toBe(0o755)
    expect(await readFile(box.path("other/name"), "utf8")).toContain("echo ran")
    expect(readdirSync(box.directory).filter((name) => name.startsWith(".ovm-"))).toEqual([])
  })

  test("a slot is taken, and nothing of one run is seen by the next [OVMS-API-407, OVMS-API-410]", async () => {
    await box.ok(["warm", SNAPSHOT])
    const seen: string[] = []
    for (const from of ["slot", "slot"] as const) {
      await until("a slot is ready", () => box.json(["info"]), { is: ({ warm }) => warm[0]?.ready === 1 })
      const command = [
        "sh",
        "-c",
        "ls /mnt; cat /sys/class/net/e*/carrier; echo x >/mnt/mine; head -c 16 /dev/urandom | md5sum",
      ]
      const { started_from, stdout, timings_ms } = await runtime.sandbox({ manifest: SNAPSHOT, command })
      expect({ started_from, stdout }).toEqual({
        started_from: from,
        stdout: expect.not.stringContaining("mine"),
      })
      // Without a link, though others of that slot would have had one.
      expect(stdout).not.toMatch(/^1$/m)
      expect(timings_ms.total).toBeGreaterThan(timings_ms.command)
      seen.push(stdout)
    }
    expect(seen[0]).not.toBe(seen[1])
    await box.ok(["warm", SNAPSHOT, "--slots", "0"])
    await expectNothingLeft()
  })

  test("as JSON, and in pieces", async () => {
    const asked = ["--json", "-o", "/etc/layer:layer", SNAPSHOT, "--", "echo", "hi"]
    const shown = JSON.parse((await run(...asked)).stdout)
    expect(shown).toEqual({
      ...{
        exit_code: 0,
        stdout: "hi\n",
        stderr: "",
        started_from: expect.stringMatching(/slot|snapshot/),
        failed: [],
      },
      files: [{ path: "/etc/layer", mode: 0o644 }],
      timings_ms: expect.objectContaining({ total: expect.any(Number) }),
    })
    expect(await readFile(box.path("layer"), "utf8")).toBe("second, on top of base\n")
    const request = { manifest: SNAPSHOT, command: ["cat"], input: base64("given"), outputs: ["/etc/layer"] }
    const pieces = sandboxPieces(await runtime.sandboxStream(request))
    const first = await pieces.next()
    expect(first.done ? "" : Buffer.from(first.value.bytes).toString()).toBe("given")
    const end = (await pieces.next()).value
    expect(end).toMatchObject({ exit_code: 0, files: [{ content: base64("second, on top of base\n") }] })
    await expectNothingLeft()
  })

  test("what floods, hangs, or leaves something behind with its pipes is bounded [OVMS-API-402, OVMS-API-403]", async () => {
    const flood = ["sh", "-c", "head -c 3000000 /dev/zero; echo end >&2"]
    const flooded = await runtime.sandbox({ manifest: SNAPSHOT, command: flood, output_limit: 1000 })
    expect(flooded).toMatchObject({
      exit_code: 0,
      truncated: true,
      stdout: "\0".repeat(1000),
      stderr: "end\n",
    })
    const endless = await sh("while :; do echo flood; done", "--timeout", "6", "--output-limit", "1KiB")
    expect(endless).toMatchObject({
      status: 124,
      stderr: expect.stringMatching(/--output-limit[\s\S]*after 6 s/),
    })
    expect(endless.stdout.length).toBe(1024)
    const request = { manifest: SNAPSHOT, timeout_ms: 1000, outputs: ["/etc/layer"] }
    const hung = await runtime.sandbox({ ...request, command: ["sleep", "600"] })
    expect(hung).toMatchObject({
      exit_code: 137,
      signal: 9,
      timed_out: true,
      files: [{ path: "/etc/layer" }],
    })
    const left = await sh("(setsid sleep 600) & echo left", "--timeout", "30")
    expect(left).toMatchObject({ status: 0, stdout: "left\n" })
    await expectNothingLeft()
  })

  test("an agent that stops while outputs come out holds nothing up for long [OVMS-API-402]", async () => {
    // Once the command is over and its agent has begun to read.
    const script = `truncate -s 60M /mnt/big || dd if=/dev/zero of=/mnt/big bs=1 count=1 seek=60M
      agent=$PPID
      (while kill -0 $$; do sleep 0.01; done; sleep 0.1; kill -STOP $agent) >/dev/null 2>&1 &`
    const request = { manifest: SNAPSHOT, command: ["sh", "-c", script], outputs: ["/mnt/big"] }
    const given = runtime.sandbox({ ...request, timeout_ms: 10_000, output_limit: 64 << 20 })
    expect(await given.catch(({ code, message }) => [code, message])).toEqual([
      "OVM_AGENT_UNAVAILABLE",
      "bringing the outputs out took longer than 20 s",
    ])
    await expectNothingLeft()
  })

  test("an output that is not there, or is too much, is said, and the others come [OVMS-API-404]", async () => {
    const outputs = ["/no/where", "/mnt/huge", "/dev/null", "/etc/layer"]
    const script = "truncate -s 10G /mnt/huge || dd if=/dev/zero of=/mnt/huge bs=1 count=1 seek=10737418239"
    const command = ["sh", "-c", script]
    const { files, failed } = await runtime.sandbox({ manifest: SNAPSHOT, command, outputs })
    expect(files.map(({ path }) => path)).toEqual(["/etc/layer"])
    expect(failed.map(({ path, error: { code } }) => [path, code])).toEqual([
      ["/no/where", "OVM_FILE_UNREADABLE"],
      ["/mnt/huge", "OVM_TOO_LARGE"],
      ["/dev/null", "OVM_FILE_UNREADABLE"],
    ])
    expect(await sh("true", "-o", "/no/where")).toMatchObject({
      status: 125,
      stderr: expect.stringMatching(/OVM_FILE_UNREADABLE.*\/no\/where/),
    })
    // A folder that does not take a file's place here is no reason to lose what else came.
    await box.file("taken", "as it was")
    expect(await sh("true", "-o", "/etc/acpi:taken", "-o", "/etc/layer:came")).toMatchObject({
      status: 125,
      stderr: expect.stringMatching(/OVM_STATE_CONFLICT.*taken/),
    })
    expect(await readFile(box.path("taken"), "utf8")).toBe("as it was")
    expect(await readFile(box.path("came"), "utf8")).toBe("second, on top of base\n")
    // What the command ended with goes before that.
    expect(await sh("exit 3", "-o", "/no/where")).toMatchObject({
      status: 3,
      stderr: expect.stringContaining("OVM_FILE_UNREADABLE"),
    })
    await expectNothingLeft()
  })

  test("what cannot be is refused with its code, and leaves nothing [OVMS-API-400, OVMS-API-401, OVMS-API-408, OVMS-API-532]", async () => {
    const refused = async (...words: readonly string[]) => {
      const { status, stderr } = await run(...words)
      return `${status} ${stderr.match(/OVM_[A-Z_]+/)?.[0]}`
    }
    expect(await refused("nothing:here", "true")).toBe("125 OVM_NAME_UNKNOWN")
    expect(await refused(SNAPSHOT)).toMatch(/OVM_USAGE/)
    await mkdir(box.path("place"))
    const twice = ["-o", "/etc/layer:place", "-o", "/mnt/layer:place"]
    expect(await refused(...twice, SNAPSHOT, "true")).toBe("125 OVM_USAGE")
    expect(await refused("-o", "/etc/layer:no/where", SNAPSHOT, "true")).toBe("125 OVM_FILE_UNREADABLE")
    // Before the command has run: a pipe or device would be gone, and so would what came of the command.
    execFileSync("mkfifo", [box.path("pipe")])
    expect(await refused("-o", "/etc/layer:pipe", "nothing:here", "true")).toBe("125 OVM_STATE_CONFLICT")
    expect(await refused("-f", "missing", SNAPSHOT, "true")).toBe("125 OVM_FILE_UNREADABLE")
    await box.file("large", Buffer.alloc(24 << 20))
    expect(await refused("-f", "large", SNAPSHOT, "true")).toBe("125 OVM_REQUEST_TOO_LARGE")
    expect(await refused("-f", "place:/proc/none/x", "-f", "layer:/proc/none/x", SNAPSHOT, "true")).toBe(
      "125 OVM_FILE_UNREADABLE",
    )
    const request = { manifest: SNAPSHOT, command: ["true"] }
    for (const [wrong, place] of [
      [{ input: "abc" }, "/input"],
      [{ files: [{ path: "/a", content: "a===" }] }, "/files/0/content"],
      [{ files: [{ path: "a", content: "" }] }, "/files/0/path"],
      [{ files: [{ path: "/a/../../b", content: "" }] }, "/files/0/path"],
      [{ files: [{ path: "/a/", content: "" }] }, "/files/0/path"],
      [{ outputs: ["/a", "/a"] }, "/outputs"],
      [{ network: { mode: "host" } }, "/network/mode"],
    ] as const) {
      const error = await runtime.sandbox({ ...request, ...wrong } as never).catch((thrown) => thrown)
      expect([error.code, error.message]).toEqual(["OVM_REQUEST_INVALID", expect.stringContaining(place)])
    }
    const many = { ...request, files: [{ path: "/a", content: "A".repeat(33 << 20) }] }
    expect((await runtime.sandbox(many).catch((thrown) => thrown)).code).toBe("OVM_REQUEST_TOO_LARGE")
    await expectNothingLeft()
  })

  test("a snapshot without an agent is refused, an image boots and says so [OVMS-API-400, OVMS-API-410]", async () => {
    await packGuest(join(box.home, "store"), "bare:1", "ticks=100000 tick_ms=100")
    const bare = (await box.json(["run", "-d", "bare:1"])).instance_id
    await box.console(bare, "TICK 1")
    await box.ok(["snapshot", bare, "--tag", "snap"])
    await box.ok(["rm", "--force", bare])
    expect(await run("bare:snap", "true")).toMatchObject({
      status: 125,
      stderr: expect.stringMatching(/OVM_UNSUPPORTED.*agent[\s\S]*ovm snapshot/),
    })
    expect(await run("--wait", "3", "bare:1", "true")).toMatchObject({
      status: 125,
      stderr: expect.stringContaining("OVM_AGENT_UNAVAILABLE"),
    })
    expect(await run("demo:1", "echo", "booted")).toMatchObject({
      status: 0,
      stdout: "booted\n",
      stderr: expect.stringContaining("had to boot"),
    })
    await expectNothingLeft()
  })

  test("as many slots are kept as commands need at once, and given back [OVMS-API-411]", async () => {
    const warm = async () => (await runtime.info()).warm.find(({ reference }) => reference.includes("demo"))
    await Promise.all([1, 2, 3].map(() => runtime.sandbox({ manifest: SNAPSHOT, command: ["sleep", "1"] })))
    expect(await until("they are ready", warm, { is: (one) => one?.ready === 3 })).toMatchObject({
      wanted: 0,
      demand: 3,
    })
    expect(await box.ok(["info"])).toContain("3 of 3 ready (sandboxes)")
    const { started_from } = await runtime.sandbox({ manifest: SNAPSHOT, command: ["true"] })
    expect(started_from).toBe("slot")
    await until("they are given back", warm, { is: (one) => one === undefined })
    expect(instances()).toEqual([])
    expect(await vmmsBelow(box.home)).toEqual([])
  })

  test("slots that nobody asked for end by --slots 0 too [OVMS-API-101]", async () => {
    const { reference } = await box.json(["tag", SNAPSHOT, "spare:only"])
    await runtime.sandbox({ manifest: "spare:only", command: ["true"] })
    const of = async () => (await runtime.info()).warm.find((one) => one.reference === reference)
    await until("there is a slot", of, { is: (one) => one?.ready === 1 })
    expect(await box.json(["warm", "spare:only", "--slots", "0"])).toMatchObject({ slots: 0, ready: 0 })
    expect(await of()).toBeUndefined()
    await box.ok(["rmi", "spare:only"])
  })

  test("the examples print what their page says", async () => {
    const page = await readFile(join(EXAMPLES, "README.md"), "utf8")
    const [, printed = "no block"] = /```text\n([\s\S]*?)```/.exec(page) ?? []
    const places = {
      SOCKET: join(box.home, "ovm.sock"),
      SNAPSHOT,
      PYTHONPATH: PYTHON,
      PYTHONDONTWRITEBYTECODE: "1",
    }
    for (const [program, file] of [
      [process.execPath, "sandbox.ts"],
      ["python3", "sandbox.py"],
    ] as const) {
      if (!Bun.which(program)) continue
      const child = spawn(program, [join(EXAMPLES, file)], { env: { PATH: process.env.PATH, ...places } })
      expect(await finished(child)).toEqual({ status: 0, stdout: printed, stderr: "" })
    }
    await expectNothingLeft()
  })

  test("whoever goes away takes the machine along [OVMS-API-405]", async () => {
    const child = box.begin(["sandbox", "run", SNAPSHOT, "--", "sh", "-c", "echo runs; sleep 600"])
    await new Promise((resolve) => child.stdout?.once("data", resolve))
    expect(await box.instances()).toHaveLength(1)
    child.kill("SIGKILL")
    await expectNothingLeft()
    const left = AbortSignal.timeout(300)
    const given = runtime.sandbox({ manifest: SNAPSHOT, command: ["sleep", "600"] }, { signal: left })
    expect((await given.catch((thrown) => thrown)).name).toBe("TimeoutError")
    await expectNothingLeft()
    const stopped = box.begin(["sandbox", "run", SNAPSHOT, "--", "sh", "-c", "echo runs; sleep 600"])
    await new Promise((resolve) => stopped.stdout?.once("data", resolve))
    stopped.kill("SIGINT")
    expect(await finished(stopped)).toMatchObject({ status: 130 })
    await expectNothingLeft()
  })

  test("a VMM that is killed is why the command has no end, however soon its channel is closed [OVMS-API-400]", async () => {
    for (let time = 0; time < 3; time++) {
      const child = box.begin(["sandbox", "run", SNAPSHOT, "--", "sh", "-c", "echo runs; sleep 600"])
      const result = finished(child)
      await new Promise((resolve) => child.stdout?.once("data", resolve))
      for (const pid of await vmmsBelow(box.home)) process.kill(pid, "SIGKILL")
      expect(await result).toMatchObject({ status: 125, stderr: expect.stringContaining("OVM_VMM_FAILED") })
    }
    await expectNothingLeft()
  })

  test("a daemon that ends takes its machines along, and one that was killed leaves them to the next [OVMS-API-406]", async () => {
    for (const end of ["stop", "kill"] as const) {
      const child = box.begin(["sandbox", "run", SNAPSHOT, "--", "sh", "-c", "echo runs; sleep 600"])
      const result = finished(child)
      await new Promise((resolve) => child.stdout?.once("data", resolve))
      if (end === "stop") {
        await box.ok(["daemon", "--stop"])
        await until("the machine is gone", async () => (await vmmsBelow(box.home)).length === 0)
        expect(instances()).toEqual([])
      } else process.kill((await runtime.info()).pid, "SIGKILL")
      expect(await result).toMatchObject({ status: 125, stderr: expect.stringMatching(/OVM_[A-Z]+/) })
      // The next one begins with this.
      expect(await box.instances("--all")).toEqual([])
      await until("the machine is gone", async () => (await vmmsBelow(box.home)).length === 0)
      await until("all of it is gone", () => instances().length === 0)
    }
    expect((await sh("echo again")).stdout).toBe("again\n")
  })
})
