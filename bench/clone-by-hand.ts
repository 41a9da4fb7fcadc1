import { mkdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import { createOverlay } from "../packages/ovm/src/disk/overlay.ts"
import { type Loaded, loadByHand, type Waiting, waitByHand } from "./by-hand.ts"
import { OVM, output } from "./programs.ts"
import { recipeOf } from "./vmm-by-hand.ts"
import { running, type Watched } from "./watched.ts"

/** The command line of a clone, where it had its folder, and the state that it waits for. */
export interface CloneRecipe {
  readonly argv: readonly string[]
  readonly folder: string
  readonly state: Buffer
}

/** Of the snapshot called `warm`. */
export async function cloneRecipe(daemon: Watched, home: string, warm: string): Promise<CloneRecipe> {
  const { id } = await running(daemon, warm)
  const folder = join(home, "instances", id)
  const { argv } = await recipeOf(folder)
  await daemon.runtime.remove(id, { force: true })
  const shown = output([OVM, "inspect", "--json", warm], { ...process.env, OVM_HOME: home })
  const ref = JSON.parse(shown).snapshot.state.ref as string
  return {
    argv,
    folder,
    state: await readFile(join(home, "store/blobs/sha256", ref.slice("sha256:".length))),
  }
}

/** One more clone, in the folder `own`, with an empty overlay of `size` bytes; milliseconds with all of it. */
export async function cloneByHand(
  { argv, folder, state }: CloneRecipe,
  own: string,
  size: number,
): Promise<{ readonly loaded: Loaded; readonly took: number }> {
  const began = performance.now()
  await mkdir(own)
  await createOverlay(join(own, "overlay.qcow2"), size)
  const words = argv.map((word) => word.replaceAll(folder, own))
  const loaded = await loadByHand(words, own, state)
  return { loaded, took: performance.now() - began }
}

/** The same, up to the last step. */
export async function waitingClone(recipe: CloneRecipe, own: string, size: number): Promise<Waiting> {
  await mkdir(own)
  await createOverlay(join(own, "overlay.qcow2"), size)
  const words = recipe.argv.map((word) => word.replaceAll(recipe.folder, own))
  return await waitByHand(words, own, recipe.state)
}
