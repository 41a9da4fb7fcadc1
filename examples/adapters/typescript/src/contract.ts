// What the contract has (spec/runtimes/adapter.md, version 1), as far as this adapter looks at it.

export interface Layer {
  readonly path: string
  readonly format: "qcow2" | "raw"
}

export interface Disk {
  readonly layers: readonly Layer[]
  readonly size: number
  readonly overlay?: string
  readonly ephemeral?: boolean
  readonly name?: string
}

export interface Device {
  readonly type: string
  readonly name: string
  readonly required: boolean
  readonly mmioAddr?: string
}

export interface Plan {
  readonly directory: string
  readonly resources: { readonly vcpus: number; readonly memory: number }
  readonly kernel?: { readonly path: string; readonly args: string }
  readonly initrd?: { readonly path: string }
  readonly disk?: Disk
  readonly disks?: readonly Disk[]
  readonly volumes?: readonly { readonly path: string; readonly serial: string; readonly readOnly: boolean }[]
  readonly firstBoot?: { readonly path: string }
  readonly ignition?: { readonly path: string }
  readonly devices?: readonly Device[]
  readonly network?: {
    readonly mac: string
    readonly descriptor?: number
    readonly frames?: "stream" | "tap"
  }
  readonly agent?: boolean
  readonly accelerator?: string
  readonly generationId?: string
}

export interface Finding {
  readonly pointer: string
  readonly severity: "fatal" | "degraded"
  readonly reason: string
}

export interface Guest {
  readonly running: boolean
  readonly reason?: "request" | "disk-full" | "io-error"
  readonly message?: string
}

/** A line of the runtime's. Each verb has some of these. */
export interface Request {
  readonly id: number
  readonly verb: string
  readonly directory: string
  readonly plan: Plan
  readonly status?: number
}

/** An answer with a code of the closed list (spec/errors.md). */
export class Refused extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message)
  }
}

/** One line for the runtime. */
export function say(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}
