import { expect } from "bun:test"
import { type ChildProcess, spawn } from "node:child_process"
import { statSync } from "node:fs"
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import type { Readable } from "node:stream"
import { fileURLToPath } from "node:url"
import table from "@ovms/spec/errors.json" with { type: "json" }
import { until } from "@ovms/testkit/until.ts"
import type { ErrorCode } from "../src/errors.ts"

const MAIN = fileURLToPath(new URL("../src/cli/main.ts", import.meta.url))
/** The compiled program where OVM_BIN names it, else the same from its source. */
export const PROGRAM = process.env.OVM_BIN ? [process.env.OVM_BIN] : [process.execPath, MAIN]
/** A command that takes longer is killed, and its test fails; ms. */
const PATIENCE = 300_000

export interface Result {
  /** 128 + signal if it was killed. */
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

export interface CommandOptions {
  readonly cwd?: string
  readonly env?: Record<string, string>
  readonly input?: string
  /** Leaves standard input to the caller. */
  readonly piped?: true
}

/** `ovm` with a root, a home directory and credentials of its own. Disposing of it ends its machines and its daemon. */
export class Sandbox implements AsyncDisposable {
  private constructor(
    readonly directory: string,
    private readonly inside: readonly string[],
  ) {}

  /** `inside`: the words before each of its commands, as of `nsenter`: the daemons that they start are there, too. */
  static async create(inside: readonly string[] = []): Promise<Sandbox> {
    return new Sandbox(await mkdtemp(join(tmpdir(), "ovm-test-")), inside)
  }

  get home(): string {
    return join(this.directory, "home")
  }

  /** A path in the sandbox, outside of ovm's own root. */
  path(name: string): string {
    return join(this.directory, name)
  }

  /** Writes a file into the sandbox; an object as JSON. */
  async file(name: string, content: string | Uint8Array | object): Promise<string> {
    const raw = typeof content === "string" || content instanceof Uint8Array
    await writeFile(this.path(name), raw ? content : JSON.stringify(content))
    return this.path(name)
  }

  /** Runs one command to its end. */
  async ovm(args: readonly string[], options: CommandOptions = {}): Promise<Result> {
    return finished(this.begin(args, options))
  }

  /**
   * Runs one command to its end; the test fails unless it succeeds. Returns standard output without its last newline.
   */
  async ok(args: readonly string[], options: CommandOptions = {}): Promise<string> {
    const result = await this.ovm(args, options)
    expectSuccess(result, ["ovm", ...args])
    return result.stdout.replace(/\n$/, "")
  }

  // biome-ignore lint/suspicious/noExplicitAny: the test says what it expects
  async json(args: readonly string[], options: CommandOptions = {}): Promise<any> {
    return JSON.parse(await this.ok([...args, "--json"], options))
  }

  /** What `ovm ps` lists. */
  // biome-ignore lint/suspicious/noExplicitAny: the test says what it expects
  async instances(...args: readonly string[]): Promise<any[]> {
    return (await this.json(["ps", ...args])).instances
  }

  /**
   * Runs a command that must fail with `code`: said on standard error, with every culprit, the status of the table, no
   * trace.
   */
  async fails(
    args: readonly string[],
    code: ErrorCode,
    culprits: readonly string[],
    options: CommandOptions = {},
  ): Promise<Result> {
    const result = await this.ovm(args, options)
    expectFailure(result, code, culprits)
    return result
  }

  /** Runs a script in bash, with the program as the function `ovm`. */
  async shell(script: string): Promise<Result> {
    const ovm = PROGRAM.map((word) => `'${word}'`).join(" ")
    const options = { cwd: this.directory, env: this.environment() }
    return finished(spawn("bash", ["-c", `ovm() { ${ovm} "$@"; }; ${script}`], options))
  }

  /** Runs one command on a terminal and types an answer each time that its prompt comes. */
  async onTerminal(
    args: readonly string[],
    dialogue: readonly (readonly [prompt: string, answer: string])[] = [],
    columns = 120,
  ): Promise<{ status: number; output: string }> {
    const rest = [...dialogue]
    let output = ""
    let unanswered = ""
    await using terminal = new Bun.Terminal({
      cols: columns,
      rows: 40,
      data(self, bytes) {
        output += Buffer.from(bytes).toString()
        unanswered += Buffer.from(bytes).toString()
        const [prompt, answer] = rest[0] ?? []
        if (prompt === undefined || !unanswered.includes(prompt)) return
        rest.shift()
        unanswered = ""
        self.write(`${answer}\r`)
      },
    })
    const child = Bun.spawn([...PROGRAM, ...args], {
      cwd: this.directory,
      env: this.environment(),
      terminal,
    })
    const timer = setTimeout(() => child.kill("SIGKILL"), PATIENCE)
    const status = await child.exited
    clearTimeout(timer)
    // What it wrote last is in the terminal by now, and read as soon as a busy machine gets to it.
    const deadline = performance.now() + 2000
    for (let seen = -1; performance.now() < deadline && (output === "" || output.length !== seen); ) {
      seen = output.length
      await Bun.sleep(100)
    }
    return { status, output }
  }

  /** Starts a command that goes on. */
  begin(args: readonly string[], options: CommandOptions = {}): ChildProcess {
    const [file = "", ...first] = [...this.inside, ...PROGRAM]
    const child = spawn(file, [...first, ...args], {
      cwd: options.cwd ?? this.directory,
      env: this.environment(options.env),
    })
    child.stdin?.on("error", () => {})
    if (!options.piped) child.stdin?.end(options.input ?? "")
    return child
  }

  /** What its commands run with, and `more`. */
  environment(more: Record<string, string> = {}): Record<string, string | undefined> {
    return {
      PATH: process.env.PATH,
      HOME: this.directory,
      DOCKER_CONFIG: this.path("docker"),
      OVM_HOME: this.home,
      ...more,
    }
  }

  /** The console of an instance, as soon as it has `words` on it: what comes behind them may be there in part. */
  async console(id: string, words: string | RegExp): Promise<string> {
    return await until(`${words} on the console of ${id}`, () => this.ok(["logs", id]), {
      is: (text) => (typeof words === "string" ? text.includes(words) : words.test(text)),
    })
  }

  /** Names of what lies in the store's blob folder. */
  async blobs(): Promise<string[]> {
    return (await readdir(join(this.home, "store/blobs/sha256")).catch(() => [])).sort()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      const { stdout } = await this.ovm(["ps", "--all", "--quiet"])
      for (const id of stdout.split("\n").filter(Boolean)) await this.ovm(["rm", "--force", id])
      await this.ovm(["daemon", "--stop"])
    } finally {
      await killDaemons(join(this.home, "daemon.log"))
      await rm(this.directory, { recursive: true, force: true })
    }
  }
}

/** What `child` wrote and how it ended. One that does not end within `patienceMs` is killed. */
export async function finished(child: ChildProcess, patienceMs = PATIENCE): Promise<Result> {
  const timer = setTimeout(() => child.kill("SIGKILL"), patienceMs)
  try {
    const [stdout, stderr, status] = await Promise.all([
      textOf(child.stdout),
      textOf(child.stderr),
      ending(child),
    ])
    return { status, stdout, stderr }
  } finally {
    clearTimeout(timer)
  }
}

/**
 * All that the stream says. By its events: of a stream that is read by an iterator as well, a listener misses words now
 * and then, and a test that waits for a command's first ones has both.
 */
function textOf(stream: Readable | null): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = []
    if (stream === null) return resolve("")
    stream.on("data", (chunk) => chunks.push(chunk))
    stream.once("error", reject)
    stream.once("close", () => resolve(Buffer.concat(chunks).toString()))
  })
}

function ending(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.on("error", reject)
    child.on("exit", (code, signal) => resolve(code ?? (signal === "SIGKILL" ? 137 : 143)))
  })
}

/** Fails with what the command said unless it succeeded. */
export function expectSuccess({ status, stdout, stderr }: Result, command: readonly string[]): void {
  expect(status, `${command.join(" ")} ended with status ${status}: ${stdout}${stderr}`).toBe(0)
}

export function expectFailure(result: Result, code: ErrorCode, culprits: readonly string[]): void {
  const { status, stderr } = result
  expect({ status, stderr }).toEqual({
    status: table.codes[code].exit,
    // With --json the second.
    stderr: expect.stringMatching(new RegExp(`^error: ${code}: |^\\{"errors":\\[\\{"code":"${code}"`, "m")),
  })
  for (const culprit of culprits) expect(stderr).toContain(culprit)
  expect(stderr).not.toMatch(/^\s+at .*:\d+/m)
}

/** For a daemon that no longer answers: its own log has its pid. */
async function killDaemons(log: string): Promise<void> {
  // A test may have put something in its place that never ends.
  const text = statSync(log, { throwIfNoEntry: false })?.isFile()
    ? await readFile(log, "utf8").catch(() => "")
    : ""
  for (const [, pid] of text.matchAll(/"event":"listening".*?"pid":(\d+)/g)) {
    const command = await readFile(`/proc/${pid}/environ`, "utf8").catch(() => "")
    if (command.split("\0").includes(`OVM_HOME=${dirname(log)}`)) process.kill(Number(pid), "SIGKILL")
  }
}
