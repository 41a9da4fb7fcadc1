import { spawnSync } from "node:child_process"
import { mkdir, mkdtemp, rm, symlink, truncate, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { basename, dirname, join } from "node:path"

const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` }

/** Why tests that make file systems are skipped here; undefined if they are not. */
export const ext4Missing = ["mke2fs", "debugfs"].find((name) => !Bun.which(name, { PATH: env.PATH }))

/** Files by absolute path; `{ link }` is a symbolic link. */
export type Tree = Readonly<Record<string, string | Uint8Array | { readonly link: string }>>

/** Makes the file `image` an ext4 file system of `size` bytes with what `tree` has, without root. */
export async function makeExt4(image: string, tree: Tree, size = 16 << 20): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "ovm-ext4-"))
  try {
    for (const [path, content] of Object.entries(tree)) {
      const at = join(folder, path)
      await mkdir(dirname(at), { recursive: true })
      if (typeof content === "object" && "link" in content) await symlink(content.link, at)
      else await writeFile(at, content)
    }
    await writeFile(image, "")
    await truncate(image, size)
    command(image, "mke2fs", "-q", "-F", "-t", "ext4", "-d", folder)
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** Changes the file system in `image` by debugfs' requests, as in `sif /path size 5`. */
export function debugfs(image: string, ...requests: readonly string[]): void {
  for (const request of requests) command(image, "debugfs", "-w", "-R", request)
}

/** e2fsprogs take what follows a question mark for options: only the file's own name is given. */
function command(image: string, name: string, ...args: readonly string[]): void {
  const [cwd, file] = [dirname(image), basename(image)]
  const { status, stderr } = spawnSync(name, [...args, file], { encoding: "utf8", env, cwd })
  if (status !== 0) throw new Error(`${name} ${args.join(" ")}: ${stderr}`)
}
