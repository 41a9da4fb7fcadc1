import { spawn } from "node:child_process"
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { copyChecked } from "@ovms/testkit/checked.ts"

export const SHIPPED = join(import.meta.dir, "../dist/ovm-keeper")
const SOURCES = join(import.meta.dir, "../src")

interface Options {
  readonly program?: string
  readonly segment?: number
  /** Where in the whole stream the segment begins that is written to first. */
  readonly start?: number
  /** Files that are there before. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>
  readonly words?: number
  /** As of bash(1)'s ulimit. */
  readonly limit?: string
  /** The control group for the VMM. */
  readonly group?: string
}

/** A keeper that was started, and how it ends. */
export type Started = ReturnType<Workshop["start"]>

/** A folder with the program, compiled with sanitizers, and those that were started of it. */
export class Workshop implements Disposable {
  readonly root = mkdtempSync(join(tmpdir(), "ovm-keeper-"))
  readonly #checked = join(this.root, "checked")

  constructor() {
    copyChecked(SOURCES, this.#checked)
  }

  /** Starts it as ovm does; `request` in place of what `argv` asks for. */
  start(argv: readonly string[], options: Options = {}, request?: Uint8Array) {
    const {
      program = this.#checked,
      segment = 1000,
      start = 0,
      words = 65_536,
      limit,
      group = "",
      files = {},
    } = options
    const directory = mkdtempSync(join(this.root, "machine-"))
    for (const [name, content] of Object.entries(files)) writeFileSync(join(directory, name), content)
    const texts = [segment, start, words, "4026531836", "", 0, group, ...argv].map((text) => `${text}\0`)
    writeFileSync(join(directory, "request"), request ?? texts.join(""))
    const fds = ["request", "program", "held"].map((name) => openSync(join(directory, name), "a+"))
    const [command, args] = limit ? ["sh", ["-c", `ulimit ${limit}; exec ${program}`]] : [program, []]
    const child = spawn(command, args, {
      argv0: limit ? "sh" : "ovm-keeper",
      cwd: directory,
      detached: true,
      stdio: ["ignore", "ignore", "pipe", ...fds],
    })
    for (const fd of fds) closeSync(fd)
    let said = ""
    child.stderr?.on("data", (bytes) => {
      said += bytes
    })
    const ended = new Promise<{ code: number | null; said: string }>((resolve) =>
      child.once("close", (code) => resolve({ code, said })),
    )
    const { pid = 0 } = child
    return {
      directory,
      pid,
      ended,
      text: (name: string) => readFileSync(join(directory, name), "utf8"),
      /** With all below it. */
      kill: async () => {
        process.kill(-pid, "SIGKILL")
        await ended
      },
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true })
  }
}

/** What is kept of the console, and where it begins. */
export function keptConsole(directory: string): { start: number; bytes: Buffer; sizes: number[] } {
  const starts = readdirSync(directory)
    .filter((name) => /^console\.\d+$/.test(name))
    .map((name) => Number(name.slice("console.".length)))
    .sort((a, b) => a - b)
  const parts = starts.map((start) => readFileSync(join(directory, `console.${start}`)))
  return { start: starts[0] ?? 0, bytes: Buffer.concat(parts), sizes: parts.map(({ length }) => length) }
}
