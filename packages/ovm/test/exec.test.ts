import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { existsSync, readdirSync } from "node:fs"
import { chmod, mkdir, readFile, stat, symlink } from "node:fs/promises"
import { join } from "node:path"
import { connect, execPieces, type Runtime } from "@ovms/client"
import { packGuest } from "@ovms/testkit/image.ts"
import { KERNEL, KERNEL_ARGS, machineMissing, NET, UNPACKED } from "@ovms/testkit/machines.ts"
import { rawRequest } from "@ovms/testkit/raw-http.ts"
import { until } from "@ovms/testkit/until.ts"
import { treeAsTar } from "../src/cli/tree/write.ts"
import { tarMember } from "../src/content/archive/member.ts"
import { TAR_END } from "../src/content/archive/tar.ts"
import { finished, PROGRAM, type Result, Sandbox } from "./sandbox.ts"

// Lane: first, 3 min. A Linux is booted in nearly each of its tests.
// A Linux takes tens of seconds where there is no KVM.
setDefaultTimeout(300_000)

// Commands inside real guests: one that boots from a disk, one without a disk, and clones of one.

/** What the image without a disk is packed with. */
const DISKLESS = ["--args", KERNEL_ARGS, "--memory", "256MiB"]
/** For a guest that boots, on a host that may be very busy. */
const PATIENCE = 200_000
const skip = await machineMissing()
if (skip) console.log(`SKIP packages/ovm/test/exec.test.ts: ${skip}`)

/** Without what is said of a start: the image is signed by nobody. */
const unwarned = (result: Result): Result => ({
  ...result,
  stderr: result.stderr.replace(/^warning: .*\n/gm, ""),
})

describe.skipIf(Boolean(skip))("commands inside a machine", () => {
  let box: Sandbox
  let runtime: Runtime
  let id: string

  beforeAll(async () => {
    box = await Sandbox.create()
    await box.ok(["pack", "-f", UNPACKED, "-t", "debian:12"])
    const files = ["--kernel", KERNEL, "--initrd", NET]
    await box.ok(["pack", ...files, ...DISKLESS, "-t", "net:2"])
    await box.ok(["pack", ...files, ...DISKLESS, "--agent", "-t", "net:1"])
    id = (await box.json(["run", "-d", "--agent", "--name", "web", "debian:12"])).instance_id
    runtime = connect(join(box.home, "ovm.sock"))
  })
  afterAll(() => box?.[Symbol.asyncDispose]())

  test("an agent comes with the machine, runs in its root, and is seen [OVMS-API-320, OVMS-API-328, OVMS-AGT-001, OVMS-AGT-031]", async () => {
    const { ready, since } = await runtime.ready(id, { timeoutMs: PATIENCE })
    expect(ready).toBe(true)
    expect((await box.json(["status", "web"])).agent).toEqual({
      ready: true,
      since,
      program: { name: "ovm" },
    })
    expect(await box.ok(["status", "web"])).toContain("answers since")
    // OVMS-AGT-095, OVMS-AGT-096: in the root of its disk, and never before.
    const first = ["cat", "/etc/layer", "/proc/sys/kernel/ostype"]
    expect(await box.ok(["exec", "web", ...first])).toBe("second, on top of base\nLinux")
    // The guest's first program is going to be another one.
    const program = () => box.ok(["exec", "web", "cat", "/proc/1/comm"])
    await until("its init is through", program, { is: (comm) => comm === "acpid" })
    expect(await box.ok(["exec", "web", "sh", "-c", "tr '\\0' ' ' </proc/$PPID/cmdline"])).toBe("@ovm-agent ")
    // It goes before what it begins, which is as it would be without it: rt_priority and policy of proc(5).
    const weights = ["sh", "-c", "cut -d' ' -f40,41 /proc/$PPID/stat /proc/self/stat"]
    expect(await box.ok(["exec", "web", ...weights])).toBe("1 2\n0 0")
  })

  test("output, errors and exit statuses are the command's, or Docker's [OVMS-API-321]", async () => {
    const said = await box.ovm(["exec", "web", "sh", "-c", "echo out; echo err >&2; exit 42"])
    expect(said).toEqual({ status: 42, stdout: "out\n", stderr: "err\n" })
    expect((await box.ovm(["exec", "web", "sh", "-c", "kill -TERM $$"])).status).toBe(143)
    expect(await box.ovm(["exec", "web", "nothing-like-it"])).toMatchObject({
      status: 127,
      stderr: expect.stringContaining("nothing-like-it"),
    })
    expect((await box.ovm(["exec", "web", "/etc"])).status).toBe(126)
    expect((await box.ovm(["exec", "-u", "nobody-at-all", "web", "true"])).status).toBe(126)
    const gone = await box.ovm(["exec", "nowhere", "true"])
    expect(gone).toMatchObject({ status: 125, stderr: expect.stringContaining("OVM_INSTANCE_UNKNOWN") })
    const late = await box.ovm(["exec", "--timeout", "1", "web", "sleep", "600"])
    expect(late).toMatchObject({ status: 124, stderr: expect.stringContaining("killed after 1 s") })
  })

  test("environment, directory, user, and what looks like options of ours", async () => {
    const asked = ["-e", "A=1 2", "-e", "B", "-w", "/etc", "-u", "5:6"]
    const script = 'echo "$A/$B/$(pwd)/$(id -u):$(id -g)"'
    expect(await box.ok(["exec", ...asked, "web", "sh", "-c", script], { env: { B: "ours" } })).toBe(
      "1 2/ours//etc/5:6",
    )
    expect(await box.ok(["exec", "web", "echo", "-i", "--user", "x"])).toBe("-i --user x")
    expect(await box.ok(["exec", "web", "--", "echo", "--", "y"])).toBe("-- y")
    expect((await box.ovm(["exec", "web", "--"])).status).toBe(125)
  })

  test("standard input goes in to its end, bytes as they are [OVMS-API-326]", async () => {
    const bytes = "0123456789abcdef".repeat(40_000)
    expect(await box.ok(["exec", "-i", "web", "sha256sum"], { input: bytes })).toBe(
      `${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}  -`,
    )
    // Without -i there is none.
    expect(await box.ok(["exec", "web", "wc", "-c"], { input: bytes })).toBe("0")
  })

  test("a terminal, and a shell on it [OVMS-API-325, OVMS-API-331]", async () => {
    const { output, status } = await box.onTerminal(
      ["shell", "web"],
      [
        ["# ", "stty size; echo $((40 + 2))"],
        ["42", "exit 9"],
      ],
    )
    expect(output).toContain("40 120")
    expect(status).toBe(9)
    await box.fails(["shell", "web"], "OVM_USAGE", ["terminal"])
  })

  test("the console has the size of the terminal that is attached to it, and hears when that changes [OVMS-AGT-110, OVMS-AGT-111, OVMS-API-502]", async () => {
    // As the shell of somebody who has logged in: the console is its terminal.
    const script = "trap 'stty size' WINCH; echo it waits; until [ -e /over ]; do sleep 0.1; done"
    await box.ok(["exec", "web", "sh", "-c", `setsid -c sh -c "${script}" <>/dev/ttyS0 >&0 2>&1 &`])
    await box.console(id, "it waits")
    // Without one it fails.
    const size = () => box.ok(["exec", "web", "sh", "-c", "stty -F /dev/ttyS0 size 2>/dev/null; true"])
    await using terminal = new Bun.Terminal({ cols: 111, rows: 33 })
    const person = Bun.spawn([...PROGRAM, "attach", "web"], { env: box.environment(), terminal })
    await until("the console is as large", size, { is: (said) => said === "33 111" })
    terminal.resize(99, 22)
    // Bun makes its terminal nobody's own, for whom this signal would come by itself.
    person.kill("SIGWINCH")
    await until("the console is as large by now", size, { is: (said) => said === "22 99" })
    await box.console(id, "22 99")
    person.kill("SIGKILL")
    await person.exited
    const type = async (rows: number) => {
      const [attachment, bytes] = ["nobody", new Uint8Array()]
      const refused = runtime.type(id, { attachment, bytes, window: { rows, columns: 1 } })
      return await refused.catch(({ code }) => code)
    }
    expect([await type(0), await type(65536), await type(1)]).toEqual([
      "OVM_REQUEST_INVALID",
      "OVM_REQUEST_INVALID",
      "OVM_STATE_CONFLICT",
    ])
    expect(await box.ok(["exec", "web", "sh", "-c", "stty -F /dev/ttyS0 size; touch /over"])).toBe("22 99")
  })

  test("one call collects what a command writes, within bounds [OVMS-API-321, OVMS-API-324, OVMS-API-330]", async () => {
    const command = ["sh", "-c", "cat; echo err >&2; exit 3"]
    expect(await runtime.exec(id, { command, input: "given\n" })).toEqual({
      exit_code: 3,
      stdout: "given\n",
      stderr: "err\n",
      duration_ms: expect.any(Number),
    })
    const much = await runtime.exec(id, { command: ["head", "-c", "1500000", "/dev/zero"] })
    expect(much).toMatchObject({ exit_code: 0, truncated: true })
    expect(much.stdout.length).toBe(1 << 20)
    expect(await runtime.exec(id, { command: ["sleep", "600"], timeout_ms: 300 })).toMatchObject({
      exit_code: 137,
      signal: 9,
      timed_out: true,
    })
    const wrong = runtime.exec(id, { command: ["true"], interactive: true })
    expect(await wrong.catch(({ code }) => code)).toBe("OVM_REQUEST_INVALID")
  })

  test("whose output nobody reads is ended quietly, whose input cannot be read in words, and a signal is that signal", async () => {
    const piped = await box.shell("ovm exec web yes | head -n 1; exit ${PIPESTATUS[0]}")
    expect(piped).toEqual({ status: 141, stdout: "y\n", stderr: "" })
    expect(await box.shell("ovm exec -i web cat </etc")).toMatchObject({
      status: 125,
      stderr: expect.stringContaining("OVM_FILE_UNREADABLE: standard input"),
    })
    const script = 'trap "exit 6" TERM; echo ready; sleep 600 & wait'
    const running = box.begin(["exec", "web", "sh", "-c", script])
    running.stdout?.once("data", () => running.kill("SIGTERM"))
    expect(await finished(running)).toEqual({ status: 6, stdout: "ready\n", stderr: "" })
  })

  test("a hundred commands at once [OVMS-API-327, OVMS-AGT-022]", async () => {
    const all = await Promise.all(
      Array.from({ length: 100 }, (_, index) => runtime.exec(id, { command: ["echo", `${index}`] })),
    )
    expect(all.map(({ stdout }) => Number(stdout))).toEqual(all.map((_, index) => index))
  })

  test("a command whose client has gone is killed [OVMS-API-323]", async () => {
    const left = new AbortController()
    const command = ["sleep", "987"]
    const options = { attachment: "left", signal: left.signal }
    const bytes = await runtime.execStream(id, { command }, options)
    const reading = execPieces(bytes).next()
    reading.catch(() => {})
    const count = async () => {
      const { stdout } = await runtime.exec(id, { command: ["sh", "-c", "ps | grep -c '[s]leep 987'"] })
      return Number(stdout)
    }
    await until("the command runs", count, { is: (found) => found === 1 })
    left.abort()
    expect(await until("the command is gone", count, { is: (found) => found === 0 })).toBe(0)
  })

  test("a daemon that was killed takes its commands along, and the next one goes on [OVMS-AGT-010, OVMS-AGT-012]", async () => {
    const cut = box.ovm(["exec", "web", "sleep", "986"])
    const script = "ps | grep -c '[s]leep 986'"
    await until(
      "the command runs",
      async () => (await runtime.exec(id, { command: ["sh", "-c", script] })).stdout,
      {
        is: (text) => text === "1\n",
      },
    )
    const { pid } = await runtime.info()
    process.kill(pid, "SIGKILL")
    expect(await cut).toMatchObject({
      status: 125,
      stderr: expect.stringContaining("OVM_DAEMON_UNREACHABLE"),
    })
    expect((await box.ovm(["exec", "web", "sh", "-c", script])).stdout).toBe("0\n")
  })

  test("files and folders go in and come out, with their permissions", async () => {
    const deep = join("a", "n".repeat(60), "m".repeat(60))
    await mkdir(join(box.path("in"), deep), { recursive: true })
    const bytes = Buffer.alloc(700_001, "some bytes ")
    await box.file(join("in", deep, "big"), bytes)
    await box.file("in/run", "#!/bin/sh\necho ran\n")
    await chmod(box.path("in/run"), 0o755)
    await symlink("run", box.path("in/link"))
    await box.ok(["cp", box.path("in"), "web:/mnt"])
    expect(await box.ok(["exec", "web", "/mnt/in/link"])).toBe("ran")
    expect(await box.ok(["exec", "web", "stat", "-c", "%u:%a", "/mnt/in/run"])).toBe("0:755")
    await box.ok(["cp", box.path("in/run"), "web:/mnt/other"])
    expect(await box.ok(["exec", "web", "/mnt/other"])).toBe("ran")
    const back = await box.ovm(["cp", "web:/mnt/in", box.path("back")])
    expect(back).toMatchObject({ status: 0, stderr: expect.stringContaining("in/link") })
    expect(await readFile(join(box.path("back"), deep, "big"))).toEqual(bytes)
    expect((await stat(box.path("back/run"))).mode & 0o777).toBe(0o755)
    expect(existsSync(box.path("back/link"))).toBe(false)
    // Into a folder that is there, and as tar both ways.
    await box.ok(["cp", "web:/etc/layer", box.path("back")])
    expect(await readFile(box.path("back/layer"), "utf8")).toBe("second, on top of base\n")
    const { status } = await box.shell(
      "ovm cp web:/mnt/in - | ovm cp - web:/dev && ovm exec web /dev/in/link",
    )
    expect(status).toBe(0)
    expect(readdirSync(box.directory).filter((name) => name.startsWith(".ovm-"))).toEqual([])
  })

  test("files as tar, both ways, as they come [OVMS-API-332, OVMS-API-334, OVMS-API-335]", async () => {
    const bytes = Buffer.alloc(5_000_000, "0123456789")
    await box.file("large", bytes)
    const large = box.path("large")
    const began = performance.now()
    await runtime.writeFiles(id, { path: "/mnt/large", rename: true, content: treeAsTar(large, "x") })
    const sum = new Bun.CryptoHasher("sha256").update(bytes).digest("hex")
    expect(await box.ok(["exec", "web", "sha256sum", "/mnt/large"])).toBe(`${sum}  /mnt/large`)
    // One that fails in the middle, or whose client leaves, leaves what was there.
    async function* broken() {
      yield tarMember("large", 5_000_000, {})
      yield Buffer.alloc(100_000)
      throw new Error("nothing more comes")
    }
    const cut = runtime.writeFiles(id, { path: "/mnt", content: broken() })
    expect(await cut.catch(({ message }) => message)).toBe("nothing more comes")
    const gone = AbortSignal.timeout(200)
    async function* endless() {
      yield tarMember("large", 5_000_000, {})
      for (;;) {
        yield Buffer.alloc(10)
        await Bun.sleep(20)
      }
    }
    const left = runtime.writeFiles(id, { path: "/mnt", content: endless(), signal: gone })
    expect(
      await left.then(
        () => "done",
        ({ name }) => name,
      ),
    ).toBe("TimeoutError")
    expect(await box.ok(["exec", "web", "sha256sum", "/mnt/large"])).toBe(`${sum}  /mnt/large`)
    const pieces: Uint8Array[] = []
    for await (const piece of await runtime.readFiles(id, { path: "/mnt/large" })) pieces.push(piece)
    expect(Buffer.concat(pieces).includes(bytes)).toBe(true)
    expect(performance.now() - began).toBeLessThan(PATIENCE)
    // As one call of the API, what is wrong is said.
    for (const [path, code] of [
      ["mnt", "OVM_REQUEST_INVALID"],
      ["/no/where", "OVM_FILE_UNREADABLE"],
    ] as const)
      expect(await runtime.readFiles(id, { path }).catch(({ code }) => code)).toBe(code)
    const lost = runtime.writeFiles(id, { path: "/no/where", content: treeAsTar(large, "x") })
    expect(await lost.catch(({ code, message }) => `${code} ${message}`)).toMatch(
      /^OVM_FILE_UNREADABLE .*\/no/,
    )
    // Also where nothing more comes that it could be said behind.
    const stalled = "Host: x\r\nContent-Type: application/x-tar\r\nContent-Length: 9999\r\n\r\n"
    const head = `PUT /instances/${id}/files?path=/no/where HTTP/1.1\r\n${stalled}`
    expect((await rawRequest(join(box.home, "ovm.sock"), head, PATIENCE)).status).toBe(404)
    expect((await runtime.exec(id, { command: ["sh", "-c", "ps | grep -c '[o]vm-agent'"] })).stdout).toBe(
      "1\n",
    )
  })

  test("a guest's full disk is said, what was there stays, and no path or link leads out", async () => {
    await box.ok([
      "exec",
      "web",
      "sh",
      "-c",
      "mkdir -p /mnt/small && mount -t tmpfs -o size=64k small /mnt/small",
    ])
    await box.ok(["exec", "web", "sh", "-c", "echo as it was >/mnt/small/large"])
    await box.fails(["cp", box.path("large"), "web:/mnt/small/large"], "OVM_FILE_UNREADABLE", [
      "No space left",
    ])
    expect(await box.ok(["exec", "web", "sh", "-c", "ls -A /mnt/small; cat /mnt/small/*"])).toBe(
      "large\nas it was",
    )
    const evil = Buffer.concat([
      tarMember("l", 0, { type: "2", link: "/etc" }),
      tarMember("l/evil", 0, {}),
      TAR_END,
    ])
    await box.file("evil.tar", evil)
    await box.file("up.tar", Buffer.concat([tarMember("../../etc/evil", 0, {}), TAR_END]))
    for (const name of ["evil.tar", "up.tar"])
      expect(await box.shell(`ovm cp - web:/mnt/small <${name}`)).toMatchObject({
        status: 3,
        stderr: expect.stringMatching(/OVM_FILE_UNREADABLE.*(leads out|leads through)/),
      })
    expect((await box.ovm(["exec", "web", "ls", "/etc/evil"])).status).toBe(1)
    await box.ok(["exec", "web", "umount", "/mnt/small"])
  })

  test("what cannot be copied is said, and nothing is half there", async () => {
    await box.fails(["cp", "web:/no/where", box.path("x")], "OVM_FILE_UNREADABLE", ["/no/where"])
    await box.fails(["cp", box.path("nothing"), "web:/mnt/x"], "OVM_FILE_UNREADABLE", ["nothing"])
    await box.fails(["cp", box.path("in"), "web:/no/where"], "OVM_FILE_UNREADABLE", ["/no"])
    await box.fails(["cp", box.path("in"), "web:/mnt/x/"], "OVM_FILE_UNREADABLE", ["/mnt/x/"])
    await box.fails(["cp", "a", "b"], "OVM_USAGE", ["NAME:PATH"])
    await box.fails(["cp", "a", "web:b"], "OVM_USAGE", ["slash"])
    await box.fails(["cp", "web:/mnt/in", box.path("back/run")], "OVM_STATE_CONFLICT", ["run"])
    expect(existsSync(box.path("x"))).toBe(false)
  })

  test("a machine that stands still, was not asked to have one, or has ended, says so [OVMS-API-322, OVMS-AGT-002]", async () => {
    await box.ok(["pause", "web"])
    const paused = await box.ovm(["exec", "web", "true"])
    expect(paused).toMatchObject({ status: 125, stderr: expect.stringContaining("OVM_STATE_CONFLICT") })
    await box.ok(["resume", "web"])
    expect((await box.ovm(["exec", "web", "true"])).status).toBe(0)
    const plain = (await box.json(["run", "-d", "debian:12"])).instance_id
    expect(await box.ovm(["exec", plain, "true"])).toMatchObject({
      status: 125,
      stderr: expect.stringContaining("--agent"),
    })
    const early = await runtime.ready(plain).catch(({ code }) => code)
    expect(early).toBe("OVM_UNSUPPORTED")
    await box.ok(["rm", "--force", plain])
  })

  test("clones have a clock, random bytes and commands of their own [OVMS-AGT-050]", async () => {
    await box.ok([
      "exec",
      "web",
      "sh",
      "-c",
      "date -s '2020-01-01 00:00:00'; sleep 985 </dev/null >/dev/null 2>&1 &",
    ])
    await box.ok(["snapshot", "web", "--tag", "warm"])
    expect(await box.ok(["exec", "web", "date", "+%Y"])).toBe("2020")
    const script = "date +%s; head -c 16 /dev/urandom | od -An -tx1"
    const clones = await Promise.all(
      ["one", "two"].map(async (name) => {
        await box.ok(["run", "-d", "--name", name, "debian:warm"])
        const said = await box.ok(["exec", name, "sh", "-c", script])
        const [seconds = "", random] = said.split("\n")
        return { late: Math.abs(Date.now() / 1000 - Number(seconds)), random }
      }),
    )
    expect(clones[0]?.random).not.toBe(clones[1]?.random)
    for (const { late } of clones) expect(late).toBeLessThan(30)
    await box.ok(["rm", "--force", "one", "two"])
  })

  test("run with a command: its output and status, boot or resume, and the machine ends with it [OVMS-API-321]", async () => {
    const script = 'cat; echo "$A/$(pwd)"; echo err >&2; exit 7'
    const asked = ["--rm", "-i", "-e", "A=1", "-w", "/etc"]
    const said = await box.ovm(["run", ...asked, "debian:warm", "sh", "-c", script], { input: "given\n" })
    expect(unwarned(said)).toEqual({ status: 7, stdout: "given\n1//etc\n", stderr: "err\n" })
    // Options of ours may stand behind the image, up to the command.
    const kept = [
      "run",
      "debian:warm",
      "--name",
      "kept",
      "--timeout",
      "1",
      "--",
      "sh",
      "-c",
      "sleep 600",
      "--",
    ]
    expect(await box.ovm(kept)).toMatchObject({ status: 124 })
    expect(await box.json(["status", "kept"])).toMatchObject({ state: "stopped" })
    await box.ok(["rm", "kept"])
    const typed = await box.onTerminal(
      ["run", "--rm", "-it", "debian:warm", "sh"],
      [["# ", "stty size; exit 9"]],
    )
    expect(typed).toMatchObject({ status: 9, output: expect.stringContaining("40 120") })
    expect(await box.ovm(["run", "--rm", "--network", "none", "net:2", "uname", "-s"])).toMatchObject({
      status: 0,
      stdout: "Linux\n",
    })
    expect((await box.instances("--all")).map(({ name }) => name)).not.toContain("warm")
  })

  test("a command whose machine ends hears that it has", async () => {
    await box.ok(["run", "-d", "--name", "cut", "debian:warm"])
    const running = box.begin(["exec", "cut", "sh", "-c", "echo ready; sleep 600"])
    running.stdout?.once("data", () => void box.ok(["rm", "--force", "cut"]))
    expect(await finished(running)).toMatchObject({
      status: 125,
      stderr: expect.stringMatching(/its machine (has ended|ends)/),
    })
  })

  test("Ctrl-C reaches the command of a run, and what cannot have an agent says so", async () => {
    const script = 'trap "echo caught; exit 5" INT; echo ready; sleep 600 & wait'
    const running = box.begin(["run", "--rm", "debian:warm", "sh", "-c", script])
    running.stdout?.once("data", () => running.kill("SIGINT"))
    expect(unwarned(await finished(running))).toEqual({ status: 5, stdout: "ready\ncaught\n", stderr: "" })
    await packGuest(join(box.home, "store"), "bare:1", "ticks=100000 tick_ms=100")
    expect(await box.ovm(["run", "--rm", "--wait", "1", "bare:1", "true"])).toMatchObject({
      status: 125,
      stderr: expect.stringMatching(/OVM_AGENT_UNAVAILABLE[\s\S]*initrd/),
    })
    for (const [option, word] of [
      ["--no-agent", "agent"],
      ["--json", "--json"],
    ] as const)
      expect(await box.ovm(["run", option, "debian:warm", "true"])).toMatchObject({
        status: 125,
        stderr: expect.stringMatching(new RegExp(`OVM_USAGE.*${word}`)),
      })
    await box.fails(["run", "-i", "debian:warm"], "OVM_USAGE", ["--interactive"])
    // It would not be begun in a guest that has booted.
    await box.fails(["run", "-d", "debian:warm", "true"], "OVM_UNSUPPORTED", ["exec"])
    for (const option of ["-i", "-t", "--timeout=1"])
      await box.fails(["run", "-d", option, "debian:12", "true"], "OVM_USAGE", ["--detach"])
  })

  test("a command that nobody waits for is what the machine is for [OVMS-API-460, OVMS-API-461, OVMS-AGT-038, OVMS-AGT-039]", async () => {
    const run = (script: string, ...options: string[]) =>
      box.ok(["run", "-d", ...options, "debian:12", "sh", "-c", script])
    const ends = async (instance: string) => {
      await box.ovm(["wait", instance])
      return await box.json(["status", instance])
    }
    const how = ["-e", "WORD=spoken", "-w", "/etc", "-u", "5:6"]
    const fine = await run('echo "said $WORD in $(pwd) by $(id -u):$(id -g), reads [$(cat)]"', ...how)
    expect((await box.json(["status", fine])).command[0]).toBe("sh")
    expect(await ends(fine)).toMatchObject({ state: "stopped", exit: { reason: "guest-shutdown" } })
    expect((await box.ok(["logs", fine])).match(/said spoken in \/etc by 5:6, reads \[\]/g)).toHaveLength(1)
    // A daemon that comes in between begins it no second time.
    const slow = await run(
      "[ -e /etc/was ] && kill -9 $$; echo begun >/etc/was; cat /etc/was; sleep 20; exit 7",
    )
    await box.console(slow, /^begun\r?$/m)
    await box.ok(["daemon", "--stop"])
    expect(await ends(slow)).toMatchObject({ state: "stopped", exit: { reason: "result", status: 7 } })
    expect((await box.ok(["logs", slow])).match(/begun\r?$/gm)).toHaveLength(1)
    // Started again it is begun again, on what it has written.
    await box.ok(["start", slow])
    expect(await ends(slow)).toMatchObject({ exit: { reason: "result", status: 127 } })
    // Where its guest cannot hand it back, its agent has said so before [OVMS-AGT-140, OVMS-AGT-141].
    const unable = await run("rm /dev/port && exit 9")
    expect(await ends(unable)).toMatchObject({ state: "stopped", exit: { reason: "result", status: 9 } })
    for (const instance of [fine, slow, unable]) await box.ok(["rm", instance])
  })

  test("a snapshot has what its machine had: no agent can be added [OVMS-API-329]", async () => {
    const bare = (await box.json(["run", "-d", "bare:1"])).instance_id
    await box.console(bare, "TICK 1")
    await box.ok(["snapshot", bare, "--tag", "snap"])
    await box.fails(["run", "-d", "--agent", "bare:snap"], "OVM_UNSUPPORTED", ["agent"])
    await box.ok(["rm", "--force", bare])
  })

  test("an image may ask for it, without a disk too, and it is there again when it is started again [OVMS-MAN-131]", async () => {
    expect(await box.ok(["inspect", "net:1"])).toContain("agent  ovms.agent.v1")
    const run = ["run", "-d", "--network", "none"]
    const without = (await box.json([...run, "--no-agent", "net:1"])).instance_id
    expect(await runtime.ready(without).catch(({ code }) => code)).toBe("OVM_UNSUPPORTED")
    await box.ok(["rm", "--force", without])
    const net = (await box.json([...run, "--name", "net", "net:1"])).instance_id
    await runtime.ready(net, { timeoutMs: PATIENCE })
    // The agent may be there before its guest has begun, where the kernel needs no module for it.
    await box.console(net, "OVM-READY")
    // busybox is `exe` for the moment in which it becomes another of its programs.
    expect(await box.ok(["exec", "net", "cat", "/proc/1/comm"])).toMatch(/init|sleep|exe/)
    // Nothing in this guest listens to a power button; what is at work at its end has more than a second
    // [OVMS-AGT-070, OVMS-API-336].
    const late =
      "trap 'timeout 2 yes >/dev/null; echo IS-DONE >/dev/ttyS0; exit' TERM; echo LISTENS >/dev/ttyS0"
    await box.ok([
      "exec",
      "net",
      "sh",
      "-c",
      `setsid sh -c "${late}; sleep 600 & wait" </dev/null >/dev/null 2>&1 &`,
    ])
    await box.console(net, "LISTENS")
    expect(await box.json(["stop", "--time", "120", "net"])).toMatchObject({ stop_method: "guest" })
    expect((await box.json(["status", "net"])).agent).toEqual({ ready: false })
    expect(await box.ok(["logs", "net"])).toContain("IS-DONE")
    await box.ok(["start", "net"])
    await runtime.ready(net, { timeoutMs: PATIENCE })
    expect(await box.ok(["exec", "net", "echo", "again"])).toBe("again")
    expect(readdirSync(join(box.home, "instances", net))).toContain("agent.initrd")
  })

  test("an agent that hangs is given up, and said to be unavailable [OVMS-AGT-037, OVMS-API-322, OVMS-API-500]", async () => {
    // The one that image asked for: the parent of each command is the agent.
    const hung = await box.ovm(["exec", "net", "sh", "-c", "kill -STOP $PPID; sleep 600"])
    expect(hung).toMatchObject({ status: 125, stderr: expect.stringContaining("OVM_AGENT_UNAVAILABLE") })
    const { agent, warnings } = await box.json(["status", "net"])
    expect(agent).toEqual({ ready: false })
    expect(warnings).toContainEqual(expect.stringContaining("its agent was given up at "))
    expect(await box.ok(["stop", "--time", "0", "net"])).not.toBe("")
  })

  test("one that has died is not said to be there, and nobody waits for it [OVMS-AGT-128]", async () => {
    await box.ok(["start", "net"])
    const { instance_id: net } = await box.json(["status", "net"])
    await runtime.ready(net, { timeoutMs: PATIENCE })
    const dead = await box.ovm(["exec", "net", "sh", "-c", "kill -9 $PPID; sleep 600"])
    expect(dead).toMatchObject({ status: 125, stderr: expect.stringContaining("OVM_AGENT_UNAVAILABLE") })
    const { agent, warnings } = await box.json(["status", "net"])
    expect(agent).toEqual({ ready: false })
    // Nobody had to look for it in vain.
    expect(warnings.join()).not.toContain("given up")
    await box.ok(["rm", "--force", "net"])
  })
})
