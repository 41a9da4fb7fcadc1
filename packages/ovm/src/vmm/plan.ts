import type { Bounds } from "../host/cgroup-bounds.ts"
import type { PortForward } from "../network/forward.ts"
import type { AllowedNetwork } from "../network/rules.ts"

/** All paths absolute. Strings come from hostile manifests: an adapter never lets them become option syntax. */
export interface LaunchPlan {
  readonly id: string
  /**
   * The instance's own directory, mode 0700: sockets, console, pid and exit files go here, and the disk that the guest
   * writes to.
   */
  readonly directory: string
  readonly resources: { readonly vcpus: number; readonly memory: number /* bytes */ }
  /** What the VMM may take of the host with all it does; as much as there is unless given. */
  readonly bounds?: Bounds
  /** Of the guest, in the words of OCI; absent: amd64. */
  readonly architecture?: "arm64"
  /** Absent: it does not boot by UEFI. */
  readonly uefi?: UefiPlan
  /** A TPM 2.0 of its own. */
  readonly tpm?: TpmPlan
  /** Absent: boot from the disk, by BIOS unless by UEFI. */
  readonly kernel?: { readonly path: string; readonly args: string }
  readonly initrd?: { readonly path: string }
  readonly disk?: DiskPlan
  /** Further disks of the machine's own, in order. */
  readonly disks?: readonly FurtherDiskPlan[]
  readonly devices: readonly DevicePlan[]
  /** Disks that outlive the machine, in order. */
  readonly volumes?: readonly VolumePlan[]
  /** Folders of the host that the guest is to see; the paths are there. */
  readonly shares?: readonly SharePlan[]
  /** A raw disk beside the machine's own, which its guest may only read: what it is told at its first boot. */
  readonly firstBoot?: { readonly path: string; readonly size: number /* bytes */ }
  /**
   * A file that Ignition in the guest asks the VMM for, by the name that it knows (QEMU's fw_cfg). An adapter whose VMM
   * has no such way finds it fatal.
   */
  readonly ignition?: { readonly path: string }
  /** Absent: the machine has no network interface. */
  readonly network?: NetworkPlan
  /** True: the machine has the way to an agent inside its guest (spec/agent.md). */
  readonly agent?: boolean
  /** Bound on the kept console output, in bytes. */
  readonly consoleLimit: number
  /** Of a machine that goes on in the folder where it was: behind what is kept of its console already. */
  readonly consoleGoesOn?: boolean
  /** Absent: the fastest that works here. */
  readonly accelerator?: string
  /** VM generation ID, a UUID in lower case; a new random one unless given. */
  readonly generationId?: string
}

/** Firmware of the host, with variables of the machine's own. */
export interface UefiPlan {
  /** A file in the machine's directory that has them: the adapter makes it where it is not there. */
  readonly variables: string
  /** Start nothing but what is signed by a key that the variables name, and keep those from the guest. */
  readonly secureBoot?: true
  /** What they are at first, bytes of a flash; the host's template unless given. */
  readonly initial?: { readonly path: string; readonly size: number }
}

export interface TpmPlan {
  /** A folder in the machine's directory, which is the TPM's alone: made where it is not there. */
  readonly state: string
}

/** A raw file that the guest sees as a disk; its flushes reach the host's disk. */
export interface VolumePlan {
  readonly path: string
  /** By which the guest knows it: at most 20 characters. */
  readonly serial: string
  readonly readOnly: boolean
}

/** A folder of the host, by 9P2000.L over virtio. */
export interface SharePlan {
  /** Of the share of the image that it was given for. */
  readonly name?: string
  readonly source: string
  /** Where its agent is to mount it. */
  readonly target: string
  /** By which the guest knows it. */
  readonly tag: string
  readonly readOnly: boolean
}

export interface DiskPlan {
  /** From base to top, never written to; none of a disk that is empty at first. */
  readonly layers: readonly DiskLayer[]
  /** What the guest sees, in bytes. */
  readonly size: number
  /**
   * The adapter makes what the guest's writes go to, in the machine's directory, and says it (MachineRecord.overlay).
   */
  readonly writable: boolean
  /**
   * True: nobody needs what is written once the machine has ended, so that the guest's flushes need not reach the
   * host's disk. Otherwise what a guest has flushed outlives a crash of the host.
   */
  readonly ephemeral?: boolean
  /** What the guest wrote to in an earlier life of the machine, and goes on writing to; made anew unless given. */
  readonly overlay?: string
}

/** A disk beside the first. */
export interface FurtherDiskPlan extends Pick<DiskPlan, "layers" | "size" | "ephemeral"> {
  /** By which the guest knows it, as its serial number: a lower-case letter and up to 19 of those, digits, hyphens. */
  readonly name: string
  /**
   * A file in the machine's directory that what the guest writes goes to: the adapter makes it where it is not there,
   * and goes on with it where it is. Absent: the guest can only read the disk.
   */
  readonly overlay?: string
}

/** A file, or what somebody serves at a Unix socket by the NBD protocol. */
export type DiskLayer = DiskFile | ServedDisk

export interface DiskFile {
  readonly path: string
  readonly format: "qcow2" | "raw"
}

export interface ServedDisk {
  readonly socket: string
  /** The name of the NBD export. */
  readonly export: string
  /** Of the bytes that are served. */
  readonly format: "qcow2" | "raw"
}

/** The one network interface of a machine. */
export interface NetworkPlan {
  /**
   * `user`: a network of its own, without rights of the host. `none`: nothing, as of a cable that hangs loose.
   * `bridge`: one of the host's, with others.
   */
  readonly mode: "user" | "none" | "bridge"
  /** In lower case with colons. Of a machine that is resumed it is the one that its guest knows. */
  readonly mac: string
  /** The host's ports that lead into the guest, all of which could be opened a moment ago. */
  readonly forwards: readonly PortForward[]
  /** Whether the guest may connect to anything but the host's ports. */
  readonly outbound: boolean
  /** What it may connect to then, in the words of the start; absent: whatever is public. */
  readonly allow?: readonly string[]
  /** The networks that this stands for just now. */
  readonly allowed?: readonly AllowedNetwork[]
  /** Of the mode `bridge`: the network, the host's interface of it, and the guest's addresses there. */
  readonly bridge?: {
    readonly name: string
    readonly interface: string
    readonly address: string
    /** Absent in a network without IPv6. */
    readonly address6?: string
  }
}

export interface DevicePlan {
  readonly type: string
  readonly name: string
  /** Bytes. */
  readonly size?: number
  /** As in the manifest: hexadecimal. */
  readonly mmioAddr?: string
  readonly required: boolean
}

/**
 * `disk.layers` are the base's and then the snapshot's overlays. Kernel and initrd are there if, and only if, the guest
 * may still read them (SnapshotParts.boot): else they are in RAM, and cost neither time nor memory.
 */
export interface ResumePlan extends LaunchPlan {
  readonly origin: SnapshotOrigin
  /** Lock all memory of the VMM: the guest's is then its own alone. */
  readonly lockMemory?: boolean
}

/** Where a snapshot came from, and what there is of it. */
export interface SnapshotOrigin {
  readonly vmm: string
  readonly version: string
  readonly accelerator: string
  readonly model: GuestModel
  /** The disk that the guest saw, in bytes; absent without a disk. */
  readonly diskSize?: number
  readonly ram: RamSource
  /** File of the device state. */
  readonly state: string
}

/**
 * Guest RAM as it was, `GuestModel.memory` bytes: a sparse file that every clone maps copy on write, or pages that
 * somebody serves.
 */
export type RamSource = RamFile | ServedRam

export interface RamFile {
  readonly path: string
}

export interface ServedRam {
  /** Unix socket, in the VMM's own protocol. */
  readonly socket: string
}

/** What a guest sees of its machine: fixed at its cold boot, the same through all its snapshots and resumes. */
export interface GuestModel {
  /** How RAM and state of a snapshot are written, such as `qemu-split-1`. */
  readonly format: string
  /** The versioned machine type, such as `pc-q35-7.2`. */
  readonly machineType: string
  /** The CPU model that the guest gets, in the VMM's words. */
  readonly cpu: string
  readonly vcpus: number
  /** Bytes. */
  readonly memory: number
  /** Every device in order, in the VMM's words. */
  readonly devices: readonly string[]
}

export interface Unsupported {
  /** JSON pointer into the OVMS manifest, or the override's name. */
  readonly pointer: string
  /** fatal: the machine is not started. degraded: it is, with a warning. */
  readonly severity: "fatal" | "degraded"
  readonly reason: string
}
