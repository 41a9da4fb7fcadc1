import { posix } from "node:path"
import type { ContextSource } from "../../build/context.ts"
import { type CopyTarget, contextTar, foldersTar, type Look } from "../../build/context-tar.ts"
import type { Base, Copy, PlannedStage } from "../../build/planned.ts"
import { StageTar } from "../../build/stage-tar.ts"
import { StreamInput } from "../../content/archive/input.ts"
import { TAR_END } from "../../content/archive/tar.ts"
import type { Bytes, Call } from "../../content/interfaces.ts"
import { archiveContent } from "./archives.ts"
import type { Builder } from "./builder.ts"
import { ownerIn } from "./owners.ts"

interface CopyCall extends Call, Pick<Look, "latest"> {
  /** A machine of what another stage has made. */
  readonly machineOf: (stage: PlannedStage | Base) => Promise<Builder>
}

/** Makes a folder, and those that it is in, as that user's. False if it is there. Throws OVM_FILE_UNREADABLE. */
export async function makeFolder(
  builder: Builder,
  { path, user }: { readonly path: string; readonly user?: string },
  { latest, ...call }: Call & Pick<Look, "latest">,
): Promise<boolean> {
  const { folder, made } = await intoFolder(builder, path, call)
  if (made.length === 0) return false
  const look: Look = {
    ...(user !== undefined && { owner: await ownerIn(builder, user, call) }),
    ...(latest !== undefined && { latest }),
  }
  await builder.put(folder, folders(made, look), call)
  return true
}

/** Does a COPY. Throws OVM_FILE_UNREADABLE. */
export async function copyInto(
  builder: Builder,
  copy: Copy,
  { latest, machineOf, ...call }: CopyCall,
): Promise<void> {
  const look: Look = {
    ...(copy.chown !== undefined && { owner: await ownerIn(builder, copy.chown, call) }),
    ...(copy.chmod !== undefined && { chmod: copy.chmod }),
    ...(latest !== undefined && { latest }),
  }
  const { sources } = copy
  if (!("stage" in sources)) {
    if (sources.some(({ archive }) => archive))
      return await addInto(builder, { ...copy, sources }, look, call)
    const folder = copy.into || sources.some((source) => source.folder)
    const target = await targetOf(builder, copy, folder, call)
    return await builder.put(target.folder, contextTar(sources, target, look), call)
  }
  // Of another machine the owners are its own.
  const from = await machineOf(sources.stage)
  const owned = copy.chown === undefined ? { ...look, owner: { user: 0, group: 0 } } : look
  for (const path of sources.paths) {
    const tar = await StageTar.open(new StreamInput(await from.get(path, call), call))
    const target = await targetOf(builder, copy, copy.into || tar.folder, call)
    const top = target.called(tar.folder ? "" : posix.basename(path))
    await builder.put(target.folder, stageTar(tar, { target, top, look: owned }), call)
  }
}

/** An ADD with archives in it: what they have goes into a folder, whatever that is called. */
async function addInto(
  builder: Builder,
  copy: Copy & { readonly sources: readonly ContextSource[] },
  look: Look,
  call: Call,
): Promise<void> {
  for (const source of copy.sources)
    if (source.archive) {
      const { folder, made } = await intoFolder(builder, copy.to, call)
      if (made.length > 0) await builder.put(folder, folders(made, look), call)
      await builder.put(copy.to, archiveContent(source, call), call)
    } else {
      const target = await targetOf(builder, copy, copy.into || source.folder, call)
      await builder.put(target.folder, contextTar([source], target, look), call)
    }
}

async function* stageTar(
  tar: StageTar,
  { target, top, look }: { readonly target: CopyTarget; readonly top: string; readonly look: Look },
): Bytes {
  yield* foldersTar(target.made, look)
  yield* tar.members(top, look)
  yield TAR_END
}

async function targetOf(builder: Builder, { to }: Copy, folder: boolean, call: Call): Promise<CopyTarget> {
  if (folder || (await builder.hasFolder(to, call))) {
    const { folder: top, made } = await intoFolder(builder, to, call)
    const below = made.at(-1) ?? ""
    return { folder: top, made, called: (name) => [below, name].filter(Boolean).join("/") }
  }
  const { folder: top, made } = await intoFolder(builder, posix.dirname(to), call)
  const name = [made.at(-1) ?? "", posix.basename(to)].filter(Boolean).join("/")
  return { folder: top, made, called: () => name }
}

/** The lowest folder on the way that is there, and those that are not, each below the one before. */
async function intoFolder(builder: Builder, path: string, call: Call): Promise<Omit<CopyTarget, "called">> {
  let folder = path
  while (folder !== "/" && !(await builder.hasFolder(folder, call))) folder = posix.dirname(folder)
  const missing = posix.relative(folder, path).split("/").filter(Boolean)
  return { folder, made: missing.map((_, at) => missing.slice(0, at + 1).join("/")) }
}

async function* folders(made: readonly string[], look: Look): Bytes {
  yield* foldersTar(made, look)
  yield TAR_END
}
