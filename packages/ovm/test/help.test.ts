import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { Command } from "commander"
import { COMMANDS } from "../src/cli/commands.ts"
import { Sandbox } from "./sandbox.ts"

// Each step is a process of its own, on a machine that may be busy.
setDefaultTimeout(240_000)

// Help fits the terminal that it is read on, and is wrapped once.

let box: Sandbox
beforeAll(async () => {
  box = await Sandbox.create()
})
afterAll(() => box[Symbol.asyncDispose]())

/** Every command line that has a help of its own. */
async function commands(): Promise<string[][]> {
  const found: string[][] = [[]]
  for (const entry of COMMANDS.filter(({ hidden }) => !hidden)) {
    const command = new Command(entry.name)
    ;(await entry.load()).define(command, COMMANDS)
    found.push([entry.name], ...command.commands.map((below) => [entry.name, below.name()]))
  }
  return found
}

/** What may be longer than the terminal is wide: a single word. */
function isWord(line: string): boolean {
  return /^\s*(\$ )?\S+( \\)?$/.test(line)
}

describe("on a terminal", () => {
  test.each([60, 80, 120])("of %d columns no line of any help is longer", async (columns) => {
    const all = await commands()
    expect(all.length).toBeGreaterThan(40)
    const long: string[] = []
    const look = async (words: readonly string[]) => {
      const { status, output } = await box.onTerminal([...words, "--help"], [], columns)
      expect(status).toBe(0)
      const lines = output.split(/\r?\n/)
      expect(lines[0]).toStartWith("Usage: ovm")
      long.push(...lines.filter((line) => [...line].length > columns && !isWord(line)))
    }
    while (all.length > 0) await Promise.all(all.splice(0, 4).map(look))
    expect(long).toEqual([])
  })

  test("of 60 columns a description has the right two thirds, below what is too long for the left one", async () => {
    const { output } = await box.onTerminal(["verify", "--help"], [], 60)
    expect(output.replaceAll("\r", "")).toContain(`
  --key <file>          public key; again for others, any
                        one of which will do
  --trusted-root <file>
                        Sigstore trusted root: who vouches
                        for certificates, logs and
                        timestamps
`)
  })

  test("a paragraph is filled: only its last line may be short", async () => {
    const { output } = await box.onTerminal(["discover", "--help"], [], 100)
    const [, paragraph = ""] = output.replaceAll("\r", "").split("\n\n")
    const lines = paragraph.split("\n")
    expect(lines.length).toBeGreaterThan(2)
    for (const [at, line] of lines.slice(0, -1).entries())
      expect(`${line} ${lines[at + 1]?.split(" ")[0]}`.length).toBeGreaterThan(100)
  })
})

test("for a pipe help is 80 columns wide", async () => {
  const piped = await box.ok(["verify", "--help"])
  const { output } = await box.onTerminal(["verify", "--help"], [], 80)
  expect(output.replaceAll("\r", "").replace(/\n$/, "")).toBe(piped)
})
