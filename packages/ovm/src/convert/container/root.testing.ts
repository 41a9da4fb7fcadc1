import { spawnSync } from "node:child_process"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { configOf, digestOf, type LayerEntry, layerOf } from "@ovms/testkit/container.ts"
import type { ErrorCode } from "../../errors.ts"
import { OvmError } from "../../errors.ts"
import { Workplace } from "../workplace.ts"
import { readConfig } from "./config.ts"
import type { ContainerImage } from "./image.ts"
import { takeRoot } from "./root.ts"

const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` }

export const missing = ["qemu-img", "e2fsck", "debugfs"].find((name) => !Bun.which(name, { PATH: env.PATH }))

/** An image of layers that are in memory. */
export function imageOf(layers: readonly (readonly LayerEntry[])[], config: object = {}): ContainerImage {
  return imageOfTars(layers.map(layerOf), config)
}

export function imageOfTars(tars: readonly Buffer[], config: object = {}): ContainerImage {
  const bytes = configOf(
    tars.map((tar) => ({ tar })),
    config,
  )
  return {
    what: "image",
    digest: digestOf(bytes),
    config: readConfig(bytes, "image"),
    layers: tars.map((tar) => ({
      digest: digestOf(tar),
      open: async () =>
        (async function* () {
          // Pieces that begin and end anywhere.
          for (let at = 0; at < tar.length; at += 70_001) yield tar.subarray(at, at + 70_001)
        })(),
    })),
  }
}

/** A root file system that e2fsck finds nothing in, to be looked at by debugfs. */
export class MadeRoot implements AsyncDisposable {
  private constructor(
    private readonly folder: string,
    private readonly raw: string,
    readonly remarks: readonly string[],
    /** Of the qcow2. */
    readonly digest: string,
  ) {}

  static async of(
    image: ContainerImage,
    options: Partial<Parameters<typeof takeRoot>[2]> = {},
  ): Promise<MadeRoot> {
    const folder = await mkdtemp(join(tmpdir(), "ovm-root-"))
    using place = await Workplace.open(join(folder, "importing"))
    const program = Buffer.from("the first program")
    const { path, remarks } = await takeRoot(image, place, { program, bytes: 1, ...options })
    const raw = join(folder, "raw")
    const digest = digestOf(new Uint8Array(await Bun.file(path).arrayBuffer()))
    run("qemu-img", ["check", "-q", path])
    run("qemu-img", ["convert", "-O", "raw", path, raw])
    run("e2fsck", ["-fn", raw])
    return new MadeRoot(folder, raw, remarks, digest)
  }

  /** What debugfs answers to one request. */
  ask(request: string): string {
    return run("debugfs", ["-R", request, this.raw])
  }

  /** Names, each with inode, mode with type, owner and group, of a folder. */
  list(
    path: string,
  ): Record<string, { inode: number; mode: string; uid: number; gid: number; size: string }> {
    const lines = this.ask(`ls -p ${path}`).split("\n").filter(Boolean)
    const rows = lines.map((line) => line.split("/").slice(1))
    return Object.fromEntries(
      rows
        .filter(([, , , , name = ""]) => name !== "." && name !== "..")
        .map(([inode, mode = "", uid, gid, name = "", size = ""]) => [
          name,
          { inode: Number(inode), mode, uid: Number(uid), gid: Number(gid), size },
        ]),
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true })
  }
}

function run(program: string, args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8", env })
  if (status !== 0) throw new Error(`${program} ${args.join(" ")}: ${stdout}${stderr}`)
  return stdout
}

/** What making a root of `image` is refused with. */
export async function refusal(
  image: ContainerImage,
  options: Partial<Parameters<typeof takeRoot>[2]> = {},
): Promise<{ code: ErrorCode; message: string }> {
  const made = await MadeRoot.of(image, options).catch((thrown: unknown) => thrown)
  if (made instanceof OvmError) return { code: made.code, message: made.message }
  throw made instanceof Error ? made : new Error("it was not refused")
}
