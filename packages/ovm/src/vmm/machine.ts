import type { Duplex } from "node:stream"
import type { Call } from "../content/interfaces.ts"
import type { PortForward } from "../network/forward.ts"
import type { GuestModel } from "./plan.ts"
import type { Snapshotter } from "./snapshot.ts"

/** All that is needed to find the machine again after this process died; kept on disk as JSON. */
export interface MachineRecord {
  readonly vmm: string
  readonly version: string
  readonly accelerator: string
  readonly directory: string
  readonly bootId: string
  readonly pid: number
  /** Start time of the process in clock ticks since boot (proc(5), field 22): a pid alone may be someone else's. */
  readonly startTime: number
  /** Where the pid counts, by number; absent in records of earlier versions. */
  readonly pidNamespace?: string
  /** Absent in records of versions without snapshots. */
  readonly model?: GuestModel
  /** The VM generation ID that the guest has, a UUID. */
  readonly generationId?: string
  /** The file that the guest's writes go to at first, in `directory`; absent if it cannot write. */
  readonly overlay?: string
  /** Those of the manifest's devices that it has, in that order; absent in records of earlier versions. */
  readonly devices?: readonly MachineDevice[]
  /** Who serves shares by virtiofs, each its own; absent where nobody does. */
  readonly shareServers?: readonly ShareServer[]
  /** Why a share that could be served so is not. */
  readonly shareFailure?: string
  /** What the adapter has to know besides, as JSON; nobody else looks at it. */
  readonly own?: Readonly<Record<string, unknown>>
}

/** A process that serves one share of a machine. */
export interface ShareServer {
  /** The share's, by which the guest knows it. */
  readonly tag: string
  readonly directory: string
  readonly bootId: string
  readonly pid: number
  readonly startTime: number
  readonly pidNamespace?: string
}

/** A device that a machine has beside disks, network and agent (spec/devices.md). */
export interface MachineDevice {
  readonly type: string
  readonly name: string
  /** Bytes. */
  readonly size?: number
  /** What the host has of it, a file or a socket in the machine's directory. */
  readonly file?: string
}

export interface Machine extends Partial<Snapshotter> {
  readonly record: MachineRecord
  /** Milliseconds that launching took, by phase. */
  readonly timings: { readonly spawn: number; readonly load: number; readonly resume?: number }
  /** Settles when the VMM's process has ended; never rejects. After `detach` it does not settle any more. */
  readonly exited: Promise<Exit>
  /** Its process had gone when it was adopted: all that is to come of it is how it ended. */
  readonly ended?: true
  /** Settles when the VMM cannot be given commands any more, be it because it ends; absent if that cannot be told. */
  readonly cut?: Promise<void>
  /** Settles when what carries its network has ended though it should not have; absent if that cannot be told. */
  readonly unlinked?: Promise<void>
  /** What the VMM's process takes of the host; undefined once it has ended. */
  usage(): Promise<Usage | undefined>
  /**
   * The way to an agent inside the guest, which one at a time may have; undefined if it cannot be reached just now.
   * Absent for a machine without.
   */
  readonly agent?: (() => Promise<Duplex | undefined>) | undefined
  /** The same to QEMU's guest agent, which a guest may have in its place. */
  readonly guestAgent?: (() => Promise<Duplex | undefined>) | undefined
  /**
   * Calls `listener`, the last one given, when the program at the guest's end of one of these has let go of it, as by
   * its end; absent where nobody is told.
   */
  onAgentGone?(listener: (way: AgentWay) => void): void
  /**
   * Calls `listener`, the last one given, when the VMM ends all streams to the agent, whose guest stands still and
   * hears of it as soon as it goes on; absent where they outlive whatever is done with the machine.
   */
  onAgentCut?(listener: () => void): void
  /**
   * Plugs in the network of a guest that has gone on from a snapshot and has the way to an agent: until then it has no
   * link. Throws what kept it from being carried, OVM_VMM_FAILED.
   */
  linkUp?(): Promise<void>
  /** What opens and closes ports of the host that lead into it; absent where only a start can. */
  readonly ports?: OpenPorts | undefined
  /** What the guest does, whoever had it do that, as far as the VMM has told. */
  readonly guest: Guest
  /** Calls `listener`, the last one given, whenever `guest` has changed. */
  onGuest(listener: () => void): void
  /**
   * Tries at once what is tried again and again behind the scenes: to have a guest go on after a snapshot that failed.
   */
  settle?(): Promise<void>
  pause(): Promise<void>
  /**
   * Lets the guest go on. Throws OVM_NO_SPACE or OVM_VMM_FAILED if it stands still again at once, for want of its disk.
   */
  resume(): Promise<void>
  /**
   * Asks the guest to power off, after `graceMs` ends the VMM, then kills it. Says which of them it took. `forgotten`:
   * of what it has written nobody needs anything. `told`: its guest's agent has been asked already.
   */
  stop(options?: StopOptions): Promise<StopMethod>
  /** Forget the machine, leave it running. */
  detach(): void
}

/** The member of Machine that leads to it. */
export type AgentWay = "agent" | "guestAgent"

/** The ports of the host that lead into a machine that runs, and only into it. */
export interface OpenPorts {
  /** What there is now, whoever has opened it; undefined where nobody can say any more. */
  list(): Promise<PortsFound | undefined>
  /** Throws OVM_PORT_IN_USE, OVM_UNSUPPORTED for an address that none can be open on: then it is not open. */
  open(forward: PortForward): Promise<void>
  /**
   * Whether the host has it still, for this machine alone, until that ends. Connections by it may live on. Throws
   * OVM_VMM_FAILED where it is still open, OVM_UNSUPPORTED for one that cannot be closed by itself.
   */
  close(forward: PortForward): Promise<{ readonly held: boolean }>
  /**
   * From when it returns until `over` settles none has closed by itself; absent where none does, and undefined where
   * nobody can say any more. `signal` gives it up.
   */
  changed?(signal: AbortSignal): Promise<{ readonly over: Promise<void> } | undefined>
}

/** Ports of a machine that runs. */
export interface PortsFound {
  readonly open: readonly PortForward[]
  /** Closed, and the host has them still: `open` takes them up again. */
  readonly held: readonly PortForward[]
  /** Whether one of the open ones may close by itself. */
  readonly fragile: boolean
}

export interface Usage {
  /** Resident memory in bytes. */
  readonly rss: number
  /** In ms. */
  readonly cpuTime: number
  /** Bytes from and to the host's disks since it began; absent where nobody counts them. */
  readonly diskRead?: number
  readonly diskWritten?: number
}

export interface Guest {
  readonly running: boolean
  /**
   * Why it does not run: it was told to stop, the host could not do what it asked of its disk, for want of room or
   * otherwise, or it has not gone on yet after a snapshot.
   */
  readonly reason?: "request" | "disk-full" | "io-error" | "snapshot"
  /** What the host said to that. */
  readonly message?: string
}

export interface StopOptions extends Call {
  readonly graceMs?: number
  readonly forgotten?: boolean
  readonly told?: boolean
}

export type StopMethod = "guest" | "ended" | "killed" | "already"

export interface Exit {
  /**
   * Exit status of the VMM, or 128 + signal; undefined if nobody could learn it (host restarted, killed with its
   * keeper). Of a `result` what the guest handed back, 1 to 127.
   */
  readonly status?: number
  /**
   * What the guest or operator did, as far as the VMM told: "guest-shutdown", "guest-reset", "guest-panic",
   * "result", "quit", "signal"; "internal-error" if the VMM could not go on itself. If nobody was there to be told and
   * the VMM left no word of it: "ended" (status 0) or "failed"; "lost" if there is not even a status.
   */
  readonly reason: string
  /** The last words of the VMM on standard error, bounded. */
  readonly message?: string
}
