import { posix, resolve } from "node:path"
import type { Command } from "commander"
import type { Bytes } from "../../../content/interfaces.ts"
import { OvmError } from "../../../errors.ts"
import { findInstance } from "../../instances.ts"
import { interruptible } from "../../interrupt.ts"
import { isTerminal, printBytes } from "../../output.ts"
import { examples } from "../../terminal/examples.ts"
import { GuestTree } from "../../tree/guest.ts"
import { tarToTree } from "../../tree/read.ts"
import { treeAsTar } from "../../tree/write.ts"

/** A path in a machine. */
interface Inside {
  readonly instance: string
  readonly path: string
}

export function define(command: Command): void {
  command
    .description(
      "Copy a file or folder into a machine that was started with --agent, or out of one: NAME:PATH is in the " +
        "machine, and - is a tar archive on standard input or output. What is copied to a folder that is there goes " +
        "into it. What comes out of a machine is files and folders; links and devices are left out.",
    )
    .argument("<from>", "path here, NAME:PATH or -")
    .argument("<to>", "path here, NAME:PATH or -")
    .action(run)
  examples(command, "ovm cp motd web:/etc/motd", "ovm cp web:/var/log .", "ovm cp web:/etc - | tar t")
}

async function run(from: string, to: string): Promise<void> {
  const [source, target] = [insideOf(from), insideOf(to)]
  if ((source === undefined) === (target === undefined))
    throw new OvmError("OVM_USAGE", "one of the two has to be in a machine: NAME:PATH")
  const { instance, path } = (source ?? target) as Inside
  const { runtime, instance: found } = await findInstance(instance)
  await interruptible(async (signal) => {
    const tree = new GuestTree(runtime, found.instance_id, signal)
    if (source) await out(tree, source, to)
    else await into(tree, from, path)
  })
}

/** Undefined for a path of this host, which has a slash before its first colon or no colon at all. */
function insideOf(text: string): Inside | undefined {
  const [, instance, path] = /^([^/:]+):(.*)$/s.exec(text) ?? []
  if (instance === undefined || path === undefined) return undefined
  if (path.startsWith("/")) return { instance, path }
  throw new OvmError("OVM_USAGE", `${JSON.stringify(text)}: a path in a machine begins with a slash`)
}

async function out(tree: GuestTree, { path, instance }: Inside, to: string): Promise<void> {
  const folder = posix.dirname(posix.normalize(path))
  const name = posix.basename(posix.normalize(path)) || "."
  const bytes = tree.read(folder, name)
  if (to === "-") {
    if (isTerminal("stdout"))
      throw new OvmError("OVM_USAGE", "a tar archive is nothing for a terminal", { hint: "ovm cp … - >FILE" })
    for await (const chunk of bytes) await printBytes(chunk)
  } else await tarToTree(bytes, to, `${instance}:${path}`)
}

async function into(tree: GuestTree, from: string, path: string): Promise<void> {
  const there = await tree.isFolder(path)
  if (from === "-") {
    if (!there) throw new OvmError("OVM_FILE_UNREADABLE", `there is no folder ${path} in the guest`)
    return await tree.write(path, process.stdin as Bytes)
  }
  if (!there && path.endsWith("/"))
    throw new OvmError("OVM_FILE_UNREADABLE", `there is no folder ${path} in the guest`)
  const folder = there ? path : posix.dirname(path)
  await tree.write(folder, treeAsTar(from, posix.basename(there ? resolve(from) : path)))
}
