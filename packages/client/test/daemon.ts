import { spawnSync } from "node:child_process"
import { mkdir, mkdtemp, rm, symlink } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { buildGuest } from "@ovms/testkit/guest.ts"
import { KERNEL, KERNEL_ARGS, machineMissing, NET } from "@ovms/testkit/machines.ts"

const PROGRAM = process.env.OVM_BIN ?? join(import.meta.dir, "../../../dist/ovm")

/** Why there is no Linux; empty if there is. */
export const linuxMissing = await machineMissing()
/** The name of an image with a Linux and an agent. */
export const LINUX = "linux:1"

/** The name of its image: a guest that ticks until it is stopped. */
export const IMAGE = "m:1"

/**
 * A real daemon with an image, in a folder of its own that is so deep that its socket's path is too long for the
 * kernel.
 */
export class Daemon implements AsyncDisposable {
  private constructor(
    readonly folder: string,
    readonly home: string,
  ) {}

  static async create(): Promise<Daemon> {
    const folder = await mkdtemp(join(tmpdir(), "ovm-client-"))
    const daemon = new Daemon(folder, join(folder, "deep".repeat(20), "deeper".repeat(10)))
    await mkdir(daemon.home, { recursive: true })
    await symlink(daemon.deepSocket, daemon.socket)
    const kernel = await buildGuest()
    const guest = ["--kernel", kernel, "--args", "console=ttyS0 tick_ms=20", "--memory", "32MiB"]
    daemon.ovm(["pack", ...guest, "-t", IMAGE], dirname(kernel))
    daemon.ovm(["daemon", "--detach"])
    return daemon
  }

  get deepSocket(): string {
    return join(this.home, "ovm.sock")
  }

  /** A link to `deepSocket` whose path fits into a socket address. */
  get socket(): string {
    return join(this.folder, "s")
  }

  /** Makes LINUX. */
  packLinux(): void {
    const files = ["--kernel", KERNEL, "--initrd", NET]
    const how = ["--args", KERNEL_ARGS, "--memory", "128MiB", "--agent"]
    this.ovm(["pack", ...files, ...how, "-t", LINUX])
  }

  /** Runs a command to its end, which must be a good one. */
  ovm(args: readonly string[], cwd = this.folder): string {
    const env = { PATH: process.env.PATH, HOME: this.folder, OVM_HOME: this.home }
    const { status, stdout, stderr, error } = spawnSync(PROGRAM, args, { cwd, env, encoding: "utf8" })
    if (error) throw new Error(`${PROGRAM}: make build`, { cause: error })
    if (status !== 0) throw new Error(`ovm ${args.join(" ")}: ${stderr}`)
    return stdout.trim()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ids = this.ovm(["ps", "--all", "--quiet"]).split("\n").filter(Boolean)
    for (const id of ids) this.ovm(["rm", "--force", id])
    this.ovm(["daemon", "--stop"])
    await rm(this.folder, { recursive: true, force: true })
  }
}
