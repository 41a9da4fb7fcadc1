import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import table from "@ovms/spec/errors.json" with { type: "json" }
import { Command } from "commander"
import { COMMANDS } from "../src/cli/commands.ts"
import type { ErrorCode } from "../src/errors.ts"
import { Sandbox } from "./sandbox.ts"

// Each step is a process of its own, on a machine that may be busy.
setDefaultTimeout(240_000)

// What programs read: results on standard output, errors on standard error.

let box: Sandbox
beforeAll(async () => {
  box = await Sandbox.create()
})
afterAll(() => box[Symbol.asyncDispose]())

/** Their output is a console, a script or a remark, or they only have commands below them. */
const WITHOUT = [
  "attach",
  "exec",
  "cp",
  "shell",
  "ssh",
  "login",
  "logout",
  "logs",
  "completion",
  "compose",
  "compose logs",
  "registry",
  "policy",
  "key",
  "index",
  "vmm",
  "volume",
  "network",
  "sandbox",
  "system",
]

/** Every command that takes --json, as the words that name it; and those that do not. */
async function commands(): Promise<{ taking: string[][]; others: string[] }> {
  const taking: string[][] = []
  const others: string[] = []
  for (const { name, hidden, load } of COMMANDS) {
    if (hidden) continue
    const command = new Command(name)
    ;(await load()).define(command, COMMANDS)
    for (const one of [command, ...command.commands]) {
      const words = one === command ? [name] : [name, one.name()]
      if (one.options.some(({ long }) => long === "--json")) taking.push(words)
      else others.push(words.join(" "))
    }
  }
  return { taking, others }
}

async function errors(args: readonly string[], code: ErrorCode) {
  const { status, stderr, stdout } = await box.ovm(args)
  expect({ status, stderr }).toEqual({
    status: table.codes[code].exit,
    stderr: expect.stringMatching(/^\{.*\}\n$/),
  })
  const answer = JSON.parse(stderr)
  expect(Object.keys(answer)).toEqual(["errors"])
  expect(answer.errors[0].code).toBe(code)
  return { errors: answer.errors, stdout }
}

test("every command that prints a result takes --json", async () => {
  const { taking, others } = await commands()
  expect(others).toEqual(expect.arrayContaining(WITHOUT))
  expect(others).toHaveLength(WITHOUT.length)
  expect(taking.length).toBeGreaterThan(30)
})

describe("with --json an error is JSON", () => {
  test("of every command that takes it, when its command line is wrong", async () => {
    for (const words of (await commands()).taking) {
      const { errors: all, stdout } = await errors([...words, "--json", "--nonsense"], "OVM_USAGE")
      expect(all).toHaveLength(1)
      expect(all[0].message).toMatch(/'--nonsense'|required option/)
      expect(all[0].hint).toMatch(/\bovm .*--help$/)
      expect(stdout).toBe("")
    }
  })

  test("with code, message, particulars and the next thing to try", async () => {
    expect((await errors(["inspect", "nothing", "--json"], "OVM_NAME_UNKNOWN")).errors).toEqual([
      {
        code: "OVM_NAME_UNKNOWN",
        message: "there is no image nothing:latest on this host",
        hint: "ovm images",
      },
    ])
    await box.file("bad.json", { nmae: "x", kernel: {} })
    const { errors: all, stdout } = await errors(["validate", "bad.json", "--json"], "OVM_MANIFEST_INVALID")
    expect(all[0].detail).toEqual(JSON.parse(stdout).faults)
    expect(all[0].detail.length).toBeGreaterThan(1)
    expect((await errors(["run", "a", "--json"], "OVM_USAGE")).errors[0].hint).toContain("--detach")
    expect((await errors(["daemon", "--json"], "OVM_USAGE")).errors[0].message).toContain("--detach")
  })

  test("of several things at once there is one answer with each of them", async () => {
    for (const command of ["stop", "rm", "pause", "resume"]) {
      const { errors: all } = await errors([command, "--json", "web", "db"], "OVM_INSTANCE_UNKNOWN")
      expect(all.map(({ message }: { message: string }) => message)).toEqual([
        'there is no instance "web"',
        'there is no instance "db"',
      ])
    }
    expect((await errors(["rmi", "a", "B", "--json"], "OVM_NAME_UNKNOWN")).errors[1].code).toBe(
      "OVM_REFERENCE_INVALID",
    )
  })

  test("but not behind --, where it is a name", async () => {
    await box.fails(["status", "--", "--json"], "OVM_INSTANCE_UNKNOWN", ['"--json"'])
  })
})

test("a daemon says its pid, once it is there and once it has gone; ps is what the API answers", async () => {
  const { pid } = await box.json(["daemon", "--detach"])
  expect((await box.json(["info"])).daemon).toMatchObject({ running: true, pid })
  expect(await box.json(["ps", "--all"])).toEqual({ instances: [] })
  expect(await box.json(["daemon", "--stop"])).toEqual({ pid })
})
