import { type ChildProcess, spawn } from "node:child_process"
import { mkdir, writeFile } from "node:fs/promises"
import { constants } from "node:os"
import { join } from "node:path"
import { Duplex } from "node:stream"
import { GUEST_MEMORY, guestKernel } from "../../artifact/guest.ts"
import { type CheckCall, must, skip } from "../../check.ts"
import type { Session } from "../../subject/adapter.ts"
import { within } from "../../subject/within.ts"

const END_MS = 30_000
const LAST_WORDS_MS = 1000

/** What a file may be called that is no syntax of a command line's, nor ASCII. */
export const strange = (name: string) => `-${name},x=y "z" \u00fc`

/** No socket may be connected to by so long a path. */
const MACHINE = strange("machine".padEnd(120, "."))

/** The plan of a machine with the suite's guest, in a new folder; what its kernel is called looks like options. */
export async function planOf({ folder }: CheckCall, args: string, more: object = {}) {
  const directory = join(folder, MACHINE)
  await mkdir(directory, { mode: 0o700 })
  const kernel = join(folder, strange("kernel"))
  await writeFile(kernel, guestKernel())
  return {
    id: "6f1d2c3b-4a59-4687-9a0b-c1d2e3f40516",
    directory,
    resources: { vcpus: 1, memory: GUEST_MEMORY },
    kernel: { path: kernel, args: `console=ttyS0 tick_ms=100 ${args}`.trim() },
    disks: [],
    devices: [],
    volumes: [],
    ...more,
  }
}

/** Skips what the adapter finds that its VMM cannot honour, and says so (OVMS-ADP-031). */
export async function honoured(session: Session, plan: object, members: readonly string[]): Promise<void> {
  const { findings } = await session.ask("check", { plan })
  for (const { pointer, reason } of Array.isArray(findings) ? findings : [])
    if (members.some((member) => String(pointer).includes(member))) skip(`its VMM cannot: ${reason}`)
}

type LaunchPlan = Omit<Awaited<ReturnType<typeof planOf>>, "kernel"> & {
  readonly disk?: object
  readonly agent?: boolean
  readonly network?: { readonly descriptor?: number }
}

/** What `ended` is asked about, as far as it is known. */
interface Ended {
  readonly directory: string
  readonly own: unknown
  readonly status?: number
  readonly signal?: number
}

/** The descriptor that carries its frames, and those before it. */
const FRAMES = ["ignore", "ignore", "ignore", "pipe"] as const

/** A VMM that runs by the command line of an adapter, as a runtime would run it. */
export class Vmm {
  console = ""
  #end: { readonly status: number } | { readonly signal: number } | undefined

  private constructor(
    readonly child: ChildProcess,
    readonly plan: LaunchPlan,
    readonly own: unknown,
    private readonly signal: AbortSignal,
  ) {
    child.stdout?.setEncoding("latin1").on("data", (text: string) => {
      this.console += text
    })
    child.stderr?.resume()
    // Whoever ends early breaks what is written to it.
    for (const stream of child.stdio) stream?.on("error", () => {})
    child.on("error", () => {
      this.#end = { status: 127 }
    })
    child.on("exit", (code, signal) => {
      this.#end = signal ? { signal: constants.signals[signal] } : { status: code ?? 0 }
    })
  }

  /** What carries the frames of its network, which is a stream of them. */
  get frames(): Duplex {
    const stream = this.child.stdio[6 as 3] as unknown
    if (!(stream instanceof Duplex)) throw new Error("the plan has no descriptor for frames")
    return stream
  }

  /** What a verb about it has. */
  get members() {
    return { directory: this.plan.directory, own: this.own }
  }

  /** Prepares the machine and runs the command line; `use` sees it before it is started. All is gone afterwards. */
  static async run(
    session: Session,
    plan: LaunchPlan,
    call: CheckCall,
    use: (vmm: Vmm) => Promise<void>,
  ): Promise<void> {
    const { argv, own, agent } = await session.ask("prepare", { plan })
    must(plan.agent || agent === undefined, `agent is ${agent}, and the machine has no way to one`)
    must(Array.isArray(argv) && argv.every((word) => typeof word === "string"), "argv is no list of texts")
    const [program = "", ...words] = argv as string[]
    must(program.startsWith("/"), `the command line begins with ${program}, which is no absolute path`)
    const child = spawn(program, words, {
      cwd: plan.directory,
      env: { PATH: process.env.PATH },
      stdio: ["pipe", "pipe", "pipe", ...(plan.network?.descriptor === 6 ? FRAMES : [])],
    })
    const vmm = new Vmm(child, plan, own, call.signal)
    try {
      await use(vmm)
    } finally {
      child.kill("SIGKILL")
      await within(
        END_MS,
        AbortSignal.timeout(END_MS),
        "the end of a killed VMM",
        () => vmm.#end !== undefined,
      )
    }
  }

  async says(words: RegExp): Promise<void> {
    await within(END_MS, this.signal, `${words} on the console`, async () => {
      if (words.test(this.console)) return true
      if (this.#end === undefined) return false
      // What it said last may still be on its way.
      await new Promise((resolve) => setTimeout(resolve, LAST_WORDS_MS))
      must(words.test(this.console), `the VMM has ended before ${words} was on the console`)
      return true
    })
  }

  /** Its end, as `ended` is told of it. */
  async end(): Promise<Ended> {
    await within(END_MS, this.signal, "the end of the VMM", () => this.#end !== undefined)
    return { ...this.members, ...this.#end }
  }
}

/** Has the guest of a new machine run, and `use` it. */
export async function booted(
  session: Session,
  call: CheckCall,
  args: string,
  use: (vmm: Vmm) => Promise<void>,
): Promise<void> {
  await Vmm.run(session, await planOf(call, args), call, async (vmm) => {
    await session.ask("start", vmm.members)
    await vmm.says(/GUEST-READY/)
    await use(vmm)
  })
}
