import { chownSync, closeSync, constants, fchownSync, linkSync, openSync, rmSync, statSync } from "node:fs"
import { copyFile } from "node:fs/promises"
import { join } from "node:path"
import { guarded, guardedSync } from "../../../files/guarded.ts"
import { give, share } from "./give.ts"
import type { Jail } from "./place.ts"

/** The names that a snapshot's files have in a jail. */
const NAMES = { ram: "ram", state: "state" } as const

type Files = Readonly<Record<keyof typeof NAMES, string>>

/** What a snapshot is written to in a jail. */
export interface Lent {
  readonly names: Files
  /** Has all that was written be in the files that they were made for. Throws what the system says. */
  takeHome(): Promise<void>
  /** Lets go of them, whatever became of it. Throws what the system says. */
  end(): void
}

/** Has the files of a snapshot be in a jail; gives their names there. Throws as give and share do. */
export function shareSnapshot({ ram, state }: Files, folder: string, jail: Jail): Files {
  give(state, folder, NAMES.state, jail)
  share(ram, folder, NAMES.ram)
  return NAMES
}

/**
 * Has the empty files of this program's be what the jail's user writes a snapshot to. One on another file system gets a
 * copy of what is written. Nothing is opened by a name in the jail later, whose user may have put there what it wants.
 */
export function lendSnapshot(files: Files, folder: string): Lent {
  const { uid, dev } = guardedSync(() => statSync(folder))
  const copies: { readonly fd: number; readonly to: string }[] = []
  guardedSync(() => {
    for (const key of ["ram", "state"] as const) {
      const path = join(folder, NAMES[key])
      rmSync(path, { force: true })
      if (statSync(files[key]).dev === dev) {
        linkSync(files[key], path)
        chownSync(files[key], uid, uid)
        continue
      }
      const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600)
      copies.push({ fd, to: files[key] })
      fchownSync(fd, uid, uid)
    }
  })
  return {
    names: NAMES,
    takeHome: () =>
      guarded(async () => {
        for (const { fd, to } of copies) await copyFile(`/proc/self/fd/${fd}`, to)
      }),
    end() {
      for (const { fd } of copies.splice(0)) closeSync(fd)
      takeBackLent(files, folder)
    },
  }
}

/** Has the files that were lent be this user's alone again. Throws what the system says. */
export function takeBackLent(files: Files, folder: string): void {
  removeLent(folder)
  guardedSync(() => {
    for (const file of [files.ram, files.state])
      chownSync(file, process.getuid?.() ?? 0, process.getgid?.() ?? 0)
  })
}

/** Removes what there is in a jail by their names. Throws what the system says. */
export function removeLent(folder: string): void {
  guardedSync(() => {
    for (const name of Object.values(NAMES)) rmSync(join(folder, name), { force: true })
  })
}
