import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readFileSync, statSync } from "node:fs"
import { join, resolve } from "node:path"
import { readConsole } from "./console.ts"
import type { Machine, MachineRecord } from "./machine.ts"
import type { LaunchPlan } from "./plan.ts"
import type { Vmm } from "./vmm.ts"

export const MiB = 2 ** 20

/** Powers that a VMM may lack, and say so by `check`. */
export type Lack =
  | "power-off"
  | "panic"
  | "result"
  | "standstill"
  | "disks"
  | "linux"
  | "disks let go"
  | "kernel read by the guest"

export interface VmmUnderTest {
  /**
   * Module that exports a function from the cache folder to the Vmm, and that function's name: another process loads it
   * too.
   */
  readonly module: string
  readonly factory: string
  /** Why the VMM cannot run here; empty if it can. */
  readonly missing: string
  /** It runs no code of a guest: only the life of its machines is looked at. */
  readonly lifeOnly?: boolean
  /** What its guests cannot do or have, each with the reason, which is printed in place of the tests. */
  readonly lacks?: Partial<Record<Lack, string>>
  /** What the guest says when it is asked to power off; POWER-BUTTON unless given. */
  readonly asked?: string
  /** Exit status of a VMM that is ended in place of its guest; 0 unless given. */
  readonly quit?: number
  /** It has a Loader, and its machines the powers of Snapshotter. */
  readonly snapshots: boolean
  /** Of one with snapshots: what it says of the state of a disk for a machine that has none. */
  readonly strangeDisk?: string
  /** Of one with snapshots: what is said of a state that is cut off, doubled, or begins with another byte. */
  readonly damaged?: { readonly cut: string; readonly doubled: string; readonly begun: string }
}

/** What the parts of the suite share: a VMM, the bare-metal guest, and folders that are looked at in the end. */
export class Bench {
  readonly folders: string[] = []
  #vmm: Vmm | undefined
  #guest = ""
  #count = 0

  constructor(
    readonly root: string,
    readonly under: VmmUnderTest,
  ) {}

  async open(guest: string): Promise<void> {
    const { module, factory } = this.under
    const exported = (await import(module)) as Record<string, (folder: string) => Vmm>
    this.#vmm = exported[factory]?.(join(this.root, "cache"))
    this.#guest = guest
  }

  get vmm(): Vmm {
    if (!this.#vmm) throw new Error(`${this.under.module} exports no ${this.under.factory}`)
    return this.#vmm
  }

  /** The end of a test's name, and whether it is left out for want of `power`. */
  skips(power: Lack): { readonly skip: boolean; readonly note: string } {
    const reason = this.under.lacks?.[power]
    return { skip: reason !== undefined, note: reason === undefined ? "" : ` (skipped: ${reason})` }
  }

  /** A path that nobody has had before. */
  path(name: string): string {
    return join(this.root, `${this.#count++}-${name}`)
  }

  /** A plan for the bare-metal guest in a folder of its own. */
  planOf(args: string, more: Partial<LaunchPlan> = {}): LaunchPlan {
    const directory = more.directory ?? this.path("machine")
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    this.folders.push(directory)
    const kernel = { path: this.#guest, args }
    const resources = { vcpus: 1, memory: 64 * MiB }
    return { id: "test", resources, kernel, devices: [], consoleLimit: 64 << 10, ...more, directory }
  }

  /** Reads the console until `words` appear or the machine has ended; gives all that was read. */
  async until(machine: Machine, words = "\0never"): Promise<string> {
    const enough = new AbortController()
    const { directory } = machine.record
    const options = { follow: true, ended: machine.exited, signal: enough.signal }
    let text = ""
    for await (const bytes of readConsole(directory, options)) {
      text += Buffer.from(bytes).toString("latin1")
      if (text.includes(words)) enough.abort()
    }
    return text
  }

  /**
   * Runs `script` in another process, where `vmm` is the VMM; `tell(x)` ends it, by SIGKILL, and gives x to the caller.
   */
  async elsewhere(script: string): Promise<unknown> {
    const { module, factory } = this.under
    const [from, name, cache] = [module, factory, join(this.root, "cache")].map((one) => JSON.stringify(one))
    const code = `const vmm = (await import(${from}))[${name}](${cache})
      const tell = (told) => console.log(JSON.stringify(told))
      ${script}
      await new Promise(() => setInterval(() => {}, 1000))`
    const child = Bun.spawn([process.execPath, "-e", code], { stdout: "pipe", stderr: "inherit" })
    let text = ""
    for await (const bytes of child.stdout) {
      text += Buffer.from(bytes).toString()
      if (text.endsWith("\n")) break
    }
    child.kill("SIGKILL")
    await child.exited
    return JSON.parse(text)
  }

  /** Launches in another process, which is killed as soon as the machine runs. */
  async launchElsewhere(plan: LaunchPlan): Promise<MachineRecord> {
    const script = `tell((await vmm.launch(${JSON.stringify(plan)})).record)`
    return (await this.elsewhere(script)) as MachineRecord
  }
}

const LINUX = resolve(import.meta.dir, "../../../../.cache/machine")

/** The demo machine: Debian's kernel with two disk layers. */
export const linux = {
  note: existsSync(join(LINUX, "machine.json"))
    ? ""
    : "(skipped: .cache/machine is not there; make demo builds it)",
  memory: 256 * MiB,
  diskSize: 64 * MiB,
  kernel: {
    path: join(LINUX, "vmlinuz"),
    args: "console=ttyS0 root=/dev/vda rw quiet panic=-1 no_timer_check",
  },
  initrd: { path: join(LINUX, "initrd.img") },
  layers: ["base.qcow2", "diff1.qcow2"].map((file) => ({
    path: join(LINUX, file),
    format: "qcow2" as const,
  })),
}

export function hash(path: string): string {
  return createHash("sha256").update(readFileSync(path)).digest("hex")
}

/** Bytes of a file in the machine's folder if it is of the console. */
export function sizeOf(machine: Machine, file: string): number {
  return /^console\.\d+$/.test(file) ? statSync(join(machine.record.directory, file)).size : 0
}
