import { type ChildProcess, spawn } from "node:child_process"
import { mkdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import { type Summary, summary } from "./junit.ts"

// Files of tests run each in a process of its own, some at a time.

/** Real machines and processes, on a host that may be busy: what hangs is ended, what is slow is not a failure. */
const PATIENCE_MS = 480_000

/** How often it is asked whether there is something to spare: what was begun then shows by the next time. */
const LOOK_MS = 2000

/** What is run while those that are always run leave the host something to do. */
export interface Beside {
  /** So many files at a time at most. */
  readonly more: number
  /** Asked now and then: whether one more is worth it. */
  readonly spare: () => boolean
}

const NONE: Beside = { more: 0, spare: () => false }

export interface Outcome extends Summary {
  readonly file: string
  readonly status: number
  readonly seconds: number
  /** What the tests themselves said about why they skip. */
  readonly reasons: readonly string[]
  /** As bun counts them: files that could not be loaded are in no report. */
  readonly fails: number
}

export class Lanes {
  private readonly running = new Set<{ child: ChildProcess; text: string }>()
  private ended = false

  /** `root` is the folder of the run; each lane has its temporary files below. */
  constructor(
    private readonly cwd: string,
    private readonly root: string,
  ) {}

  /**
   * Runs `files`, `count` at a time: in this order, but one lane of several takes them from the end, so that those that
   * belong together, and take alike of the host, are not all there at once. As often as the host has something to
   * spare, one file of the `more` that there may be is run beside them. One at a time, their output comes as it is
   * written; otherwise that of each is shown whole when it has ended.
   */
  async run(files: readonly string[], count: number, { more, spare }: Beside = NONE): Promise<Outcome[]> {
    const rest = [...files]
    const last = Math.min(count, rest.length) - 1
    const outcomes: Outcome[] = []
    const lane = async (number: number, most: number) => {
      const tmp = join(this.root, `${number}`)
      await mkdir(tmp, { recursive: true })
      for (let left = most; left > 0 && !this.ended; left--) {
        const file = number > 0 && number === last ? rest.pop() : rest.shift()
        if (file === undefined) return
        outcomes.push(await this.one(file, tmp, count === 1))
      }
    }
    const free = Array.from({ length: more }, (_, further) => count + further)
    const beside: Promise<void>[] = []
    const timer = setInterval(() => {
      const number = spare() && rest.length > 0 ? free.pop() : undefined
      if (number !== undefined) beside.push(lane(number, 1).finally(() => free.push(number)))
    }, LOOK_MS)
    await Promise.all(Array.from({ length: last + 1 }, (_, number) => lane(number, files.length)))
    clearInterval(timer)
    await Promise.all(beside)
    return outcomes
  }

  /** Ends what runs, and shows what was kept of its output so far. No further file is begun. */
  end(): void {
    this.ended = true
    for (const { child, text } of this.running) {
      child.kill("SIGKILL")
      process.stdout.write(text)
    }
  }

  private async one(file: string, tmp: string, shown: boolean): Promise<Outcome> {
    const report = `${tmp}.xml`
    const began = performance.now()
    const reporter = ["--reporter=junit", `--reporter-outfile=${report}`]
    // With the dot it is this file, and none whose path has that in it.
    const path = file.startsWith(".") ? file : `./${file}`
    const child = spawn(process.execPath, ["test", ...reporter, `--timeout=${PATIENCE_MS}`, path], {
      cwd: this.cwd,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, TMPDIR: tmp },
    })
    const run = { child, text: "" }
    this.running.add(run)
    let text = ""
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (words: string) => {
        text += words
        if (shown) process.stdout.write(words)
        else run.text = text
      })
    const status = await new Promise<number>((resolve, reject) => {
      child.on("error", reject)
      child.on("close", (status) => resolve(status ?? 1))
    })
    this.running.delete(run)
    process.stdout.write(run.text)
    const found = summary(await readFile(report, "utf8").catch(() => ""))
    return { ...found, file, status, seconds: (performance.now() - began) / 1000, ...saidIn(text) }
  }
}

function saidIn(text: string): Pick<Outcome, "reasons" | "fails"> {
  const reasons = [...text.matchAll(/^(?:SKIP|skipped:) (.*)/gm)].map(([, reason = ""]) => reason)
  const fails = Number([...text.matchAll(/^ *(\d+) fail$/gm)].at(-1)?.[1] ?? 0)
  return { reasons, fails }
}
