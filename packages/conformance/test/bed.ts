import { execFile, spawn } from "node:child_process"
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { findPeer } from "@ovms/testkit/registry.ts"
import type { Run } from "../src/result.ts"

const ROOT = join(import.meta.dir, "../../..")
export const PROGRAM = join(ROOT, "packages/conformance/dist/ovms-conformance.js")
export const OVM = process.env.OVM_BIN ?? join(ROOT, "dist/ovm")
export const WRAPPER = join(ROOT, "examples/conformance/ovm-wrapper")

export const ADAPTER = join(ROOT, "examples/adapters/python/ovm-vmm-pyqemu")

/** On PATH it would be taken for the shares of all machines where there is KVM. */
const VIRTIOFSD = findPeer("virtiofsd")

export interface Ended {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs the built suite to its end, under Node unless another program is named. */
export async function conformance(args: readonly string[], runtime = "node"): Promise<Ended> {
  const child = spawn(runtime, [PROGRAM, ...args], {
    env: { ...process.env, OVM, ...(VIRTIOFSD && { VIRTIOFSD }) },
    stdio: ["ignore", "pipe", "pipe"],
  })
  const text = async (stream: AsyncIterable<Buffer>) =>
    Buffer.concat(await Array.fromAsync(stream)).toString()
  const status = new Promise<number>((resolve, reject) => {
    child.on("error", reject)
    child.on("exit", (code) => resolve(code ?? 137))
  })
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)])
  return { status: await status, stdout, stderr }
}

/** The same with `--json`. */
export async function report(args: readonly string[]): Promise<Run & { readonly status: number }> {
  const { status, stdout } = await conformance([...args, "--json"])
  return { ...JSON.parse(stdout), status }
}

/** A folder with executables of the test's own. */
export class Bed implements AsyncDisposable {
  private constructor(readonly folder: string) {}

  static async create(): Promise<Bed> {
    return new Bed(await mkdtemp(join(tmpdir(), "ovms-bed-")))
  }

  /** Path of a shell script. */
  async script(name: string, body: string): Promise<string> {
    const path = join(this.folder, name)
    await writeFile(path, `#!/bin/sh\n${body}\n`)
    await chmod(path, 0o755)
    return path
  }

  /** Path of a layout with the machine that ovm makes of a pack source. */
  async packed(source: string): Promise<string> {
    const layout = join(this.folder, "packed")
    const env = { ...process.env, OVM_HOME: join(this.folder, "home") }
    for (const args of [
      ["pack", "--file", source, "--tag", "packed"],
      ["copy", "packed", layout],
    ])
      await promisify(execFile)(OVM, args, { env })
    return layout
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true, force: true })
  }
}
