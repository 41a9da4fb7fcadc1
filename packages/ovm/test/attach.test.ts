import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { until } from "@ovms/testkit/until.ts"
import { PROGRAM, Sandbox } from "./sandbox.ts"

// Each step is a process of its own, on a machine that may be busy.
setDefaultTimeout(240_000)

// A person at a shell, on a terminal, and a guest that echoes lines.

const skip =
  guestMissing || (Bun.which("qemu-system-x86_64") ? "" : "(skipped: qemu-system-x86_64 is not installed)")
if (skip) console.log(`SKIP packages/ovm/test/attach.test.ts: ${skip}`)

const DETACH = "\x10\x11"
const CTRL_C = "\x03"

describe.skipIf(Boolean(skip))("a console on a terminal", () => {
  let box: Sandbox

  beforeAll(async () => {
    box = await Sandbox.create()
    await packGuest(join(box.home, "store"), "brief:1", "ticks=1 tick_ms=1 off=1")
    await packGuest(join(box.home, "store"), "echo:1", "tick_ms=100 hlt=1 button=1")
    await box.file("ovm", `#!/bin/sh\nexec ${PROGRAM.map((word) => `'${word}'`).join(" ")} "$@"\n`)
    await Bun.spawn(["chmod", "+x", box.path("ovm")]).exited
  })
  afterAll(() => box?.[Symbol.asyncDispose]())

  /** A shell on a terminal. `see` reads on until `words` have come. */
  function shell() {
    let seen = ""
    let all = ""
    const terminal = new Bun.Terminal({
      cols: 100,
      rows: 30,
      data(_, bytes) {
        seen += Buffer.from(bytes).toString()
        all += Buffer.from(bytes).toString()
      },
    })
    const env = { ...box.environment(), PATH: `${box.directory}:${process.env.PATH}`, PS1: "host> " }
    const child = Bun.spawn(["bash", "--norc", "--noprofile", "-i"], { cwd: box.directory, env, terminal })
    return {
      all: () => all,
      type: (words: string) => void terminal.write(words),
      async see(words: string): Promise<void> {
        await until(`${JSON.stringify(words)} on the terminal`, () => seen.includes(words) || undefined)
        seen = seen.slice(seen.indexOf(words) + words.length)
      },
      async [Symbol.asyncDispose]() {
        child.kill("SIGKILL")
        await child.exited
        terminal.close()
      },
    }
  }

  /** Whether the terminal is a shell's again: echo and whole lines. */
  async function expectUsual(host: ReturnType<typeof shell>): Promise<void> {
    host.type("stty -a | tr ' ;' '\\n\\n' | grep -cxE 'icanon|echo|isig|opost'; echo usu''al\r")
    await host.see("4\r\nusual")
    expect(host.all()).toContain("usual")
  }

  test("ovm run: keys go to the guest, Ctrl-C too; Ctrl-P Ctrl-Q leaves it running, and the shell gets nothing", async () => {
    await using host = shell()
    host.type("ovm run --name one echo:1\r")
    await host.see("Attached to one: Ctrl-P Ctrl-Q detaches")
    await host.see("TICK 2")
    host.type("to the guest\r")
    await host.see("ECHO [to the guest]")
    host.type(`${CTRL_C}after\r`)
    await host.see(`ECHO [${CTRL_C}after]`)
    host.type(`${DETACH}touch never\r`)
    await host.see("Detached from one, which goes on running: ovm attach one")
    await host.see("host> ")
    host.type("echo status $?\r")
    await host.see("status 0")
    await expectUsual(host)
    expect(existsSync(box.path("never"))).toBe(false)
    expect(await box.instances()).toMatchObject([{ name: "one", state: "running" }])
  })

  test("ovm attach: what was there before, keys, one at a time; Ctrl-C twice has the guest power off", async () => {
    await using host = shell()
    await using other = shell()
    host.type("ovm attach --tail 3 one\r")
    await host.see("Attached to one")
    await host.see("TICK")
    other.type("ovm attach one\r")
    await other.see("OVM_STATE_CONFLICT: another one is attached")
    await expectUsual(other)
    host.type("once more\r")
    await host.see("ECHO [once more]")
    host.type(CTRL_C + CTRL_C)
    await host.see("Stopping the machine; once more kills it.")
    host.type("touch never\r")
    await host.see("POWER-BUTTON")
    await host.see("one powered off")
    await host.see("host> ")
    await expectUsual(host)
    expect(existsSync(box.path("never"))).toBe(false)
    expect(host.all()).not.toContain("GUEST-READY")
  })

  test("whoever ends ovm attach ends no machine, and the terminal is as it was", async () => {
    await box.ok(["run", "--detach", "--name", "two", "echo:1"])
    for (const signal of ["TERM", "HUP", "INT"]) {
      await using host = shell()
      host.type("(echo $BASHPID >pid; exec ovm attach two)\r")
      await host.see("TICK")
      const pid = Number(await Bun.file(box.path("pid")).text())
      process.kill(pid, `SIG${signal}` as NodeJS.Signals)
      await host.see("Detached from two")
      await expectUsual(host)
    }
    expect(await box.instances()).toMatchObject([{ name: "two", state: "running" }])
  })

  test("a machine that ends takes nobody's words to the shell; its status is the command's", async () => {
    await using host = shell()
    host.type("ovm run --rm --name three echo:1\r")
    await host.see("TICK 1")
    host.type("quit\rtouch never\r")
    await host.see("OVM_GUEST_RESET")
    host.type("echo status $?\r")
    await host.see("status 10")
    await expectUsual(host)
    expect(existsSync(box.path("never"))).toBe(false)
  })

  test("between two lives of a machine that is started again keys are ovm's alone", async () => {
    for (const [name, keys, said] of [
      ["left", DETACH, "Detached from left, which goes on"],
      ["given-up", CTRL_C + CTRL_C, "given-up is kept with its disk"],
    ] as const) {
      await using host = shell()
      host.type(`ovm run --restart always --name ${name} brief:1\r`)
      // For longer than it takes to type.
      await until("it waits", () => box.json(["status", name]).catch(() => ({})), {
        is: ({ restarting_at }) => Date.parse(restarting_at) - Date.now() > 4000,
      })
      host.type(`nobody's${keys}touch never\r`)
      await host.see(said)
      await expectUsual(host)
      expect(host.all()).not.toContain("nobody's")
      expect(existsSync(box.path("never"))).toBe(false)
      if (name === "given-up") expect((await box.json(["status", name])).restarting_at).toBeUndefined()
      await box.ok(["rm", "--force", name])
    }
  })

  test("a machine that ends at once is shown whole, attached to or not", async () => {
    for (let times = 0; times < 3; times++) {
      const { status, output } = await box.onTerminal(["run", "--rm", "brief:1"])
      expect([status, output]).toEqual([0, expect.stringMatching(/GUEST-READY.*GUEST-OFF.*powered off/s)])
    }
  })

  test("what is typed at a console that is only watched reaches no shell either", async () => {
    await using host = shell()
    host.type("ovm run --rm --name four echo:1 | cat\r")
    await host.see("TICK 2")
    host.type("touch never\r")
    await host.see("TICK 4")
    await box.ok(["stop", "--time", "0", "four"])
    await host.see("four was ended")
    await expectUsual(host)
    expect(existsSync(box.path("never"))).toBe(false)
  })

  test("without a terminal there is nothing to join", async () => {
    await box.fails(["attach", "two"], "OVM_USAGE", ["terminal", "ovm logs --follow two"])
  })

  test("ovm logs --tail, on a terminal harmlessly, and as they are with --raw", async () => {
    await using host = shell()
    host.type("ovm attach two\r")
    await host.see("TICK")
    host.type("\x1b[2Jred\x1b[31m\r")
    await host.see("ECHO [")
    host.type(DETACH)
    await host.see("Detached")
    const { output } = await box.onTerminal(["logs", "--tail", "1000", "two"])
    expect(output).toContain("ECHO [\\u001b[2Jred]")
    expect((await box.onTerminal(["logs", "--raw", "two"])).output).toContain("ECHO [\x1b[2Jred\x1b[31m]")
    expect(await box.ok(["logs", "two"])).toContain("ECHO [\x1b[2Jred\x1b[31m]")
    await box.ok(["pause", "two"])
    expect((await box.ok(["logs", "--tail", "2", "two"])).split("\n")).toHaveLength(2)
    // The last one may be half a line: wherever the guest was when it was paused.
    const [line = ""] = (await box.ok(["logs", "--tail", "2", "--timestamps", "two"])).split("\n")
    const age = Date.now() - Date.parse(line.split(" ")[0] ?? "")
    expect(line).toMatch(/^20\d\d-\S+Z TICK \d+$/)
    expect(age).toBeGreaterThan(0)
    expect(age).toBeLessThan(60_000)
    expect(await box.ok(["logs", "--since", "1h", "two"])).toBe(await box.ok(["logs", "two"]))
    await box.fails(["logs", "--since", "yesterday", "two"], "OVM_USAGE", ["--since", "10m"])
    await box.fails(["logs", "--tail", "x", "two"], "OVM_USAGE", ["--tail"])
  })
})
