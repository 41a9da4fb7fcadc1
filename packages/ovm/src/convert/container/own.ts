import { Node } from "../ext4/node.ts"
import type { ContainerConfig } from "./config.ts"
import { beyond } from "./limits.ts"
import type { Spool } from "./spool.ts"
import type { Tree } from "./tree.ts"

/** What a machine has of our own, in the root of a container image (spec/import.md). */
export const INIT = "/etc/ovm/init"
export const MAIN = "/etc/ovm/main"
/** Where it mounts something, or the kernel's initial RAM disk does. */
const MOUNTS = ["proc", "sys", "dev", "run", "tmp"]

/** The texts of the command that the machine is for, as an agent is asked for it (spec/agent.md). */
export function mainTexts({
  command,
  environment,
  user,
  directory,
}: Pick<ContainerConfig, "command" | "environment" | "user" | "directory">): Buffer {
  if (command.length === 0) return Buffer.alloc(0)
  const texts = [
    "exec",
    ...command.map((one) => `argument=${one}`),
    ...environment.map((one) => `variable=${one}`),
    ...(user === undefined ? [] : [`user=${user}`]),
    `directory=${directory}`,
  ]
  return Buffer.from(texts.map((text) => `${text}\0`).join(""))
}

type Holding = Parameters<Tree["folder"]>[1]

/** Adds to the tree what its first program needs, and that program. Nothing of the image is replaced. */
export async function addOwn(
  tree: Tree,
  spool: Spool,
  { program, config, holding }: { program: Uint8Array; config: ContainerConfig; holding: Holding },
): Promise<boolean> {
  for (const name of MOUNTS) {
    if (tree.has(name, holding)) continue
    const made = tree.folder(name, holding)
    if (made && name === "tmp") made.mode = 0o1777
  }
  if (!tree.has("lost+found", holding)) {
    const made = tree.folder("lost+found", holding)
    if (made) made.mode = 0o700
  }
  // A container's runtime makes it where it is not there, too.
  tree.folder(Buffer.from(config.directory).toString("latin1"), holding)
  const folder = tree.folder("etc/ovm", holding)
  if (!folder?.children) return false
  const put = async (folder: Node, name: string, mode: number, bytes: Uint8Array) => {
    const node = new Node("file")
    node.mode = mode
    node.content = await spool.add(bytes)
    folder.children?.set(name, node)
  }
  await put(folder, "init", 0o755, program)
  const main = mainTexts(config)
  const { what, limits } = holding
  if (main.length > limits.mainBytes)
    throw beyond(what, limits.mainBytes, "bytes of a command and its environment")
  await put(folder, "main", 0o644, main)
  const etc = tree.has("etc/hosts", holding) ? undefined : tree.folder("etc", holding)
  if (etc) await put(etc, "hosts", 0o644, Buffer.from("127.0.0.1 localhost\n::1 localhost\n"))
  // Where an initial RAM disk does not look at the kernel's arguments.
  const sbin = tree.has("sbin/init", holding) ? undefined : tree.folder("sbin", holding)
  if (sbin?.children) {
    const link = new Node("link")
    link.target = INIT
    sbin.children.set("init", link)
  }
  return true
}
