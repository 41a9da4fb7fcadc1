import { lstat } from "node:fs/promises"
import { basename, dirname, join, posix, resolve, sep } from "node:path"
import { tarMember } from "../../content/archive/member.ts"
import { padding, TAR_END } from "../../content/archive/tar.ts"
import type { Bytes } from "../../content/interfaces.ts"
import { OvmError } from "../../errors.ts"
import type { SandboxFile } from "../../runtime/interfaces.ts"
import { assertReplaceable, tarToTree } from "../tree/read.ts"

/** Something of a guest and the place of this host that it goes to. */
export interface Output {
  readonly guest: string
  /** As `ovm cp` takes it: into a folder that is there, else under that name. */
  readonly to: string
}

/**
 * `PATH` or `PATH:HOST`, of `--out`; a path that does not begin with a slash is below `folder`, and goes to this one's
 * working folder unless told. Throws OVM_USAGE.
 */
export function parseOutput(text: string, folder: string): Output {
  const [, path = text, to = "."] = /^(.+?):(.*)$/s.exec(text) ?? []
  const guest = posix.resolve("/", folder, path)
  if (path === "" || to === "" || guest === "/")
    throw new OvmError("OVM_USAGE", `--out: ${JSON.stringify(text)} is not PATH or PATH:HOST`)
  return { guest, to }
}

/**
 * Before the command runs: what it made would be lost. Throws OVM_USAGE for two that go to one place,
 * OVM_FILE_UNREADABLE where there is no folder to write to, OVM_STATE_CONFLICT where something is in the way.
 */
export async function refuseBadOutputs(outputs: readonly Output[]): Promise<void> {
  const places: string[] = []
  for (const { guest, to } of outputs) {
    const place = (await isFolder(to)) ? join(resolve(to), basename(guest)) : resolve(to)
    if (!(await isFolder(dirname(place))))
      throw new OvmError("OVM_FILE_UNREADABLE", `--out: there is no folder ${dirname(place)}`)
    if (
      places.some(
        (other) => `${other}${sep}`.startsWith(`${place}${sep}`) || place.startsWith(`${other}${sep}`),
      )
    )
      throw new OvmError("OVM_USAGE", `--out: two outputs go to ${place}`)
    await assertReplaceable(place)
    places.push(place)
  }
}

/** Writes what came of one output. Throws what tarToTree throws. */
export async function placeOutput({ guest, to }: Output, files: readonly SandboxFile[]): Promise<void> {
  await tarToTree(archiveOf(guest, files), to, guest)
}

/** Those of `files` that are at `guest`, or below it. */
export function filesAt(guest: string, files: readonly SandboxFile[]): readonly SandboxFile[] {
  return files.filter(({ path }) => path === guest || path.startsWith(`${guest}/`))
}

async function* archiveOf(guest: string, files: readonly SandboxFile[]): Bytes {
  const top = basename(guest)
  if (!files.some(({ path }) => path === guest)) yield tarMember(`${top}/`, 0, {})
  for (const { path, content, mode = 0o644 } of files) {
    const bytes = Buffer.from(content, "base64")
    yield tarMember(`${top}${path.slice(guest.length)}`, bytes.length, { mode })
    yield bytes
    yield new Uint8Array(padding(bytes.length))
  }
  yield TAR_END
}

async function isFolder(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined))?.isDirectory() ?? false
}
