import { basename, resolve } from "node:path"
import type { Command } from "commander"
import type { Bytes } from "../../../content/interfaces.ts"
import { OvmError } from "../../../errors.ts"
import { findInstance } from "../../instances.ts"
import { interruptible } from "../../interrupt.ts"
import { isTerminal, printBytes } from "../../output.ts"
import { examples } from "../../terminal/examples.ts"
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
  const id = found.instance_id
  await interruptible(async (signal) => {
    if (target) await runtime.writeFiles(id, { path, ...whatGoesIn(from, path), signal })
    else await out(await runtime.readFiles(id, { path, signal }), to, `${instance}:${path}`)
  })
}

/** Undefined for a path of this host, which has a slash before its first colon or no colon at all. */
function insideOf(text: string): Inside | undefined {
  const [, instance, path] = /^([^/:]+):(.*)$/s.exec(text) ?? []
  if (instance === undefined || path === undefined) return undefined
  if (path.startsWith("/")) return { instance, path }
  throw new OvmError("OVM_USAGE", `${JSON.stringify(text)}: a path in a machine begins with a slash`)
}

async function out(bytes: Bytes, to: string, what: string): Promise<void> {
  if (to !== "-") return await tarToTree(bytes, to, what)
  if (isTerminal("stdout"))
    throw new OvmError("OVM_USAGE", "a tar archive is nothing for a terminal", { hint: "ovm cp … - >FILE" })
  for await (const chunk of bytes) await printBytes(chunk)
}

/** Whatever is at `path` decides what it is called there. */
function whatGoesIn(from: string, path: string): { readonly content: Bytes; readonly rename: boolean } {
  if (from === "-") return { content: process.stdin as Bytes, rename: false }
  return { content: treeAsTar(from, basename(resolve(from)) || "root"), rename: !path.endsWith("/") }
}
